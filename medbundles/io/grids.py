"""Grids in world coordinates and the names of the files that hold them: pure arithmetic, no reading.

World coordinates are RAS+ millimetres everywhere in this package (x to the patient's right, as in NIfTI); LPS is only
used where a file format or a table demands it, and then its name says so.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

NIFTI_SUFFIXES = (".nii.gz", ".nii")
ITK_SUFFIXES = (".mhd", ".mha", ".nrrd")
IMAGE_SUFFIXES = NIFTI_SUFFIXES + ITK_SUFFIXES

# Two grids are the same when no corner of the volume moves by more than a tenth of a voxel: below that, resampling
# would change nothing that matters; above it, thin structures shift visibly. Never compared element by element: a
# direction cosine that is off by 1e-3 moves the far corner of a 512-voxel axis by half a voxel.
CORNER_TOLERANCE_VOXELS = 0.1

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])

Affine = npt.NDArray[np.float64]


def has_image_suffix(path: str | os.PathLike[str]) -> bool:
    """Tell whether a file name ends like a volume this package reads."""
    return Path(path).name.lower().endswith(IMAGE_SUFFIXES)


def case_name(path: str | os.PathLike[str]) -> str:
    """Return a file's name without its image suffix (``a.b.nii.gz`` -> ``a.b``)."""
    name = Path(path).name
    for suffix in IMAGE_SUFFIXES:
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return Path(name).stem


def spacing_of(affine: Affine) -> tuple[float, float, float]:
    """Return the voxel edge lengths in mm of a 4x4 affine."""
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    return float(lengths[0]), float(lengths[1]), float(lengths[2])


def voxel_volume_mm3(affine: Affine) -> float:
    """Return the volume of one voxel in cubic millimetres."""
    return float(abs(np.linalg.det(affine[:3, :3])))


def to_world(affine: Affine, index: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Map voxel indices ``(..., 3)`` to RAS+ mm; integers are voxel centers."""
    points = np.asarray(index, dtype=np.float64)
    return np.asarray(points @ affine[:3, :3].T + affine[:3, 3], dtype=np.float64)


def to_index(affine: Affine, world: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Map RAS+ mm ``(..., 3)`` to fractional voxel indices (exact inverse of :func:`to_world`)."""
    points = np.asarray(world, dtype=np.float64) - affine[:3, 3]
    index = np.linalg.solve(affine[:3, :3], points.reshape(-1, 3).T).T
    return np.asarray(index.reshape(points.shape), dtype=np.float64)


def flip_lps(points: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Convert points ``(..., 3)`` between LPS and RAS (the same operation both ways)."""
    return np.asarray(np.asarray(points, dtype=np.float64) * np.array([-1.0, -1.0, 1.0]), dtype=np.float64)


def corner_displacement_voxels(first: Affine, second: Affine, shape: Sequence[int]) -> float:
    """Return how far the corners of a grid move between two affines, in units of the smallest voxel edge."""
    sizes = (*shape[:3], 1, 1)[:3]
    corners = np.array(list(itertools.product(*[(0, max(size - 1, 0)) for size in sizes])), dtype=np.float64)
    distance = np.linalg.norm(to_world(first, corners) - to_world(second, corners), axis=1).max()
    return float(distance / min(spacing_of(first)))
