"""Flipped gradients are noticed by what they do to fibers: they no longer run on from voxel to voxel (DWI009)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from medbundles.components.diffusion.coherence import READINGS, Reading, check_coherence, count_links
from medbundles.components.diffusion.preparation import prepare_scan
from medbundles.components.diffusion.tensor import ENTRIES, DiffusionMaps
from medbundles.errors import Finding
from medbundles.io.gradients import GradientTable, read_gradients
from medbundles.io.images import read_volume
from medbundles.samples.head.sites import sphere

pytest.importorskip("dipy", reason="the extra dwi is not installed")

Array = npt.NDArray[Any]

SHAPE = (29, 28, 27)
B_VALUES = np.array([0.0, *[1000.0] * 12])
WORLD = np.vstack([np.zeros(3), sphere(12)])
# Stored to the left, to the right with longer voxels, and oblique with exchanged axes.
LEFT = np.diag([-2.0, 2.0, 2.0, 1.0])
RIGHT = np.diag([2.0, 2.0, 2.5, 1.0])
OBLIQUE = np.array([[0.0, -1.9, 0.6, 0], [2.0, 0, 0, 0], [0.0, 0.6, 1.9, 0], [0, 0, 0, 1]])
GRIDS = pytest.mark.parametrize("affine", [LEFT, RIGHT, OBLIQUE], ids=["left", "right", "oblique"])


def bundles(affine: Array) -> tuple[Array, Array]:
    """Return tensors ``(X, Y, Z, 3, 3)`` of straight thin bundles in tissue without fibers, and a round brain."""
    places = np.indices(SHAPE).transpose(1, 2, 3, 0) @ affine[:3, :3].T
    places = places - places.mean(axis=(0, 1, 2))
    tensors = np.broadcast_to(0.7 * np.eye(3), (*SHAPE, 3, 3)).copy()
    for slab, fiber in enumerate(np.array([[1.0, 0.5, 0.2], [0.3, -0.9, 0.5], [-0.5, 0.2, 1.0]])):
        _, _, (fiber, *sides) = np.linalg.svd(fiber[None])
        inside = np.all([places @ side % 9 < 5 for side in sides], axis=0)
        inside &= np.digitize(places[..., 2], [-8, 8]) == slab
        tensors[inside] = 0.3 * np.eye(3) + 1.2 * np.outer(fiber, fiber)
    return tensors, np.linalg.norm(places, axis=-1) < 26


def maps(tensors: Array, mask: Array) -> DiffusionMaps:
    entries = np.stack([tensors[..., row, column] for row, column in ENTRIES], axis=-1) * mask[..., None]
    image = mask.astype(float)
    return DiffusionMaps(mask, image, image, entries, silent=0.0, unphysical=0.0)


def stored(affine: Array) -> Array:
    """Return the directions as a ``.bvec`` file has them."""
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    return (WORLD @ axes) * [-1.0 if np.linalg.det(axes) > 0 else 1.0, 1.0, 1.0]


def scan(affine: Array, directions: Array) -> list[Finding]:
    """Return what is found about gradients in a scan of the bundles."""
    tensors, mask = bundles(affine)
    decay = np.einsum("ni,xyzij,nj->xyzn", WORLD, tensors, WORLD)
    made = prepare_scan(1000 * np.exp(-decay), affine, GradientTable(B_VALUES, directions), ("fa",), mask=mask)
    return [finding for finding in made.findings if finding.code == "DWI009"]


@GRIDS
def test_true_directions_are_left_alone(affine: Array) -> None:
    assert scan(affine, stored(affine)) == []


@GRIDS
@pytest.mark.parametrize("axis", range(3), ids="xyz")
def test_a_flipped_axis_is_named(affine: Array, axis: int) -> None:
    directions = stored(affine)
    directions[:, axis] *= -1
    (finding,) = scan(affine, directions)
    assert finding.level == "warning"
    assert f"change the sign of each {'xyz'[axis]} in the .bvec file" in finding.fix


def test_exchanged_axes_are_named() -> None:
    (finding,) = scan(RIGHT, stored(RIGHT)[:, [0, 2, 1]])
    assert "in the order x, z, y" in finding.fix


@GRIDS
@pytest.mark.parametrize("number", range(1, len(READINGS), 5))
def test_the_best_reading_gives_the_true_directions_back(affine: Array, number: int) -> None:
    tensors, mask = bundles(affine)
    wrong = READINGS[number].apply(np.eye(3))
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    axes = axes * [-1.0 if np.linalg.det(axes) > 0 else 1.0, 1.0, 1.0]
    turn = axes @ wrong @ axes.T
    links, _ = count_links(maps(turn.T @ tensors @ turn, mask), affine)
    mended = max(links, key=lambda reading: links[reading]).apply(wrong)
    # A direction and its opposite are the same.
    assert np.abs(mended.trace()) == 3


def test_fibers_that_all_run_one_way_tell_nothing() -> None:
    tensors = np.broadcast_to(np.diag([1.5, 0.3, 0.3]), (*SHAPE, 3, 3))
    assert check_coherence(maps(tensors, np.ones(SHAPE, bool)), LEFT) == []


def test_directions_without_order_tell_nothing() -> None:
    fibers = np.random.default_rng(0).normal(size=(*SHAPE, 3))
    fibers /= np.linalg.norm(fibers, axis=-1, keepdims=True)
    tensors = 0.3 * np.eye(3) + 1.2 * fibers[..., :, None] * fibers[..., None, :]
    assert check_coherence(maps(tensors, np.ones(SHAPE, bool)), LEFT) == []


def test_tissue_without_fibers_is_not_counted() -> None:
    tensors = np.broadcast_to(np.diag([0.9, 0.8, 0.8]), (*SHAPE, 3, 3))
    links, voxels = count_links(maps(tensors, np.ones(SHAPE, bool)), LEFT)
    assert (sum(links.values()), voxels) == (0, 0)


def test_a_handful_of_voxels_is_not_judged() -> None:
    tensors, mask = bundles(LEFT)
    flip = np.diag([-1.0, 1.0, 1.0])
    mask[:8] = False
    mask[12:] = False
    assert check_coherence(maps(flip @ tensors @ flip, mask), LEFT) == []


def test_a_reading_says_how_to_mend_the_file() -> None:
    assert str(Reading((1, 0, 2), 2)) == (
        "put the numbers of each direction in the .bvec file in the order y, x, z, then "
        "change the sign of each z in the .bvec file"
    )


@pytest.mark.real
@pytest.mark.parametrize("name", ["dwi_dir16_AP", "dwi_dir16_PA_rot"])
@pytest.mark.parametrize("axis", [None, 0, 1, 2], ids=["true", "x", "y", "z"])
def test_a_real_head_tells(real_data: Path, name: str, axis: int | None) -> None:
    folder = real_data / "dmri_t1w" / "uih_pairs" / "sub-B"
    image = read_volume(folder / f"{name}.nii.gz")
    table = read_gradients(folder / f"{name}.bval", folder / f"{name}.bvec")
    if axis is not None:
        table.directions[:, axis] *= -1
    findings = prepare_scan(image.array, image.affine, table, ("fa",)).findings
    named = [finding.fix for finding in findings if finding.code == "DWI009"]
    assert len(named) == (axis is not None)
    assert all(f"sign of each {'xyz'[axis or 0]}" in fix for fix in named)
