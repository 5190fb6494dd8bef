"""Where the voxels of a scan lie, and where the finer slices lie that each of them averages."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

# Images and fields are float32, coordinates and radii float64.
Floats = npt.NDArray[np.floating[Any]]
Points = npt.NDArray[np.floating[Any]]
Box = tuple[slice, slice, slice]


@dataclass(frozen=True)
class ScanGrid:
    """An axial scan in the patient's frame.

    Attributes:
        matrix: rows and columns of a slice.
        slices: number of slices.
        pixel_mm: edge of a pixel.
        slice_mm: distance between slices.
        substeps: fine slices per slice distance; structures are drawn on the fine slices.
        overlap: fine slices that a slice's profile reaches beyond its own on each side (thickness > distance).
        first_mm: ``(x, y, z)`` of the first voxel's center.
    """

    matrix: int
    slices: int
    pixel_mm: float
    slice_mm: float
    substeps: int
    overlap: int
    first_mm: tuple[float, float, float]

    @property
    def fine_mm(self) -> float:
        """Distance between fine slices in mm."""
        return self.slice_mm / self.substeps

    @property
    def thickness_mm(self) -> float:
        """Width of the slice profile in mm."""
        return self.fine_mm * (self.substeps + 2 * self.overlap)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape ``(z, y, x)`` of the finished scan."""
        return self.slices, self.matrix, self.matrix

    @property
    def fine_shape(self) -> tuple[int, int, int]:
        """Shape ``(z, y, x)`` of the fine slices."""
        return self.slices * self.substeps + 2 * self.overlap, self.matrix, self.matrix

    @property
    def fine_voxel_mm3(self) -> float:
        """Volume of a fine voxel in cubic millimetres."""
        return self.pixel_mm**2 * self.fine_mm

    @property
    def blur_mm(self) -> float:
        """Width over which a drawn edge goes from 0 to 1: the mean edge of a fine voxel."""
        return (2 * self.pixel_mm + self.fine_mm) / 3

    @cached_property
    def axes(self) -> tuple[Points, Points, Points]:
        """Coordinates in mm ``(z, y, x)`` of the fine slices, rows and columns."""
        count = self.fine_shape[0]
        first = self.first_mm[2] - (self.overlap + (self.substeps - 1) / 2) * self.fine_mm
        pixels = np.arange(self.matrix) * self.pixel_mm
        return first + np.arange(count) * self.fine_mm, self.first_mm[1] + pixels, self.first_mm[0] + pixels

    def box(self, lower: npt.ArrayLike, upper: npt.ArrayLike) -> Box | None:
        """Return the fine voxels ``(z, y, x)`` within ``(x, y, z)`` bounds in mm; None when there are none."""
        low, high = np.asarray(lower, float)[::-1], np.asarray(upper, float)[::-1]
        steps = (self.fine_mm, self.pixel_mm, self.pixel_mm)
        parts = []
        for axis, (coordinates, step) in enumerate(zip(self.axes, steps, strict=True)):
            start = max(int(np.ceil((low[axis] - coordinates[0]) / step)), 0)
            stop = min(int(np.floor((high[axis] - coordinates[0]) / step)) + 1, len(coordinates))
            if start >= stop:
                return None
            parts.append(slice(start, stop))
        return parts[0], parts[1], parts[2]

    def coordinates(self, box: Box) -> tuple[Floats, Floats, Floats]:
        """Return broadcastable coordinates ``(x, y, z)`` in mm of a box's fine voxels."""
        z, y, x = (axis[part].astype(np.float32) for axis, part in zip(self.axes, box, strict=True))
        return x[None, None, :], y[None, :, None], z[:, None, None]
