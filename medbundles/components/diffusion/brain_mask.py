"""Where the brain is in a diffusion MRI."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from medbundles.io.grids import Affine, spacing_of
from medbundles.io.packages import require_package

Floats = npt.NDArray[np.floating[Any]]

# dipy's median filter counts voxels; a brain's edge counts millimeters.
MEDIAN_RADIUS_MM = 6.0
PASSES = 2


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
