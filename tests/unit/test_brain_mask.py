"""The brain of an unweighted volume."""

from __future__ import annotations

import numpy as np
import pytest

from medbundles.components.diffusion.brain_mask import find_brain

pytest.importorskip("dipy", reason="the extra dwi is not installed")


def head(spacing: float = 2.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A bright ball with a dark ventricle, a rim of scalp that does not touch it, noise; the ball's truth."""
    size = round(180 / spacing)
    places = (np.indices((size, size, size)).transpose(1, 2, 3, 0) - (size - 1) / 2) * spacing
    distance = np.linalg.norm(places, axis=-1)
    generator = np.random.default_rng(0)
    volume = np.abs(generator.normal(0, 20, distance.shape))
    volume[distance < 65] += 800
    volume[distance < 8] = 100
    volume[(distance > 80) & (distance < 82)] += 500
    return volume, np.diag([spacing, spacing, spacing, 1.0]), distance < 65


@pytest.mark.parametrize("spacing", [pytest.param(2.0, marks=pytest.mark.slow), 3.5])
def test_the_brain_is_found_whatever_the_voxels_size(spacing: float) -> None:
    volume, affine, truth = head(spacing)
    found = find_brain(volume, affine)
    assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) > 0.97


def test_the_mask_is_one_piece_without_holes() -> None:
    volume, affine, _ = head(3.5)
    found = find_brain(volume, affine)
    middle = found.shape[0] // 2
    assert found[middle, middle, middle]  # the dark ventricle
    assert not found[1, middle, middle]  # the scalp


def test_an_empty_volume_has_no_brain() -> None:
    assert not find_brain(np.zeros((20, 20, 20)), np.eye(4)).any()
