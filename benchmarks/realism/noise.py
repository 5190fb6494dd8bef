"""Noise where nothing else varies: its deviation and how far it is correlated, in soft tissue and in lung."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from realism.volumes import Chest, Floats, Mask

TISSUE_HU, LUNG_HU = (0.0, 350.0), (-990.0, -700.0)
TISSUE_SIGMA_MM, LUNG_SIGMA_MM = 4.0, 3.0
# The flattest part of a tissue: elsewhere its own structure would count as noise.
FLATTEST = 0.35
LAGS_MM = np.arange(0, 6.01, 0.5)


def measure_noise(chest: Chest) -> tuple[dict[str, float], dict[str, npt.NDArray[np.float64]]]:
    """Return numbers, and autocorrelation curves over :data:`LAGS_MM`, of both tissues."""
    numbers: dict[str, float] = {}
    curves = {}
    for name, (low, high), sigma_mm, allowed in (
        ("tissue", TISSUE_HU, TISSUE_SIGMA_MM, np.ones_like(chest.core)),
        ("lung", LUNG_HU, LUNG_SIGMA_MM, chest.core),
    ):
        residual, mask = _residual(chest, low, high, sigma_mm, allowed)
        if mask.sum() < 2000:
            continue
        deviation = _deviation(residual[mask])
        mask &= np.abs(residual) < 4 * deviation
        curve = _in_plane(residual, mask, chest.spacing_mm[1])
        numbers[f"{name} noise HU"] = deviation
        numbers[f"{name} correlation half mm"] = _half_width(curve)
        for steps in (1, 2):
            numbers[f"{name} correlation z+{steps}"] = _correlation(residual, mask, 0, steps)
        curves[name] = curve
        slices = [_deviation(part[keep]) for part, keep in zip(residual, mask, strict=True) if keep.sum() > 300]
        low_end, high_end = np.quantile(slices, [0.1, 0.9]) if slices else (np.nan, np.nan)
        numbers[f"{name} noise p90/p10 of slices"] = float(high_end / low_end)
    return numbers, curves


def _residual(chest: Chest, low: float, high: float, sigma_mm: float, allowed: Mask) -> tuple[Floats, Mask]:
    sigma = (0, sigma_mm / chest.spacing_mm[1], sigma_mm / chest.spacing_mm[2])
    smooth = ndimage.gaussian_filter(chest.hu, sigma)
    mask = (smooth > low) & (smooth < high) & allowed
    slope = np.hypot(ndimage.sobel(smooth, 1), ndimage.sobel(smooth, 2))
    if mask.any():
        mask &= slope < np.quantile(slope[mask], FLATTEST)
    return np.asarray(chest.hu - smooth), mask


def _deviation(values: npt.NDArray[np.floating]) -> float:
    return float(1.4826 * np.median(np.abs(values - np.median(values))))


def _correlation(residual: Floats, mask: Mask, axis: int, steps: int) -> float:
    first = [slice(None)] * 3
    second = [slice(None)] * 3
    first[axis], second[axis] = slice(None, -steps), slice(steps, None)
    both = mask[tuple(first)] & mask[tuple(second)]
    if both.sum() < 500:
        return float("nan")
    return float(np.corrcoef(residual[tuple(first)][both], residual[tuple(second)][both])[0, 1])


def _in_plane(residual: Floats, mask: Mask, pixel_mm: float) -> npt.NDArray[np.float64]:
    count = int(LAGS_MM[-1] / pixel_mm) + 2
    values = [1.0]
    values += [
        (_correlation(residual, mask, 1, steps) + _correlation(residual, mask, 2, steps)) / 2
        for steps in range(1, count)
    ]
    return np.interp(LAGS_MM, np.arange(count) * pixel_mm, values)


def _half_width(curve: npt.NDArray[np.float64]) -> float:
    """Return the lag in mm at which a correlation has fallen to one half."""
    below = int(np.argmax(curve < 0.5)) if np.any(curve < 0.5) else len(curve) - 1
    first, second = curve[below - 1], curve[below]
    share = (first - 0.5) / max(first - second, 1e-6)
    return float(LAGS_MM[below - 1] + share * (LAGS_MM[below] - LAGS_MM[below - 1]))
