"""Training samples: their mixture, their places, and that nothing but the draw decides them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.data import DataLoader, MetaTensor
from monai.transforms import Compose, Transform

from medbundles.components.datasets import Draw, MixedSiteSampler, SiteDataset
from medbundles.components.transforms import FindSitesd, RandSliceStackd
from medbundles.errors import ConfigurationError, DataError

SHAPE = (40, 50, 12)


class Load(Transform):
    """A volume whose value names its slice, with nodules at the places the record gives."""

    def __call__(self, data: dict[str, Any]) -> dict[str, Any]:
        image = np.broadcast_to(np.arange(SHAPE[2], dtype=np.int16), SHAPE)[None].copy()
        label = np.zeros((1, *SHAPE), dtype=np.uint8)
        for row, column, level in data["nodules"]:
            label[0, row - 1 : row + 2, column - 1 : column + 2, level] = 1
        return {
            "image": MetaTensor(torch.from_numpy(image), affine=torch.eye(4)),
            "label": MetaTensor(torch.from_numpy(label), affine=torch.eye(4)),
            "case": data["case"],
        }


def make_dataset(tmp_path: Path, nodules: list[list[tuple[int, int, int]]], crop: int = 16) -> SiteDataset:
    records = []
    for number, places in enumerate(nodules):
        path = tmp_path / f"{number}.nii"
        path.write_bytes(bytes(number + 1))
        records.append({"image": str(path), "case": str(number), "nodules": places})
    transform = Compose([Load(), FindSitesd(), RandSliceStackd(slices=7, crop_size=(crop, crop))])
    return SiteDataset(records, transform, tmp_path / "cache")


def test_every_component_becomes_a_site(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, [[(10, 10, 3), (30, 40, 8)], [], [(5, 5, 0)]])
    assert dataset.sites == [(0, 0), (0, 1), (2, 0)]


def test_a_site_sample_shows_its_nodule(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, [[(10, 10, 3), (30, 40, 8)]])
    sample = dataset[Draw(0, "site", 1, seed=5)]
    assert sample["image"].shape == (7, 16, 16)
    assert sample["label"].sum() == 9
    assert sample["image"][:, 0, 0].tolist() == [5, 6, 7, 8, 9, 10, 11]


def test_a_nodule_in_the_first_slice_keeps_its_label_and_repeats_the_slice(tmp_path: Path) -> None:
    sample = make_dataset(tmp_path, [[(5, 5, 0)]])[Draw(0, "site", 0, seed=1)]
    assert sample["label"].sum() == 9
    assert sample["image"][:, 0, 0].tolist() == [0, 0, 0, 0, 1, 2, 3]


def test_a_crop_larger_than_the_volume_is_filled_with_air_and_no_label(tmp_path: Path) -> None:
    sample = make_dataset(tmp_path, [[(5, 5, 4)]], crop=64)[Draw(0, "site", 0, seed=1)]
    assert sample["image"].shape == (7, 64, 64)
    assert sample["image"][0, 0, 0] == -1000
    assert sample["label"].sum() == 9


def test_a_full_slice_is_padded_to_a_multiple_of_sixteen(tmp_path: Path) -> None:
    sample = make_dataset(tmp_path, [[(5, 5, 4)]])[Draw(0, "full_slice", -1, seed=1)]
    assert sample["image"].shape == (7, 48, 64)


def test_a_sample_depends_on_its_draw_alone(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, [[(10, 10, 3)], []])
    draw = Draw(1, "background", -1, seed=77)
    first = dataset[draw]
    dataset[Draw(0, "background", -1, seed=3)]
    assert torch.equal(dataset[draw]["image"], first["image"])


@pytest.mark.parametrize("workers", [0, 2])
def test_an_epoch_is_the_same_with_and_without_workers(tmp_path: Path, workers: int) -> None:
    dataset = make_dataset(tmp_path, [[(10, 10, 3), (30, 40, 8)], []])
    sampling = {"site": 0.5, "background": 0.5}
    sampler = MixedSiteSampler(dataset, 4, 12, sampling, seed=3)
    loader = DataLoader(dataset, num_workers=workers, batch_sampler=sampler)
    expected = [dataset[draw]["image"] for batch in sampler for draw in batch]
    found = [image for batch in loader for image in batch["image"]]
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_the_mixture_is_what_was_asked_for(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, [[(10, 10, 3), (30, 40, 8)], []])
    sampler = MixedSiteSampler(dataset, 8, 100, {"site": 6, "background": 3, "full_slice": 1})
    kinds = Counter(draw.kind for batch in sampler for draw in batch)
    assert kinds == {"site": 60, "background": 30, "full_slice": 10}


def test_full_slices_have_batches_of_their_own(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, [[(10, 10, 3)], []])
    sampler = MixedSiteSampler(dataset, 8, 40, {"site": 1, "full_slice": 1}, full_slice_batch_size=2)
    assert all(len({draw.kind for draw in batch}) == 1 for batch in sampler)


def test_every_site_is_seen_before_one_is_seen_twice(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, [[(10, 10, 3), (30, 40, 8)], [(20, 20, 5)]])
    sampler = MixedSiteSampler(dataset, 1, 3, {"site": 1})
    assert {(draw.record, draw.site) for batch in sampler for draw in batch} == {(0, 0), (0, 1), (1, 0)}


def test_epochs_differ_and_come_back(tmp_path: Path) -> None:
    sampler = MixedSiteSampler(make_dataset(tmp_path, [[(10, 10, 3)], []]), 4, 16, {"background": 1})
    first = list(sampler)
    sampler.set_epoch(1)
    assert list(sampler) != first
    sampler.set_epoch(0)
    assert list(sampler) == first


def test_two_processes_share_an_epoch_without_overlap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = make_dataset(tmp_path, [[(10, 10, 3)], []])
    module = "medbundles.components.datasets.site_sampler"
    monkeypatch.setattr(f"{module}.world_size", lambda: 2)
    parts = []
    for process in range(2):
        monkeypatch.setattr(f"{module}.rank", lambda process=process: process)
        parts.append([draw for batch in MixedSiteSampler(dataset, 2, 16, {"background": 1}) for draw in batch])
    assert len(parts[0]) == len(parts[1]) == 8
    assert not set(parts[0]) & set(parts[1])


@pytest.mark.parametrize("samples", [4, 12, 20])
def test_every_process_gets_as_many_batches_however_few_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, samples: int
) -> None:
    module = "medbundles.components.datasets.site_sampler"
    monkeypatch.setattr(f"{module}.world_size", lambda: 4)
    sampler = MixedSiteSampler(make_dataset(tmp_path, [[(10, 10, 5)]]), 4, samples, {"site": 1.0})
    counts = []
    for process in range(4):
        monkeypatch.setattr(f"{module}.rank", lambda process=process: process)
        counts.append(len(list(sampler)))
    assert counts == [len(sampler)] * 4


@pytest.mark.parametrize("sampling", [{}, {"nodules": 1.0}, {"site": -1.0, "background": 2.0}, {"site": 0.0}])
def test_a_mixture_that_cannot_be_meant_is_refused(tmp_path: Path, sampling: dict[str, float]) -> None:
    dataset = make_dataset(tmp_path, [[(10, 10, 3)]])
    with pytest.raises(ConfigurationError, match="sampling needs"):
        MixedSiteSampler(dataset, 4, 16, sampling)


def test_a_batch_size_of_zero_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="at least 1"):
        MixedSiteSampler(make_dataset(tmp_path, [[(10, 10, 3)]]), 0, 16, {"site": 1})


def test_labels_that_are_all_empty_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="NII011"):
        _ = make_dataset(tmp_path, [[], []]).sites


def test_an_even_number_of_slices_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="odd"):
        RandSliceStackd(slices=6)
