from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medbundles.io.grids import (
    CORNER_TOLERANCE_VOXELS,
    Affine,
    case_name,
    corner_displacement_voxels,
    flip_lps,
    spacing_of,
    to_index,
    to_world,
)

from .grids import affines

SHAPES = st.tuples(*[st.integers(1, 600)] * 3)
POINTS = st.lists(st.tuples(*[st.floats(-50, 700)] * 3), min_size=1, max_size=5)


@given(affines(), POINTS)
def test_index_and_world_are_inverse(affine: Affine, points: list[tuple[float, float, float]]) -> None:
    index = np.array(points)

    assert np.allclose(to_index(affine, to_world(affine, index)), index, atol=1e-6)


@given(affines(sheared=True), st.tuples(*[st.floats(-50, 700)] * 3))
def test_a_single_point_maps_like_a_row_of_many(affine: Affine, point: tuple[float, float, float]) -> None:
    assert np.allclose(to_index(affine, [point, point])[1], to_index(affine, point))


@given(affines(), SHAPES)
def test_a_grid_does_not_move_against_itself(affine: Affine, shape: tuple[int, int, int]) -> None:
    assert corner_displacement_voxels(affine, affine, shape) == 0


@given(affines(), SHAPES, st.floats(0.2, 5))
def test_a_shift_displaces_by_its_length(affine: Affine, shape: tuple[int, int, int], shift: float) -> None:
    moved = affine.copy()
    moved[2, 3] += shift

    assert corner_displacement_voxels(affine, moved, shape) == pytest.approx(shift / min(spacing_of(affine)), rel=1e-6)


@given(affines())
def test_a_thousandth_in_the_direction_moves_the_far_corner_of_a_long_axis(affine: Affine) -> None:
    turned = affine.copy()
    turned[:3, 0] += 1e-3 * affine[:3, 1] / np.linalg.norm(affine[:3, 1]) * np.linalg.norm(affine[:3, 0])

    assert corner_displacement_voxels(affine, turned, (512, 2, 2)) > CORNER_TOLERANCE_VOXELS


@given(affines(), SHAPES)
def test_a_flipped_axis_is_another_grid(affine: Affine, shape: tuple[int, int, int]) -> None:
    flipped = affine @ np.diag([-1.0, 1.0, 1.0, 1.0])

    assert (corner_displacement_voxels(affine, flipped, shape) > CORNER_TOLERANCE_VOXELS) == (shape[0] > 1)


def test_lps_and_ras_differ_in_the_first_two_signs() -> None:
    assert flip_lps([1.0, 2.0, 3.0]).tolist() == [-1.0, -2.0, 3.0]


@pytest.mark.parametrize(
    ("name", "case"), [("a.b.nii.gz", "a.b"), ("scan 1.NII.GZ", "scan 1"), ("1.3.6.mhd", "1.3.6"), ("x.nrrd", "x")]
)
def test_a_case_is_named_like_its_file_without_the_suffix(name: str, case: str) -> None:
    assert case_name(name) == case
