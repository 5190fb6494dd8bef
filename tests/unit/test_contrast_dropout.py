"""Contrasts taken away in training, and training blocks around labels."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch

from medbundles.components.transforms import LabelPointsd, LabelsToRegionsd, RandBlockd, RandContrastDropoutd
from medbundles.errors import ConfigurationError


def subsets_drawn(present: list[bool], probability: float = 1.0, draws: int = 300) -> set[tuple[int, ...]]:
    """Return which channels were left, over many draws."""
    transform = RandContrastDropoutd(probability)
    transform.set_random_state(seed=0)
    image = torch.ones(len(present), 2, 2, 2)
    items = (transform({"image": image, "present": present}) for _ in range(draws))
    return {tuple(number for number, channel in enumerate(item["image"]) if channel.any()) for item in items}


def test_every_subset_but_none_and_all_is_drawn() -> None:
    expected = {chosen for size in (1, 2, 3) for chosen in itertools.combinations(range(4), size)}
    assert subsets_drawn([True] * 4) == expected


def test_an_absent_contrast_is_never_the_one_that_stays() -> None:
    assert subsets_drawn([True, False, True]) == {(0,), (2,)}


def test_what_an_augmentation_added_to_an_absent_contrast_is_taken_away() -> None:
    assert subsets_drawn([True, False], probability=0.0) == {(0,)}


def test_probability_0_leaves_everything() -> None:
    assert subsets_drawn([True] * 4, probability=0.0) == {(0, 1, 2, 3)}


def test_the_only_contrast_stays() -> None:
    assert subsets_drawn([True]) == {(0,)}


def test_the_image_handed_in_is_not_changed() -> None:
    image = torch.ones(3, 2, 2, 2)
    RandContrastDropoutd(1.0)({"image": image})
    assert bool(image.all())


@pytest.mark.parametrize("probability", [-0.1, 1.5])
def test_a_probability_out_of_range_is_refused(probability: float) -> None:
    with pytest.raises(ConfigurationError, match="contrast_dropout"):
        RandContrastDropoutd(probability)


def labeled() -> dict[str, Any]:
    label = torch.zeros(1, 12, 12, 12)
    label[0, 2:10, 2:10, 2:10] = 2
    label[0, 5, 5, 5] = 3
    return {"label": label, "image": torch.ones(1, 12, 12, 12), "tissue_points": np.array([[0, 0, 0]])}


def test_every_label_is_a_site_however_small_it_is() -> None:
    item = LabelPointsd(count=8)(labeled())
    assert item["sites"] == [2, 3]
    assert (item["site_points"][1] == 5).all()


def test_without_labels_there_is_no_site() -> None:
    item = LabelPointsd()({"label": torch.zeros(1, 4, 4, 4)})
    assert item["sites"] == []
    assert item["site_points"].shape == (0, 512, 3)


def test_a_block_of_a_site_shows_it() -> None:
    item = LabelPointsd()(labeled()) | {"kind": "site", "site": 1}
    block = RandBlockd(["image", "label"], (4, 4, 4))(item)
    assert 3 in block["label"]


def test_a_block_of_the_background_is_drawn_from_the_tissue() -> None:
    item = LabelPointsd()(labeled()) | {"kind": "background", "site": -1}
    block = RandBlockd(["label"], (2, 2, 2))(item)
    assert not block["label"].any()


def test_a_block_remembers_which_contrasts_are_present() -> None:
    item = LabelPointsd()(labeled()) | {"kind": "background", "site": -1, "present": [False]}
    assert RandBlockd(["image"], (2, 2, 2))(item)["present"] == [False]


def test_labels_become_a_channel_of_floats_for_each_region() -> None:
    item = LabelsToRegionsd("label", {"all": [2, 3], "core": [3]})(labeled())
    assert item["label"].dtype == torch.float32
    assert [int(channel.sum()) for channel in item["label"]] == [512, 1]
