"""N4: the slow change of brightness that a coil leaves in an MR image, taken out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from medbundles.components.resampling import isotropic_grid, resample
from medbundles.io.grids import Affine, spacing_of

Floats = npt.NDArray[np.floating[Any]]

# The field is smooth: it is fitted on voxels of this edge and evaluated on all. On 1 mm the fit takes a minute.
WORKING_MM = 4.0
# At most, from the coarsest to the finest control points: 4 along each axis, doubled from level to level.
ITERATIONS = (50, 50, 50)
CONVERGENCE = 1e-3
# An image with less brain than this, on voxels of that edge, shows none.
FEWEST_VOXELS = 64


def correct_bias(image: Floats, affine: Affine, brain: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.float32], float]:
    """Divide an image by the bias field that N4 finds in a brain.

    Source: Tustison et al., IEEE Transactions on Medical Imaging 29, 2010.

    Args:
        image: ``(X, Y, Z)``; values of 0 and below say nothing of the field, which is found without them.
        affine: of its voxels.
        brain: where the field is looked for; outside, it is only divided by.

    Returns:
        The image, its mean inside the brain as before, and how uneven it was: the 95th percentile of the field inside
        the brain over the 5th. An image without a brain comes back as it is, with 1.
    """
    source = np.asarray(image, dtype=np.float32)
    grid, size = isotropic_grid(affine, image.shape, max(WORKING_MM, max(spacing_of(affine))))
    known = brain & (source > 0)
    coarse_known = resample(known.astype(np.float32), affine, grid, size) >= 0.5
    if np.count_nonzero(coarse_known) < FEWEST_VOXELS:
        return source, 1.0
    # What lies beside the brain must not be mixed into its voxels.
    share = resample(known.astype(np.float32), affine, grid, size)
    coarse = resample(np.where(known, source, 0), affine, grid, size) / np.maximum(share, 0.5)
    field = np.exp(_enlarged(_log_field(coarse, coarse_known, spacing_of(grid)), grid, affine, image.shape))
    inside = field[known]
    corrected = source / field
    scale = source[known].mean(dtype=np.float64) / corrected[known].mean(dtype=np.float64)
    low, high = np.percentile(inside, (5, 95))
    return np.asarray(corrected * np.float32(scale), dtype=np.float32), float(high / low)


def _log_field(image: Floats, mask: npt.NDArray[np.bool_], spacing: tuple[float, float, float]) -> Floats:
    """Return the logarithm of the field on the voxels of an image, those outside of the mask included."""
    import itk

    # ITK's arrays are (z, y, x).
    volume = itk.image_from_array(np.ascontiguousarray(image.transpose(2, 1, 0), dtype=np.float32))
    inside = itk.image_from_array(np.ascontiguousarray(mask.transpose(2, 1, 0), dtype=np.uint8))
    for each in (volume, inside):
        each.SetSpacing(list(spacing))
    n4 = itk.N4BiasFieldCorrectionImageFilter.New(volume, inside)
    n4.SetNumberOfFittingLevels(len(ITERATIONS))
    n4.SetMaximumNumberOfIterations(list(ITERATIONS))
    n4.SetConvergenceThreshold(CONVERGENCE)
    n4.Update()
    field = n4.ReconstructBiasField(n4.GetLogBiasFieldControlPointLattice())
    return np.asarray(itk.array_from_image(field)).transpose(2, 1, 0)


def _enlarged(field: Floats, grid: Affine, affine: Affine, shape: Sequence[int]) -> npt.NDArray[np.float32]:
    """Return a smooth field on finer voxels; beyond the middle of its outermost voxels it stays as it is there."""
    wider = grid.copy()
    wider[:3, 3] -= grid[:3, :3].sum(axis=1)
    return resample(np.pad(field, 1, mode="edge"), wider, affine, shape)
