"""Smoothing of probabilities is measured in mm and tells specks from nodules."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from scipy import ndimage

from medbundles.components.transforms import SmoothProbabilityd
from medbundles.errors import ConfigurationError


def smoothed(volume: np.ndarray, spacing: tuple[float, float, float] = (1, 1, 1), sigma_mm: float = 1.0) -> np.ndarray:
    affine = torch.diag(torch.tensor([*spacing, 1.0], dtype=torch.float64))
    item = {"pred": MetaTensor(torch.from_numpy(volume[None]), affine=affine)}
    return np.asarray(SmoothProbabilityd("pred", sigma_mm)(item)["pred"][0])


def ball(radius: float, size: int = 31) -> np.ndarray:
    axes = np.indices((size, size, size)) - size // 2
    return ((axes**2).sum(axis=0) <= radius**2).astype(np.float32)


def test_is_a_gaussian_with_the_deviation_in_mm_along_every_axis() -> None:
    volume = np.random.default_rng(0).random((20, 21, 12)).astype(np.float32)
    expected = ndimage.gaussian_filter(volume, (2.0, 1.0, 0.4), mode="nearest")
    np.testing.assert_allclose(smoothed(volume, (0.5, 1.0, 2.5)), expected, atol=1e-5)


def test_a_small_object_far_from_the_border_is_smoothed_as_in_the_whole_volume() -> None:
    volume = np.zeros((40, 40, 40), dtype=np.float32)
    volume[30, 8, 20] = 1.0
    np.testing.assert_allclose(smoothed(volume), ndimage.gaussian_filter(volume, 1.0), atol=1e-6)


def test_a_speck_falls_far_below_a_nodule_of_the_same_peak() -> None:
    assert smoothed(ball(0)).max() < 0.1
    assert smoothed(ball(4)).max() > 0.95


def test_probabilities_stay_probabilities() -> None:
    result = smoothed((np.random.default_rng(1).random((16, 16, 16)) > 0.5).astype(np.float32))
    assert result.min() >= 0
    assert result.max() <= 1


@pytest.mark.parametrize("sigma_mm", [0.0, 1.0])
def test_nothing_stays_nothing_and_the_input_is_not_changed(sigma_mm: float) -> None:
    empty, full = np.zeros((8, 8, 4), dtype=np.float32), ball(2, 9)
    before = full.copy()
    assert not smoothed(empty, sigma_mm=sigma_mm).any()
    smoothed(full, sigma_mm=sigma_mm)
    np.testing.assert_array_equal(full, before)


def test_meta_data_and_type_are_kept() -> None:
    affine = torch.diag(torch.tensor([0.7, 0.7, 2.5, 1.0], dtype=torch.float64))
    image = MetaTensor(torch.rand(2, 8, 8, 4, dtype=torch.float16), affine=affine, meta={"case": "one"})
    result = SmoothProbabilityd("pred", 1.0)({"pred": image})["pred"]
    assert (result.dtype, result.shape, result.meta["case"]) == (torch.float16, image.shape, "one")
    torch.testing.assert_close(result.affine, affine)


def test_a_negative_distance_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="sigma_mm"):
        SmoothProbabilityd("pred", -1.0)


def test_in_place_the_same_values_are_written_over_the_input() -> None:
    volume = torch.rand(1, 8, 8, 8)
    expected = SmoothProbabilityd("pred", sigma_mm=1.0)({"pred": volume})["pred"]
    smoothed = SmoothProbabilityd("pred", sigma_mm=1.0, in_place=True)({"pred": volume})["pred"]
    assert smoothed.data_ptr() == volume.data_ptr()
    assert torch.equal(volume, expected)
