"""What outlines enclose, and what readers agree on."""

from __future__ import annotations

import numpy as np
import pytest
from lidc_layout import square

from medbundles.io.lidc import Outline, OutlinedNodule
from medbundles.prepare.reader_consensus import (
    ReaderNodule,
    agree,
    equivalent_diameter_mm,
    fill_outline,
    outline_voxels,
)

SLICES = {"a": 0, "b": 1, "c": 2}


def nodule(*outlines):
    return OutlinedNodule("n", tuple(outlines), 3)


def pixels(points):
    start, inside, _ = fill_outline(tuple(points))
    return {(int(x) + start[0], int(y) + start[1]) for x, y in np.argwhere(inside)}


def box(reader, low, high, malignancy=3):
    axes = [np.arange(a, b + 1) for a, b in zip(low, high, strict=True)]
    return ReaderNodule(reader, np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3), malignancy)


def test_an_outline_lies_outside_of_what_it_encloses():
    assert pixels(square((3, 4), (5, 6))) == {(x, y) for x in (3, 4, 5) for y in (4, 5, 6)}


def test_the_direction_of_drawing_does_not_matter():
    outline = square((3, 4), (9, 6))
    assert pixels(outline) == pixels(outline[::-1])


def test_an_outline_drawn_twice_encloses_the_same():
    outline = square((3, 4), (9, 6))
    assert pixels(outline * 2) == pixels(outline)


def test_pixels_that_touch_at_corners_only_do_not_leak():
    assert pixels([(5, 3), (6, 4), (7, 5), (6, 6), (5, 7), (4, 6), (3, 5), (4, 4)]) == {
        (5, 4), (4, 5), (5, 5), (6, 5), (5, 6),
    }  # fmt: skip


def test_a_gap_in_the_outline_is_closed_by_a_line():
    outline = square((3, 3), (12, 12))
    assert pixels([point for place, point in enumerate(outline) if place not in (4, 5, 6)]) == pixels(outline)


@pytest.mark.parametrize("points", [[(4, 4)], [(4, 4), (5, 4)], [(4, 4), (5, 4), (5, 5)]])
def test_an_outline_too_small_encloses_nothing(points):
    assert pixels(points) == set()


def test_a_hole_takes_its_own_outline_with_it():
    outer = Outline("b", 0.0, tuple(square((2, 2), (10, 10))))
    hole = Outline("b", 0.0, tuple(square((5, 5), (6, 6))), included=False)
    found = {tuple(voxel) for voxel in outline_voxels(nodule(outer, hole), SLICES, 0).voxels.tolist()}
    assert found == {(x, y, 1) for x in range(2, 11) for y in range(2, 11)} - {
        (x, y, 1) for x in range(4, 8) for y in range(4, 8)
    }


def test_a_nodule_that_encloses_nothing_keeps_the_voxel_in_its_middle():
    found = outline_voxels(nodule(Outline("c", 0.0, ((4, 4), (5, 4), (6, 4)))), SLICES, 0)
    assert found.shrunk
    assert found.voxels.tolist() == [[5, 4, 2]]


def test_the_consensus_is_what_enough_readers_have():
    nodules = [box(0, (0, 0, 0), (4, 4, 1)), box(1, (2, 0, 0), (6, 4, 1)), box(2, (3, 0, 0), (3, 4, 0))]
    (two,), (three,) = agree(nodules, 2), agree(nodules, 3)
    assert len(two.consensus) == 3 * 5 * 2
    assert len(three.consensus) == 5
    assert two.readers == 3


def test_masks_that_touch_at_a_corner_are_one_nodule():
    assert len(agree([box(0, (0, 0, 0), (1, 1, 1)), box(1, (2, 2, 2), (3, 3, 3))], 1)) == 1


def test_masks_apart_are_two_nodules_from_below():
    found = agree([box(0, (0, 0, 5), (1, 1, 5)), box(1, (0, 0, 0), (1, 1, 1))], 1)
    assert [nodule.members[0].reader for nodule in found] == [1, 0]


def test_one_readers_nodule_stays_whole_over_a_slice_that_was_left_out():
    parts = ReaderNodule(0, np.array([[1, 1, 0], [1, 1, 2]]))
    assert len(agree([parts, box(1, (1, 1, 2), (1, 1, 2))], 2)) == 1


def test_a_reader_who_outlines_twice_counts_once():
    (found,) = agree([box(0, (0, 0, 0), (2, 2, 0)), box(0, (1, 1, 0), (3, 3, 0))], 2)
    assert found.readers == 1
    assert len(found.consensus) == 0


def test_readers_may_agree_on_no_voxel():
    (found,) = agree([box(0, (0, 0, 0), (1, 1, 0)), box(1, (2, 0, 0), (3, 1, 0))], 2)
    assert found.readers == 2
    assert len(found.consensus) == 0


def test_no_outline_at_all_is_no_nodule():
    assert agree([], 2) == []


def test_the_diameter_is_that_of_a_sphere_of_the_same_volume():
    assert equivalent_diameter_mm(1000, np.pi / 6 * 0.512) == pytest.approx(8.0)
