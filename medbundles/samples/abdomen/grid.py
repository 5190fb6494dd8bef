"""Voxels of an abdominal CT, and places in a body that is bent a little differently in each case."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from medbundles.samples.tumor.fields import smooth_field

Floats = npt.NDArray[np.floating[Any]]
# Half of what is scanned, in mm: left to right, back to front, from below to above.
HALF_FIELD_MM = (200.0, 160.0, 130.0)
# How far bending moves a place (standard deviation, mm), and over which distance it changes.
BEND_MM, BEND_WIDTH_MM = 5.0, 35.0


@dataclass(frozen=True)
class AbdomenGrid:
    """A grid in RAS.

    Attributes:
        shape: voxels.
        spacing_mm: their edges.
        places: ``(3, *shape)`` where each voxel lies in the unbent body, in mm from its middle: right, front, top.
    """

    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    places: Floats

    @property
    def affine(self) -> npt.NDArray[np.float64]:
        """Voxel indices to RAS millimetres; the field's middle is the origin."""
        matrix = np.diag([*self.spacing_mm, 1.0])
        matrix[:3, 3] = [-(count - 1) / 2 * edge for count, edge in zip(self.shape, self.spacing_mm, strict=True)]
        return matrix


def make_grid(generator: np.random.Generator) -> AbdomenGrid:
    """Draw a scan's voxels (2.4 to 3.2 mm, slices of 3 to 5 mm) and how the body is bent."""
    in_plane, slices = float(generator.uniform(2.4, 3.2)), float(generator.uniform(3.0, 5.0))
    spacing = (round(in_plane, 2), round(in_plane, 2), round(slices, 1))
    right, front, top = (round(2 * half / edge) for half, edge in zip(HALF_FIELD_MM, spacing, strict=True))
    shape = (right, front, top)
    axes = [(np.arange(count) - (count - 1) / 2) * edge for count, edge in zip(shape, spacing, strict=True)]
    straight = np.stack(np.meshgrid(*axes, indexing="ij")).astype(np.float32)
    bend = [smooth_field(generator, shape, BEND_WIDTH_MM / min(spacing)) for _ in shape]
    return AbdomenGrid(shape, spacing, straight + BEND_MM * np.stack(bend))


def ellipsoid(places: Floats, center: npt.ArrayLike, half_axes: npt.ArrayLike) -> Floats:
    """Return about the distance in mm from an ellipsoid's surface, positive inside."""
    center, half_axes = (np.asarray(values, np.float32).reshape(3, 1, 1, 1) for values in (center, half_axes))
    radius = np.sqrt((((places - center) / half_axes) ** 2).sum(axis=0))
    return np.asarray((1 - radius) * half_axes.min(), np.float32)


def tube(places: Floats, right: float, front: float, radius: float) -> Floats:
    """Return the distance in mm from the surface of a vertical tube, positive inside."""
    return np.asarray(radius - np.hypot(places[0] - right, places[1] - front), np.float32)
