from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.measure import label as skimage_label
from skimage.measure import regionprops

from medbundles.components.metrics.lesion_matching import bounding_box, find_components, match_lesions, overlaps


def random_mask(seed: int, shape: tuple[int, ...], density: float) -> np.ndarray:
    return np.random.default_rng(seed).random(shape) < density


def mask_of(shape: tuple[int, ...], *boxes: tuple[slice, ...]) -> np.ndarray:
    mask = np.zeros(shape, bool)
    for box in boxes:
        mask[box] = True
    return mask


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 1000), shape=st.sampled_from([(12, 9), (9, 8, 7)]), density=st.sampled_from([0.02, 0.1, 0.3])
)
def test_components_equal_those_of_scikit_image(seed: int, shape: tuple[int, ...], density: float) -> None:
    mask = random_mask(seed, shape, density)
    regions = regionprops(skimage_label(mask, connectivity=mask.ndim))
    ours = find_components(mask)
    assert len(ours) == len(regions)
    expected = sorted((int(region.area), *map(float, region.centroid)) for region in regions)
    found = sorted((int(size), *center) for size, center in zip(ours.sizes, ours.centers.tolist(), strict=True))
    assert np.allclose(found, expected)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000))
def test_overlaps_equal_a_count_by_every_pair(seed: int) -> None:
    first, second = random_mask(seed, (9, 8, 7), 0.08), random_mask(seed + 1, (9, 8, 7), 0.08)
    one, other = find_components(first), find_components(second)
    full_one, full_other = np.zeros(first.shape, int), np.zeros(first.shape, int)
    full_one[one.box], full_other[other.box] = one.labels, other.labels
    expected = [
        [i, j, int(((full_one == i) & (full_other == j)).sum())]
        for i in range(1, len(one) + 1)
        for j in range(1, len(other) + 1)
        if ((full_one == i) & (full_other == j)).any()
    ]
    assert overlaps(one, other).tolist() == expected


def test_distant_pixels_are_not_joined_as_the_boolean_path_of_cc3d_joins_them() -> None:
    mask = np.zeros((12, 9), bool)
    mask[[5, 6, 10, 11], [5, 0, 6, 6]] = True
    assert sorted(find_components(mask).sizes.tolist()) == [1, 1, 2]


def test_line_of_single_voxels_is_counted_where_the_boolean_path_of_cc3d_raises() -> None:
    mask = np.zeros((7, 5, 5), bool)
    mask[::2, 2, 2] = True
    assert find_components(mask).sizes.tolist() == [1, 1, 1, 1]


def test_voxels_that_touch_in_a_corner_are_one_component() -> None:
    mask = np.zeros((3, 3, 3), bool)
    mask[0, 0, 0] = mask[1, 1, 1] = True
    assert find_components(mask).sizes.tolist() == [2]


def test_small_components_are_dropped_and_the_rest_renumbered() -> None:
    mask = mask_of((10, 10), np.s_[0:1, 0:1], np.s_[3:6, 3:6], np.s_[9:10, 9:10], np.s_[0:2, 7:9])
    kept = find_components(mask, minimum_voxels=4)
    assert sorted(kept.sizes.tolist()) == [4, 9]
    assert set(np.unique(kept.labels)) == {0, 1, 2}
    assert kept.sizes.tolist() == [int((kept.labels == number).sum()) for number in (1, 2)]


def test_maxima_are_taken_in_each_component_alone() -> None:
    values = np.zeros((6, 6), np.float32)
    values[1, 1], values[4, 4], values[2, 5] = 0.7, 0.9, 1.0
    mask = mask_of((6, 6), np.s_[1:2, 1:2], np.s_[4:5, 3:5])
    assert find_components(mask).maxima(values).tolist() == pytest.approx([0.7, 0.9])


def test_bounding_box_is_tight() -> None:
    assert bounding_box(mask_of((9, 9, 9), np.s_[2:4, 5:6, 0:9])) == np.s_[2:4, 5:6, 0:9]


def test_candidate_with_enough_overlap_hits_although_its_center_is_outside() -> None:
    lesion = find_components(mask_of((20, 20), np.s_[0:4, 0:4]))
    shifted = find_components(mask_of((20, 20), np.s_[0:4, 2:8]))
    assert match_lesions(shifted, lesion, 0.25).tolist() == [[1, 1]]


def test_large_candidate_around_a_lesion_hits_by_its_center() -> None:
    lesion = find_components(mask_of((21, 21, 21), np.s_[9:12, 9:12, 9:12]))
    blob = find_components(mask_of((21, 21, 21), np.s_[4:17, 4:17, 4:17]))
    assert match_lesions(blob, lesion, 0.5).tolist() == [[1, 1]]


def test_candidate_that_floods_everything_does_not_find_every_lesion() -> None:
    lesions = find_components(mask_of((40, 40), np.s_[2:5, 2:5], np.s_[30:33, 30:33]))
    flood = find_components(np.ones((40, 40), bool))
    assert match_lesions(flood, lesions, 0.1).tolist() == []


def test_candidate_over_two_lesions_hits_both() -> None:
    lesions = find_components(mask_of((10, 20), np.s_[2:6, 2:6], np.s_[2:6, 8:12]))
    bridge = find_components(mask_of((10, 20), np.s_[2:6, 2:12]))
    assert match_lesions(bridge, lesions, 0.1).tolist() == [[1, 1], [1, 2]]


def test_minimum_overlap_of_zero_counts_a_single_shared_voxel() -> None:
    lesion = find_components(mask_of((20, 20), np.s_[0:4, 0:4]))
    corner = find_components(mask_of((20, 20), np.s_[3:20, 3:20]))
    assert len(match_lesions(corner, lesion, 0.0)) == 1
    assert len(match_lesions(corner, lesion, 0.1)) == 0


@pytest.mark.parametrize("empty", ["candidates", "lesions", "both"])
def test_empty_masks_match_nothing(empty: str) -> None:
    nothing, something = np.zeros((5, 5, 5), bool), mask_of((5, 5, 5), np.s_[1:3, 1:3, 1:3])
    candidates = find_components(nothing if empty in ("candidates", "both") else something)
    lesions = find_components(nothing if empty in ("lesions", "both") else something)
    assert match_lesions(candidates, lesions, 0.0).shape == (0, 2)
    assert overlaps(candidates, lesions).shape == (0, 3)
