"""Distances between the surfaces of two masks, in millimeters whatever the grid is."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from medbundles.io.grids import Affine

Mask = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]

# The BraTS challenges' distance for a region that is there in only one of truth and prediction: the diagonal of their
# volumes of 240 x 240 x 155 mm, rounded up.
ONE_EMPTY_MM = 374.0
HAUSDORFF_PERCENT = 95.0


def surface_voxels(mask: Mask) -> npt.NDArray[np.intp]:
    """Return the indices ``(N, 3)`` of a mask's voxels that share a face with a voxel outside of it or with the edge.

    Args:
        mask: ``(H, W, D)``.
    """
    padded = np.pad(mask, 1)
    inside = padded.copy()
    for axis in range(mask.ndim):
        inside &= np.roll(padded, 1, axis)
        inside &= np.roll(padded, -1, axis)
    center = tuple(slice(1, -1) for _ in range(mask.ndim))
    return np.argwhere(mask & ~inside[center])


def surface_distances(first: Mask, second: Mask, affine: Affine) -> tuple[Floats, Floats]:
    """Return how far each surface voxel of one mask lies from the nearest surface voxel of the other, both ways.

    Distances are taken between voxel centers in world coordinates: large, oblique and sheared voxels are measured
    right. The nearest voxels are found in a k-d tree, which costs as much as there is surface, not volume.

    Args:
        first: ``(H, W, D)``, at least one voxel.
        second: the same shape, at least one voxel.
        affine: 4x4, voxel index to RAS+ mm.

    Returns:
        Millimeters, one value a surface voxel: from the first to the second, from the second to the first.
    """
    points = [surface_voxels(mask) @ affine[:3, :3].T for mask in (first, second)]
    trees = [cKDTree(each) for each in points]
    return _nearest(trees[1], points[0]), _nearest(trees[0], points[1])


def hausdorff_95(to_second: Floats, to_first: Floats) -> float:
    """Return the larger of both ways' 95th percentiles, mm (linear interpolation, as MONAI's)."""
    return float(max(np.percentile(distances, HAUSDORFF_PERCENT) for distances in (to_second, to_first)))


def surface_dice(to_second: Floats, to_first: Floats, tolerance_mm: float) -> float:
    """Return the share of both surfaces' voxels that lie within a tolerance of the other surface, 0 to 1.

    Nikolov et al., Journal of Medical Internet Research 23, 2021, counted by voxels as MONAI's
    ``compute_surface_dice`` does by default.
    """
    near = np.count_nonzero(to_second <= tolerance_mm) + np.count_nonzero(to_first <= tolerance_mm)
    return float(near / (len(to_second) + len(to_first)))


def _nearest(tree: Any, points: Floats) -> Floats:
    distances, _ = tree.query(points)
    return np.asarray(distances, dtype=np.float64)
