"""Regions are cut to fit together, and what is too small or hollow is repaired by the rules that were chosen."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.data.meta_tensor import MetaTensor

from medbundles.components.region_cleaning import Cleaning, clean_regions
from medbundles.components.region_labels import regions_to_labels
from medbundles.components.transforms import CleanRegionsd
from medbundles.errors import ConfigurationError, DataError

NESTED = {"WT": [1, 2, 3], "TC": [1, 3], "ET": [3]}
LABELS = {1: "ncr", 2: "ed", 3: "et"}
TISSUES = {"csf": [1], "gm": [2], "wm": [3]}
SHAPE = (12, 10, 8)
probabilities = st.integers(0, 2**32 - 1).map(lambda seed: np.random.default_rng(seed).random((3, 6, 5, 4)))


def cleaned(values: np.ndarray, regions: dict[str, list[int]] = NESTED, **options: Any) -> np.ndarray:
    return clean_regions(values, regions, Cleaning.of(regions, **options), voxel_ml=1.0)


def cubes(*edges: int) -> np.ndarray:
    """One cube a region, all beginning at the same corner."""
    values = np.zeros((len(edges), *SHAPE))
    for channel, edge in zip(values, edges, strict=True):
        channel[1 : 1 + edge, 1 : 1 + edge, 1 : 1 + edge] = 0.9
    return values


@given(values=probabilities)
@settings(deadline=None, max_examples=20)
def test_inner_regions_lie_in_the_outer_ones_whatever_is_predicted(values: np.ndarray) -> None:
    whole, core, enhancing = cleaned(values, thresholds={"ET": 0.2}, smallest_ml=2.0, fill_holes=True)
    assert np.all(core <= whole)
    assert np.all(enhancing <= core)


@given(values=probabilities)
@settings(deadline=None, max_examples=20)
def test_exclusive_regions_never_share_a_voxel_and_the_most_probable_one_has_it(values: np.ndarray) -> None:
    masks = cleaned(values, TISSUES)
    expected = np.where(values.max(0) > 0.5, values.argmax(0) + 1, 0)
    np.testing.assert_array_equal((masks * np.arange(1, 4)[:, None, None, None]).sum(0), expected)


@given(values=probabilities, smallest=st.integers(0, 5))
@settings(deadline=None, max_examples=20)
def test_nothing_smaller_than_the_smallest_remains_of_a_lone_region(values: np.ndarray, smallest: int) -> None:
    measure = pytest.importorskip("skimage.measure", reason="scikit-image is not installed")
    mask = cleaned(values[:1], {"lesion": [1]}, smallest_ml=float(smallest))[0]
    labels = measure.label(values[0] > 0.5, connectivity=3)
    sizes = np.bincount(labels.ravel())
    np.testing.assert_array_equal(mask, (labels > 0) & (sizes[labels] >= smallest))


def test_each_region_has_its_own_threshold() -> None:
    values = np.full((3, *SHAPE), 0.4)
    assert cleaned(values).sum() == 0
    assert cleaned(values, thresholds={"WT": 0.3}).reshape(3, -1).any(1).tolist() == [True, False, False]


def test_a_removed_outer_component_takes_what_lies_in_it_along() -> None:
    masks = cleaned(cubes(3, 2, 1), smallest_ml={"WT": 28.0})
    assert masks.sum() == 0


def test_a_removed_inner_component_stays_in_the_outer_region() -> None:
    masks = cleaned(cubes(3, 2, 1), smallest_ml={"ET": 2.0})
    assert masks.reshape(3, -1).sum(1).tolist() == [27, 8, 0]


def test_too_little_enhancing_tumor_becomes_necrotic_core() -> None:
    masks = cleaned(cubes(4, 3, 2), replace_below_ml={"ET": 9.0})
    label = regions_to_labels(torch.as_tensor(masks), LABELS, NESTED)
    assert {value: int((label == value).sum()) for value in (1, 2, 3)} == {1: 27, 2: 37, 3: 0}
    assert cleaned(cubes(4, 3, 2), replace_below_ml={"ET": 8.0})[2].sum() == 8


def test_a_hole_is_filled_in_the_outermost_region_only() -> None:
    values = cubes(6, 5, 3)
    values[:, 2, 2, 2] = 0.0
    assert cleaned(values, fill_holes=True)[:, 2, 2, 2].tolist() == [1, 0, 0]
    assert cleaned(values)[0, 2, 2, 2] == 0


def test_a_hole_that_another_tissue_fills_is_none() -> None:
    values = cubes(5, 1, 0)
    values[0, 3, 3, 3], values[1], values[2, 3, 3, 3] = 0.0, 0.0, 0.9
    values[0, 2, 2, 2] = 0.0
    masks = cleaned(values, TISSUES, fill_holes=True)
    assert masks[:, 3, 3, 3].tolist() == [0, 0, 1]
    assert masks[:, 2, 2, 2].tolist() == [1, 0, 0]


def test_milliliters_are_those_of_the_grid_and_the_meta_data_stays() -> None:
    values = MetaTensor(torch.as_tensor(cubes(4, 3, 2)), affine=torch.diag(torch.tensor([2.0, -5.0, 10.0, 1.0])))
    masks = [CleanRegionsd("pred", NESTED, smallest_ml=ml)({"pred": values})["pred"] for ml in (6.4, 6.41)]
    assert [int(mask[0].sum()) for mask in masks] == [64, 0]
    assert torch.equal(masks[0].affine, values.affine)
    assert masks[0].dtype == torch.uint8


def test_probabilities_stay_where_masks_get_a_key_of_their_own() -> None:
    item = CleanRegionsd("pred", NESTED, output_key="regions")({"pred": torch.as_tensor(cubes(4, 3, 2))})
    assert float(item["pred"].max()) == 0.9
    assert int(item["regions"].max()) == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"thresholds": {"NT": 0.5}}, "thresholds names NT"),
        ({"thresholds": 1.0}, r"\[0, 1\)"),
        ({"smallest_ml": -1.0}, "smallest_ml must be 0 ml or more"),
        ({"replace_below_ml": {"ET": -0.1}}, "replace_below_ml must be"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        CleanRegionsd("pred", NESTED, **options)


def test_another_number_of_channels_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="expected 3"):
        CleanRegionsd("pred", NESTED)({"pred": torch.zeros(2, *SHAPE)})


def test_volumes_of_voxels_of_unknown_size_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="voxels' size"):
        CleanRegionsd("pred", NESTED, smallest_ml=1.0)({"pred": torch.zeros(3, *SHAPE)})


def test_a_prediction_of_nan_is_refused_with_its_case() -> None:
    with pytest.raises(DataError, match=r"TRN003.*scan 1"):
        CleanRegionsd("pred", NESTED)({"pred": torch.full((3, *SHAPE), torch.nan), "case": "scan 1"})
