"""What is dense within the lungs: how much, how thick, and how many round sections a slice shows."""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from realism.volumes import Chest, Mask

DENSE_HU = -500.0
OPENINGS_MM = (0.8, 1.5, 2.5, 4.0)
# Equivalent diameters in mm of what a slice shows.
BINS_MM = (1.5, 2.5, 4.0, 6.0, 9.0, 15.0)
ROUND = 0.65
HU_BINS = np.arange(-1030, 105, 10)


def measure_structures(chest: Chest) -> dict[str, float]:
    """Return volumes in ml per liter of lung and sections per 100 square centimeters of lung section."""
    dense = (chest.hu > DENSE_HU) & chest.core
    numbers = {"dense ml/l": _share(dense, chest)}
    for radius in OPENINGS_MM:
        numbers[f"dense ml/l, opened {radius} mm"] = _share(_opened(dense, chest.spacing_mm[1], radius), chest)
    diameter, roundness = _sections(dense, chest.spacing_mm[1])
    area = float(chest.core.sum()) * chest.spacing_mm[1] * chest.spacing_mm[2] / 1e4
    for low, high in itertools.pairwise(BINS_MM):
        within = (diameter >= low) & (diameter < high)
        numbers[f"sections {low:g}-{high:g} mm /dm2"] = float(within.sum() / area)
        if high > 2.5:
            numbers[f"round sections {low:g}-{high:g} mm /dm2"] = float((within & (roundness > ROUND)).sum() / area)
    numbers["isolated 4-15 mm /l"] = _isolated(dense, chest)
    return numbers


def measure_densities(chest: Chest) -> tuple[dict[str, float], npt.NDArray[np.float64]]:
    """Return numbers of the HU within the lungs, and their histogram over :data:`HU_BINS`."""
    values = chest.hu[chest.core]
    quantiles = np.quantile(values, [0.05, 0.25, 0.5, 0.75, 0.95])
    numbers = {
        f"lung HU {name}": float(v) for name, v in zip(("p5", "p25", "p50", "p75", "p95"), quantiles, strict=True)
    }
    numbers["lung below -950 HU %"] = float(100 * np.mean(values < -950))
    smooth = ndimage.gaussian_filter(chest.hu, [6 / edge for edge in chest.spacing_mm])[chest.core]
    numbers["lung HU spread over 6 mm"] = float(np.subtract(*np.quantile(smooth, [0.9, 0.1])))
    histogram, _ = np.histogram(np.clip(values, HU_BINS[0], HU_BINS[-1]), HU_BINS, density=True)
    return numbers, histogram


def _share(mask: Mask, chest: Chest) -> float:
    return float(1000 * mask.sum() / max(chest.core.sum(), 1))


def _opened(mask: Mask, pixel_mm: float, radius: float) -> Mask:
    result = np.zeros_like(mask)
    for number, plane in enumerate(mask):
        kept = ndimage.distance_transform_edt(plane) * pixel_mm >= radius
        if kept.any():
            result[number] = ndimage.distance_transform_edt(~kept) * pixel_mm <= radius
    return result & mask


def _sections(mask: Mask, pixel_mm: float) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return equivalent diameter in mm and minor by major axis of everything that is connected in a slice."""
    in_plane = np.zeros((3, 3, 3), dtype=bool)
    in_plane[1] = True
    labels, count = ndimage.label(mask, in_plane)
    where = np.nonzero(labels)
    names = labels[where]
    size = np.bincount(names, minlength=count + 1)[1:].astype(float)
    y, x = (axis.astype(float) for axis in where[1:])
    mean_y, mean_x = (np.bincount(names, axis, count + 1)[1:] / size for axis in (y, x))
    dy, dx = y - mean_y[names - 1], x - mean_x[names - 1]
    # A pixel's own extent: a single one is round, not undefined.
    yy, xx, xy = (np.bincount(names, part, count + 1)[1:] / size for part in (dy * dy, dx * dx, dx * dy))
    middle, spread = (yy + xx) / 2 + 1 / 12, np.hypot((yy - xx) / 2, xy)
    return 2 * pixel_mm * np.sqrt(size / np.pi), np.sqrt((middle - spread) / (middle + spread))


def _isolated(mask: Mask, chest: Chest) -> float:
    labels, count = ndimage.label(mask)
    volume = np.bincount(labels.ravel(), minlength=count + 1)[1:] * float(np.prod(chest.spacing_mm))
    diameter = np.cbrt(6 * volume / np.pi)
    return float(((diameter > 4) & (diameter < 15)).sum() / chest.liters)
