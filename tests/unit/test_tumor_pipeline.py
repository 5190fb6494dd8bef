"""The transforms of brain_tumor_mri_segmentation's train.yaml, composed: what a network is trained on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from monai.bundle import ConfigParser
from monai.transforms import Compose

from medbundles.components.datasets import Draw, MixedSiteSampler, SiteDataset
from medbundles.io.datalist import records
from tests.bundles import tumors

LISTS = ("deterministic_transforms", "spacing_transforms", "sampling_transforms")
CONTRASTS = list(tumors.CONTRASTS)


def pipeline(repository: Path, **keys: Any) -> Compose:
    """Return all transforms of train.yaml with some keys set."""
    config = yaml.safe_load((repository / "bundles/brain_tumor_mri_segmentation/configs/train.yaml").read_text())
    config |= {"patch_size": [16, 16, 16], "spacing_mm": 3.0, **keys}
    parser = ConfigParser(config)
    return Compose([step for name in LISTS for step in parser.get_parsed_content(name)])


def without(folder: Path, absent: str) -> Path:
    """Make a contrast of the first case null in the data list."""
    content = json.loads((folder / "datalist.json").read_text())
    content["training"][0]["image"][CONTRASTS.index(absent)] = None
    (folder / "datalist.json").write_text(json.dumps(content))
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return without(tumors.write_prepared(tmp_path_factory.mktemp("tumors"), training=2, testing=1), "t2w")


def dataset(repository: Path, data: Path, cache: Path, **keys: Any) -> SiteDataset:
    listed = [record for fold in (0, 1) for record in records(data, "validation", fold, CONTRASTS)]
    return SiteDataset(listed, pipeline(repository, **keys), cache)


@pytest.fixture(scope="module")
def plain(repository: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> SiteDataset:
    """Blocks without augmentation."""
    still = {"augmentation": 0.0, "contrast_dropout": 0.0, "mirror": 0.0}
    return dataset(repository, data, tmp_path_factory.mktemp("cache"), **still)


def test_a_sample_is_a_block_with_a_channel_for_each_contrast_and_region(plain: SiteDataset) -> None:
    sample = plain[Draw(1, "site", 0, seed=0)]
    assert sample["image"].shape == (4, 16, 16, 16)
    assert sample["label"].shape == (3, 16, 16, 16)
    assert sample["image"].dtype == sample["label"].dtype == torch.float32


def test_every_label_is_a_site_of_each_case(plain: SiteDataset) -> None:
    assert plain.sites == [(record, site) for record in (0, 1) for site in (0, 1, 2)]


def test_regions_of_a_sample_hold_each_other(plain: SiteDataset) -> None:
    whole, core, enhancing = plain[Draw(1, "site", 2, seed=1)]["label"].bool()
    assert bool(enhancing.any())
    assert not bool((enhancing & ~core).any() | (core & ~whole).any())


def test_an_absent_contrast_is_0_in_samples_and_the_others_are_not(plain: SiteDataset) -> None:
    image = plain[Draw(0, "site", 0, seed=0)]["image"]
    assert [bool(channel.any()) for channel in image] == [name != "t2w" for name in CONTRASTS]


def test_augmented_samples_depend_on_their_draw_alone(repository: Path, data: Path, tmp_path: Path) -> None:
    noisy = dataset(repository, data, tmp_path, augmentation=1.0, contrast_dropout=0.5)
    first, other, again = (noisy[Draw(1, "background", -1, seed)]["image"] for seed in (3, 4, 3))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_an_epoch_has_the_declared_share_of_tumor(plain: SiteDataset) -> None:
    sampler = MixedSiteSampler(plain, 2, 30, {"site": 0.66, "background": 0.34})
    kinds = [draw.kind for batch in sampler for draw in batch]
    assert kinds.count("site") == 20
    sites = [draw.site for batch in sampler for draw in batch if draw.kind == "site"]
    assert np.bincount(sites).tolist() == pytest.approx([7, 7, 6], abs=1.5)


def test_nothing_lies_outside_of_the_brain(plain: SiteDataset) -> None:
    # Voxels of 3 mm around a brain of 2 mm: what is far outside must be 0, whatever was resampled.
    image = plain[Draw(1, "background", -1, seed=0)]["image"]
    assert float((image == 0).all(dim=0).float().mean()) < 1
    assert bool(image.isfinite().all())
