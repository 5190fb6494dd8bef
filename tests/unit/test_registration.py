"""A moved T1w is found again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from dwi_layout import DWI_AFFINE, T1W_AFFINE, TinyHead
from scipy import ndimage

from medbundles.components import registration
from medbundles.components.diffusion.brain_mask import find_brain
from medbundles.components.registration import (
    Alignment,
    align_rigidly,
    normalized_mutual_information,
    refine_rigidly,
)
from medbundles.io.grids import Affine, to_world
from medbundles.samples.head.scan import HeadScan, make_head
from medbundles.samples.head.sites import SITES

Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

pytest.importorskip("dipy", reason="the extra dwi is not installed")


@pytest.fixture(scope="module")
def head() -> HeadScan:
    site = replace(SITES[0], spacing_mm=(4.0, 4.0, 4.0), t1w_spacing_mm=(3.0, 3.0, 3.0), directions=6, unweighted=2)
    return make_head(0, 0, site)


def align(head: HeadScan, movement: Affine) -> Alignment:
    b0 = head.dwi[..., 0].astype(np.float32)
    brain = find_brain(b0, head.dwi_affine)
    return align_rigidly(head.t1w.astype(np.float32), movement @ head.t1w_affine, b0, head.dwi_affine, brain)


@pytest.fixture(scope="module")
def still(head: HeadScan) -> Alignment:
    return align(head, np.eye(4))


def blurred_pair(moved: Affine) -> tuple[Floats, Affine, Floats, Affine, Mask]:
    """Return a tissue as two scanners see it, of other contrast and one with slices of 4 mm; the first one moved."""
    fine = ndimage.zoom(np.random.default_rng(0).random((5, 5, 5)), 16, order=3)
    inside = np.linalg.norm((np.indices(fine.shape) - 40) / np.reshape([34, 38, 30], (3, 1, 1, 1)), axis=0) < 1
    thick = np.where(inside, 1.2 - fine, 0).reshape(80, 80, 20, 4).mean(axis=-1)
    affine = np.diag([1.0, 1.0, 4.0, 1.0])
    affine[2, 3] = 1.5
    return np.where(inside, fine, 0).astype(np.float32), moved, thick.astype(np.float32), affine, thick > 0.2


def test_a_place_is_refined_from_where_the_first_search_has_put_it() -> None:
    center = movement(0.0, (40.0, 40.0, 40.0))
    moved = center @ movement(2.0, (1.6, -1.0, 1.2)) @ np.linalg.inv(center)
    found = refine_rigidly(Alignment(np.eye(4), 0.0, 1.0, 1.0, 1.0), *blurred_pair(moved))
    places = np.array([[20.0, 40, 40], [60, 40, 40], [40, 20, 60], [40, 60, 20]])
    assert np.linalg.norm(to_world(found.transform, places) - to_world(moved, places), axis=1).max() < 0.5
    assert found.information_after > found.information_before


def test_a_refinement_that_goes_astray_leaves_the_first_place(monkeypatch: pytest.MonkeyPatch) -> None:
    moved = movement(0.0, (0.0, 0.0, 1.6))
    monkeypatch.setattr(registration, "_search", lambda *_: movement(0.0, (0.0, 9.0, 0.0)))
    found = refine_rigidly(Alignment(moved, 1.6, 1.0, 1.0, 1.0), *blurred_pair(moved))
    assert found.transform == pytest.approx(moved)


def test_a_refinement_that_only_worsens_leaves_the_t1w_where_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registration, "_search", lambda *_: movement(0.0, (0.0, 9.0, 0.0)))
    found = refine_rigidly(Alignment(movement(0.0, (8.0, 0.0, 0.0)), 8.0, 1.0, 1.0, 1.0), *blurred_pair(np.eye(4)))
    assert found.displacement_mm == 0.0


def movement(angle_degrees: float, shift_mm: tuple[float, float, float]) -> Affine:
    cosine, sine = np.cos(np.deg2rad(angle_degrees)), np.sin(np.deg2rad(angle_degrees))
    moved = np.eye(4)
    moved[:3, :3] = [[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]]
    moved[:3, 3] = shift_mm
    return moved


@pytest.mark.slow
def test_images_that_lie_on_each_other_stay(still: Alignment) -> None:
    assert still.displacement_mm < 4.0  # people move, and echo-planar images are distorted
    assert still.covered > 0.99


@pytest.mark.slow
def test_a_movement_is_found_again(head: HeadScan, still: Alignment) -> None:
    moved = movement(12.0, (5.0, 5.0, -8.0))
    found = align(head, moved)
    places = np.array([[-40.0, -60, 0], [40, 40, 20], [0, -20, 60]])
    expected = to_world(moved, to_world(still.transform, places))
    assert np.linalg.norm(to_world(found.transform, places) - expected, axis=1).max() < 2.0
    assert found.displacement_mm > 8.0
    assert found.information_after > found.information_before + 0.01


@pytest.mark.slow
def test_the_transform_is_rigid(still: Alignment) -> None:
    turn = still.transform[:3, :3]
    assert turn @ turn.T == pytest.approx(np.eye(3), abs=1e-6)
    assert np.linalg.det(turn) == pytest.approx(1.0)


@pytest.mark.slow
def test_a_t1w_that_shows_a_part_of_the_brain_says_how_much(head: HeadScan) -> None:
    upper = head.t1w[..., head.t1w.shape[2] // 2 :]
    origin = head.t1w_affine.copy()
    origin[:3, 3] = to_world(head.t1w_affine, (0, 0, head.t1w.shape[2] // 2))
    assert 0.2 < align(replace(head, t1w=upper, t1w_affine=origin), np.eye(4)).covered < 0.9


def test_mutual_information_of_the_same_of_something_else_and_of_nothing() -> None:
    values = np.random.default_rng(0).random(20000)
    other = np.random.default_rng(1).random(20000)
    assert normalized_mutual_information(values, -values) == pytest.approx(2.0)
    assert normalized_mutual_information(values, other) < 1.01
    assert normalized_mutual_information(values[:0], other[:0]) == 1.0


def test_a_search_that_goes_astray_leaves_the_t1w_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    voxels, _ = TinyHead().dwi()
    b0 = voxels[..., 0].astype(np.float32)
    monkeypatch.setattr(registration, "_search", lambda *_: movement(0.0, (0.0, 9.0, 0.0)))
    found = align_rigidly(TinyHead().t1w().astype(np.float32), T1W_AFFINE, b0, DWI_AFFINE, b0 > 300)
    assert found.displacement_mm == 0.0
    assert found.information_after == found.information_before
