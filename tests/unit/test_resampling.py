"""Volumes on other grids: places of the world stay where they are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medbundles.components.resampling import isotropic_grid, resample
from medbundles.io.grids import Affine, spacing_of, to_world


def oblique(angle: float, spacing: tuple[float, float, float], mirrored: bool = False) -> Affine:
    cosine, sine = np.cos(angle), np.sin(angle)
    affine = np.eye(4)
    affine[:3, :3] = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]]) @ np.diag(spacing)
    affine[:3, 3] = (-12, 7, 3)
    return affine @ np.diag([-1.0 if mirrored else 1.0, 1, 1, 1])


def ramp(affine: Affine, shape: tuple[int, int, int]) -> np.ndarray:
    """A volume whose value is a linear function of the place in the world."""
    places = to_world(affine, np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1))
    return places @ np.array([1.0, 2.0, -3.0])


@settings(max_examples=25, deadline=None)
@given(angle=st.floats(-0.6, 0.6), edge=st.floats(0.5, 1.0), mirrored=st.booleans())
def test_a_value_stays_at_its_place_in_the_world(angle: float, edge: float, mirrored: bool) -> None:
    source = oblique(0.1, (1.0, 1.2, 1.5))
    target = oblique(angle, (edge, 1.0, 1.1), mirrored)
    target[:3, 3] = to_world(source, (10, 10, 10)) - target[:3, :3] @ np.array([2, 2, 2])
    found = resample(ramp(source, (24, 24, 24)), source, target, (5, 5, 5))
    assert found == pytest.approx(ramp(target, (5, 5, 5)), abs=1e-3)


def test_the_same_grid_changes_nothing() -> None:
    affine = oblique(0.3, (1.0, 1.2, 1.5), mirrored=True)
    volume = np.random.default_rng(0).normal(size=(6, 7, 8))
    assert resample(volume, affine, affine, volume.shape) == pytest.approx(volume, abs=1e-5)


def test_outside_of_the_volume_is_the_fill() -> None:
    moved = np.eye(4)
    moved[0, 3] = 100
    assert (resample(np.ones((4, 4, 4)), np.eye(4), moved, (3, 3, 3), fill=-7.0) == -7.0).all()


def test_large_voxels_show_the_mean_of_what_they_cover() -> None:
    checkered = np.indices((32, 32, 32)).sum(axis=0) % 2.0
    coarse = np.diag([4.0, 4.0, 4.0, 1.0])
    coarse[:3, 3] = 1.0
    found = resample(checkered, np.eye(4), coarse, (7, 7, 7))
    assert found[2:5, 2:5, 2:5] == pytest.approx(0.5, abs=0.02)


def test_isotropic_voxels_cover_the_same_field_of_view() -> None:
    affine = oblique(0.2, (3.5, 3.5, 4.2), mirrored=True)
    wanted, shape = isotropic_grid(affine, (64, 64, 20), 2.0)
    assert shape == (112, 112, 42)
    assert spacing_of(wanted) == pytest.approx((2.0, 2.0, 2.0))
    center = to_world(affine, (31.5, 31.5, 9.5))
    assert to_world(wanted, (55.5, 55.5, 20.5)) == pytest.approx(center)
    assert np.sign(np.linalg.det(wanted)) == np.sign(np.linalg.det(affine))


def test_a_volume_thinner_than_a_voxel_keeps_one() -> None:
    assert isotropic_grid(np.diag([1.0, 1.0, 0.5, 1.0]), (10, 10, 1), 2.0)[1] == (5, 5, 1)
