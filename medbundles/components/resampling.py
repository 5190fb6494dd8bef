"""A volume on another grid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from medbundles.io.grids import Affine, spacing_of, to_world

Floats = npt.NDArray[np.floating[Any]]

# Standard deviation of a Gaussian of one unit of full width at half maximum.
SIGMA_OF_FWHM = 1.0 / np.sqrt(8.0 * np.log(2.0))


def resample(
    volume: Floats, affine: Affine, target_affine: Affine, target_shape: Sequence[int], fill: float = 0.0
) -> npt.NDArray[np.float32]:
    """Return a volume ``(X, Y, Z)`` on another grid, trilinear.

    Where the target's voxels are larger, the volume is blurred first to their width, so that a voxel shows the mean of
    what it covers and not the one value in its middle.

    Args:
        volume: values; masks as 0 and 1, to be compared with one half afterwards.
        affine: of its voxels, to RAS+ mm.
        target_affine: of the wanted voxels.
        target_shape: of the wanted volume.
        fill: value outside of the volume.
    """
    to_source = np.linalg.inv(affine) @ target_affine
    source = np.asarray(volume, dtype=np.float32)
    # How far one step along each of the volume's axes is, in voxels of the target.
    wide = np.linalg.norm(to_source[:3, :3], axis=1)
    sigmas = [float(np.sqrt(max(width**2 - 1.0, 0.0))) * SIGMA_OF_FWHM for width in wide]
    if any(sigmas):
        source = ndimage.gaussian_filter(source, sigmas, mode="nearest")
    resampled = ndimage.affine_transform(
        source,
        to_source[:3, :3],
        to_source[:3, 3],
        output_shape=tuple(target_shape),
        order=1,
        mode="grid-constant",  # a corner that rounding moved out by 1e-16 keeps its value
        cval=fill,
        output=np.float32,
    )
    return np.asarray(resampled, dtype=np.float32)


def isotropic_grid(affine: Affine, shape: Sequence[int], spacing_mm: float) -> tuple[Affine, tuple[int, int, int]]:
    """Return affine and shape of a grid with the same axes and the same field of view, and cubic voxels.

    Args:
        affine: of the volume.
        shape: of the volume.
        spacing_mm: edge of the wanted voxels.
    """
    edges = np.array(spacing_of(affine))
    extent = edges * np.array(shape[:3])
    size = np.maximum(np.ceil(extent / spacing_mm - 1e-6).astype(int), 1)
    wanted = np.eye(4)
    wanted[:3, :3] = affine[:3, :3] / edges * spacing_mm
    # Both fields of view have the same center.
    center = to_world(affine, (np.array(shape[:3]) - 1) / 2)
    wanted[:3, 3] = center - wanted[:3, :3] @ ((size - 1) / 2)
    return wanted, (int(size[0]), int(size[1]), int(size[2]))
