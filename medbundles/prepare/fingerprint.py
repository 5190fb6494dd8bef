"""The fingerprint of a data set: grids, intensities and lesion sizes, and a content hash of every case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from medbundles.io.hashing import sha256_data
from medbundles.io.images import Affine, spacing_of

FINGERPRINT_NAME = "fingerprint.json"
PERCENTILES = (0.5, 5.0, 50.0, 95.0, 99.5)
# Air and lung lie below, soft tissue above (the usual level for chest CT).
AIR_HU = -320
# Coarse is enough for percentiles over hundreds of thousands of voxels, and sixty times faster than the full grid.
LUNG_SAMPLE_MM = 3.0
# Emptier than any lung: the surroundings and the scanner's padding.
OUTSIDE_HU = -980
# Airways, bowel gas and the table's hollows are smaller than a twentieth of the lungs they lie beside.
SMALL_PART = 0.05


def lung_sample(volume: npt.NDArray[Any], affine: Affine) -> npt.NDArray[Any]:
    """Return the HU of a regular sample of lung voxels; empty where there is no lung.

    Lung is what is darker than -320 HU and does not reach the in-plane border of the volume; in a scan cropped to the
    lungs, where everything dark reaches it, all that is darker than -320 HU and not empty.

    Args:
        volume: CT ``(H, W, D)`` in HU.
        affine: 4x4, voxel index to RAS+ mm.
    """
    steps = tuple(slice(None, None, max(1, round(LUNG_SAMPLE_MM / edge))) for edge in spacing_of(affine))
    coarse = volume[steps]
    parts, count = ndimage.label(coarse < AIR_HU)
    if count == 0:
        return coarse[:0].ravel()
    sizes = np.bincount(parts.ravel(), minlength=count + 1)
    borders = [parts[0], parts[-1], parts[:, 0], parts[:, -1]]
    sizes[np.unique(np.concatenate([border.ravel() for border in borders]))] = 0
    sizes[0] = 0
    if not sizes.any():
        return np.asarray(coarse[(coarse < AIR_HU) & (coarse > OUTSIDE_HU)])
    lungs = (sizes > SMALL_PART * sizes.max()) & (sizes > 0)
    return np.asarray(coarse[lungs[parts]])


def describe_values(values: npt.NDArray[Any]) -> dict[str, float | int] | None:
    """Return count, mean, standard deviation and percentiles; ``None`` without values."""
    if values.size == 0:
        return None
    levels = np.percentile(values, PERCENTILES)
    return {
        "count": int(values.size),
        "mean": round(float(values.mean(dtype=np.float64)), 2),
        "std": round(float(values.std(dtype=np.float64)), 2),
        **{f"percentile_{p:g}": round(float(level), 2) for p, level in zip(PERCENTILES, levels, strict=True)},
    }


def summarize_cases(cases: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Summarize the fingerprints of all cases.

    Args:
        cases: by case name: ``shape``, ``spacing_mm``, ``image_sha256`` and ``label_sha256`` (of voxels and grid), and
            optionally ``intensities`` (by region) and ``diameters_mm``.

    Returns:
        The content of ``fingerprint.json``: ``sha256`` of the whole data set, a ``summary`` and the ``cases``.
    """
    names = sorted(cases)
    diameters = [value for name in names for value in cases[name].get("diameters_mm", ())]
    regions = sorted({region for name in names for region in cases[name].get("intensities", {})})
    return {
        "sha256": sha256_data({name: [cases[name]["image_sha256"], cases[name]["label_sha256"]] for name in names}),
        "summary": {
            "cases": len(names),
            "shape": _spread([cases[name]["shape"] for name in names]),
            "spacing_mm": _spread([cases[name]["spacing_mm"] for name in names]),
            "diameters_mm": describe_values(np.array(diameters)),
            "intensities": {
                region: _pool([cases[n].get("intensities", {}).get(region) for n in names]) for region in regions
            },
        },
        "cases": {name: dict(cases[name]) for name in names},
    }


def _spread(rows: Sequence[Sequence[float]]) -> dict[str, list[float]]:
    table = np.array(rows, dtype=np.float64)
    return {
        "minimum": table.min(axis=0).round(6).tolist(),
        "median": np.median(table, axis=0).round(6).tolist(),
        "maximum": table.max(axis=0).round(6).tolist(),
    }


def _pool(parts: Sequence[Mapping[str, float] | None]) -> dict[str, float] | None:
    """Pool mean and deviation exactly over all voxels; the percentiles are medians over the cases' own."""
    known = [part for part in parts if part]
    if not known:
        return None
    counts = np.array([part["count"] for part in known], dtype=np.float64)
    means = np.array([part["mean"] for part in known])
    squares = np.array([part["std"] for part in known]) ** 2 + means**2
    mean = float((counts * means).sum() / counts.sum())
    variance = float((counts * squares).sum() / counts.sum()) - mean**2
    percentiles = [key for key in known[0] if key.startswith("percentile")]
    medians = {key: round(float(np.median([part[key] for part in known])), 2) for key in percentiles}
    return {"count": int(counts.sum()), "mean": round(mean, 2), "std": round(max(variance, 0.0) ** 0.5, 2), **medians}
