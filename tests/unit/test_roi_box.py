"""Boxes around what was found: inside of the image, large enough, and none lost."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medbundles.components.regions import Box3D
from medbundles.components.roi_box import box_with_margin, find_boxes
from medbundles.errors import ConfigurationError

SHAPE = (40, 30, 20)


@st.composite
def parts(draw: st.DrawFn) -> tuple[int, slice]:
    """A size and a part of it."""
    size = draw(st.integers(1, 60))
    start = draw(st.integers(0, size - 1))
    return size, slice(start, draw(st.integers(start + 1, size)))


@given(st.tuples(parts(), parts(), parts()), st.floats(0, 2), st.integers(1, 80))
def test_a_box_holds_the_object_inside_of_the_image(
    sides: tuple[tuple[int, slice], ...], margin: float, smallest: int
) -> None:
    shape, box = [size for size, _ in sides], tuple(part for _, part in sides)
    found = box_with_margin((box[0], box[1], box[2]), shape, margin, smallest)
    for part, whole, inner in zip(found, shape, box, strict=True):
        assert 0 <= part.start <= inner.start
        assert inner.stop <= part.stop <= whole
        assert part.stop - part.start >= min(smallest, whole)


def test_the_margin_is_a_share_of_the_object_at_each_side() -> None:
    box = (slice(10, 20), slice(10, 15), slice(8, 9))
    assert box_with_margin(box, SHAPE, 0.2, 1) == (slice(8, 22), slice(9, 16), slice(7, 10))


def test_what_a_border_takes_from_the_least_size_is_added_at_the_other_side() -> None:
    box = (slice(0, 4), slice(28, 30), slice(5, 6))
    assert box_with_margin(box, SHAPE, 0.0, (10, 10, 3)) == (slice(0, 10), slice(20, 30), slice(4, 7))


def test_an_image_that_is_smaller_than_the_least_size_is_taken_whole() -> None:
    assert box_with_margin((slice(3, 5),) * 3, (8, 9, 40), 0.0, 24)[:2] == (slice(0, 8), slice(0, 9))


@pytest.mark.parametrize(("margin", "smallest"), [(-0.1, 1), (0.2, 0)])
def test_numbers_that_cannot_be_meant_are_refused(margin: float, smallest: int) -> None:
    with pytest.raises(ConfigurationError, match="expected a margin from 0 and edges from 1"):
        box_with_margin((slice(0, 1),) * 3, SHAPE, margin, smallest)


def balls(*boxes: Box3D) -> np.ndarray:
    mask = np.zeros(SHAPE, bool)
    for box in boxes:
        mask[box] = True
    return mask


FAR = ((slice(2, 6), slice(2, 6), slice(2, 6)), (slice(30, 36), slice(20, 26), slice(10, 16)))


def test_every_one_of_several_lesions_has_its_box() -> None:
    assert find_boxes(balls(*FAR), 1.0, 0.0, 0.0, 1) == list(FAR)


def test_boxes_that_touch_become_one() -> None:
    near = (slice(7, 9), slice(2, 6), slice(2, 6))
    assert find_boxes(balls(FAR[0], near), 1.0, 0.0, 0.5, 1) == [(slice(0, 10), slice(0, 8), slice(0, 8))]


def test_specks_are_left_out() -> None:
    assert find_boxes(balls(*FAR), 0.001, 0.1, 0.0, 1) == [FAR[1]]  # 64 and 216 voxels of a microliter


def test_the_largest_speck_counts_where_there_is_nothing_else() -> None:
    assert find_boxes(balls(*FAR), 0.001, 5.0, 0.0, 1) == [FAR[1]]


def test_an_empty_mask_has_no_box() -> None:
    assert find_boxes(balls(), 1.0, 0.0, 0.2, 24) == []


@given(st.lists(st.tuples(parts(), parts(), parts()), min_size=1, max_size=5))
def test_boxes_have_no_voxel_in_common_and_hold_every_object(drawn: list[tuple[tuple[int, slice], ...]]) -> None:
    mask = np.zeros((60, 60, 60), bool)
    for sides in drawn:
        mask[tuple(part for _, part in sides)] = True
    covered = np.zeros(mask.shape, int)
    for box in find_boxes(mask, 1.0, 0.0, 0.1, 4):
        covered[box] += 1
    assert covered.max() == 1
    assert covered[mask].all()
