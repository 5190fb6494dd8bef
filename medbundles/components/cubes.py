"""Cubes around places of the world, at fixed scales: what a second look at a finding sees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from medbundles.errors import ConfigurationError
from medbundles.io.grids import Affine, to_index

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class CubeGrid:
    """Cubes of the same number of points at several scales: a fine one of the finding, a coarse one of its place.

    Attributes:
        size: points along each edge.
        spacings_mm: distance of the points, one cube each.
        fill: value outside of the volume, in the image's unit.
    """

    size: int = 32
    spacings_mm: tuple[float, ...] = (0.75, 1.5)
    fill: float = -1000.0

    def __post_init__(self) -> None:
        if self.size < 2 or not self.spacings_mm or min(self.spacings_mm) <= 0:
            raise ConfigurationError(f"cubes need 2 points or more and spacings above 0 mm, found {self}")

    def offsets_mm(self, rotation: npt.NDArray[np.floating[Any]] | None = None, scale: float = 1.0) -> Floats:
        """Return the points of all cubes relative to their center, ``(3, scales, size, size, size)``, RAS+ mm.

        Args:
            rotation: 3x3, turns the cubes about their center.
            scale: above 1 the cubes show more.
        """
        axis = np.arange(self.size) - (self.size - 1) / 2
        unit = np.stack(np.meshgrid(axis, axis, axis, indexing="ij")).reshape(3, -1)
        turned = unit if rotation is None else rotation @ unit
        cubes = [turned * spacing * scale for spacing in self.spacings_mm]
        return np.stack(cubes, axis=1).reshape(3, len(cubes), *[self.size] * 3).astype(np.float32)


def cut_cubes(
    volume: npt.NDArray[Any],
    affine: Affine,
    center_ras_mm: Sequence[float] | npt.NDArray[np.floating[Any]],
    offsets_mm: Floats,
    fill: float = -1000.0,
) -> Floats:
    """Return a volume's values at points around a place, trilinear, ``(scales, size, size, size)``.

    Args:
        volume: ``(H, W, D)``.
        affine: 4x4, voxel index to RAS+ mm; flipped, oblique and anisotropic grids are all the same to it.
        center_ras_mm: the place.
        offsets_mm: from :meth:`CubeGrid.offsets_mm`.
        fill: value outside of the volume.
    """
    linear = np.linalg.inv(affine[:3, :3])
    center = to_index(affine, center_ras_mm)
    points = np.tensordot(linear, offsets_mm, axes=1) + center.reshape(3, *[1] * (offsets_mm.ndim - 1))
    # Only the part that is looked at is read from a mapped volume and turned into float.
    low = [max(int(np.floor(part.min())), 0) for part in points]
    high = [min(int(np.ceil(part.max())) + 1, size) for part, size in zip(points, volume.shape, strict=True)]
    if any(start >= stop for start, stop in zip(low, high, strict=True)):
        return np.full(points.shape[1:], fill, dtype=np.float32)
    part = volume[tuple(slice(start, stop) for start, stop in zip(low, high, strict=True))].astype(np.float32)
    # A slice thinner than its distance to the next point would be filled half a voxel before its border: the border
    # voxels reach to their edges.
    inside = np.all(
        [(axis > -0.5) & (axis < size - 0.5) for axis, size in zip(points, volume.shape, strict=True)], axis=0
    )
    shifted = points - np.array(low, dtype=np.float64).reshape(3, *[1] * (points.ndim - 1))
    values = ndimage.map_coordinates(part, shifted, order=1, mode="nearest", output=np.float32)
    return np.where(inside, values, np.float32(fill)).astype(np.float32)
