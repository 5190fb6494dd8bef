"""Where the brain is in a diffusion MRI."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from medbundles.errors import DataError, Finding
from medbundles.io.grids import Affine, spacing_of
from medbundles.io.packages import require_package

Floats = npt.NDArray[np.floating[Any]]

# dipy's median filter counts voxels; a brain's edge counts millimeters.
MEDIAN_RADIUS_MM = 6.0
PASSES = 2
# A preterm infant's brain has three times as much; less is a lesion's mask, or a voxel size that is not in mm.
SMALLEST_BRAIN_ML = 20.0
# A share of brain in each voxel lies in 0 to 1; interpolation goes a little beyond.
LARGEST_SHARE = 1.1


def as_brain(mask: npt.NDArray[Any], file: str | None = None) -> npt.NDArray[np.bool_]:
    """Return where a mask as it was stored says brain.

    In one with fractions of 0 to 1, a share or a probability, that is above one half; in any other, above 0.

    Args:
        mask: ``(X, Y, Z)`` of any type.
        file: its name, for the error.

    Raises:
        DataError: it holds NaN or infinite numbers (DWI012).
    """
    if mask.dtype.kind != "f":
        return np.asarray(mask > 0)
    broken = int(np.count_nonzero(~np.isfinite(mask)))
    if broken:
        message = f"{broken} voxels of the brain mask are NaN or infinite, expected 0 and 1"
        fix = "mend the mask, or take it away: the brain is found then"
        raise DataError(findings=[Finding("DWI012", "error", message, fix, file=file)])
    soft = mask.max(initial=0.0) <= LARGEST_SHARE and bool((np.rint(mask) != mask).any())
    return np.asarray(mask > (0.5 if soft else 0.0))


def find_brain(mean_b0: Floats, affine: Affine) -> npt.NDArray[np.bool_]:
    """Return the brain of an unweighted volume: dipy's median filter and Otsu threshold, one piece, without holes.

    Args:
        mean_b0: ``(X, Y, Z)`` mean of the b0 volumes.
        affine: of its voxels, to mm.

    Raises:
        EnvironmentFailure: dipy is not installed.
    """
    require_package("dipy", "dwi", "finding the brain")
    from dipy.segment.mask import median_otsu

    radius = int(np.clip(round(MEDIAN_RADIUS_MM / float(np.mean(spacing_of(affine)))), 1, 4))
    _, found = median_otsu(np.asarray(mean_b0, np.float32), median_radius=radius, numpass=PASSES)
    pieces, count = ndimage.label(found)
    if count == 0:
        return np.zeros(mean_b0.shape, bool)
    largest = pieces == 1 + int(np.argmax(np.bincount(pieces.ravel())[1:]))
    return np.asarray(ndimage.binary_fill_holes(largest))
