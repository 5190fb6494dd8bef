"""NaN and infinite voxels (NII002): where they lie decides whether they can be replaced."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import numpy.typing as npt

from medbundles.errors import DataError, Finding

# Resampling outside a scan's field of view and damaged slices both leave NaN. A few in the background change no
# result; more than one in a thousand means that something went wrong with the file.
REPLACEABLE_SHARE = 1e-3
# In CT, air in front of the body and inside the airways lies near -1000 HU, the emptiest lung tissue above -950.
AIR_LIMIT_HU = -900.0
AIR_HU = -1000.0
# In other modalities background is what is darker than this share of the bright end (99th percentile) of the values.
DARK_SHARE = 0.05
REACH_VOXELS = 2


def repair_nonfinite(
    array: npt.NDArray[Any], modality: str | None = None, case: str | None = None, file: str | None = None
) -> tuple[npt.NDArray[Any], int]:
    """Replace the few NaN and infinite voxels of a background; refuse anything else.

    Args:
        array: voxels ``(H, W, D)`` or ``(C, H, W, D)``, any type.
        modality: ``CT`` takes the values as HU; anything else judges by brightness.
        case: the case's name, for the error.
        file: the file's name, for the error.

    Returns:
        The array itself where all values are finite, else a copy with the background's value in their place (-1000 HU
        for CT, the lowest finite value otherwise), and how many voxels were replaced.

    Raises:
        DataError: they are more than 0.1 % of the volume or lie in tissue (NII002).
    """
    count, in_tissue = count_nonfinite(array, modality)
    if count == 0:
        return array, 0
    if not replaceable(count, in_tissue, array.size):
        fix = "mend the file; only a few outside tissue can be replaced"
        raise DataError(findings=[Finding("NII002", "error", describe(count, in_tissue, array.size), fix, case, file)])
    repaired = array.copy()
    broken = ~np.isfinite(repaired)
    repaired[broken] = AIR_HU if modality == "CT" else repaired[~broken].min()
    return repaired, count


def replaceable(count: int, in_tissue: int, voxels: int) -> bool:
    """Tell whether so many broken voxels may be replaced before inference."""
    return in_tissue == 0 and count < REPLACEABLE_SHARE * voxels


def describe(count: int, in_tissue: int, voxels: int) -> str:
    """Return the sentence about broken voxels that findings use."""
    return f"{count} NaN or infinite voxels ({100 * count / voxels:.3g} %), {in_tissue} of them in tissue"


def count_nonfinite(array: npt.NDArray[Any], modality: str | None = None) -> tuple[int, int]:
    """Count the NaN and infinite voxels, and those among them that tissue surrounds.

    A broken voxel lies in tissue when the mean of the finite voxels at most two steps away is brighter than background
    (the mean, because single voxels of noisy air are bright), or when the volume holds so many broken voxels that
    looking at each is pointless (all of them count as tissue then).

    Args:
        array: voxels, any number of axes.
        modality: ``CT`` takes the values as HU.

    Returns:
        Both counts.
    """
    if array.dtype.kind not in "fc":
        return 0, 0
    finite = np.isfinite(array)
    count = int(array.size - np.count_nonzero(finite))
    if count == 0 or count >= REPLACEABLE_SHARE * array.size:
        return count, count
    positions = np.argwhere(~finite)
    if modality == "CT":
        floor, limit = AIR_HU, AIR_LIMIT_HU
    else:
        floor, high = np.percentile(array[finite], (0, 99))
        limit = floor + DARK_SHARE * (high - floor)
    return count, int(np.count_nonzero(_surroundings(array, positions, floor) > limit))


def _surroundings(array: npt.NDArray[Any], positions: npt.NDArray[np.intp], floor: float) -> npt.NDArray[np.float64]:
    """Return the mean of the finite voxels around each position, padding below the floor raised to it."""
    total, counted = np.zeros(len(positions)), np.zeros(len(positions))
    last = np.array(array.shape) - 1
    for step in itertools.product(*[range(-REACH_VOXELS, REACH_VOXELS + 1)] * min(3, array.ndim)):
        shift = np.zeros(array.ndim, dtype=int)
        shift[array.ndim - len(step) :] = step
        values = array[tuple(np.clip(positions + shift, 0, last).T)].astype(np.float64)
        usable = np.isfinite(values)
        total[usable] += np.maximum(values[usable], floor)
        counted += usable
    # Surrounded by nothing but broken voxels: nobody can say what was there.
    return np.where(counted > 0, total / np.maximum(counted, 1), np.inf)
