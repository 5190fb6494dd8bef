"""Smooth fields kept on a coarse grid and read on the scan's fine one.

Large anatomy is smooth, so its signed distances are computed every few millimetres and interpolated: that is what
makes a scan of ten million voxels take seconds. Interpolation is separable and done with sparse matrices, whose
products do not depend on the number of threads (a BLAS product may, in the last bit).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

from medbundles.samples.chest.grid import Box, Floats, Points, ScanGrid


@dataclass(frozen=True)
class CoarseGrid:
    """A regular grid ``(z, y, x)`` in the patient's frame.

    Attributes:
        first_mm: ``(z, y, x)`` of the first point.
        step_mm: distance of neighbors along every axis.
        shape: number of points ``(z, y, x)``.
    """

    first_mm: tuple[float, float, float]
    step_mm: float
    shape: tuple[int, int, int]

    @classmethod
    def covering(cls, lower: Points, upper: Points, step_mm: float) -> CoarseGrid:
        """Return the grid that covers ``(z, y, x)`` bounds in mm with two points to spare."""
        first = np.asarray(lower) - 2 * step_mm
        counts = np.ceil((np.asarray(upper) + 2 * step_mm - first) / step_mm).astype(int) + 1
        return cls((first[0], first[1], first[2]), step_mm, (int(counts[0]), int(counts[1]), int(counts[2])))

    def axis(self, number: int) -> Points:
        """Return the coordinates in mm along axis 0 (z), 1 (y) or 2 (x)."""
        return self.first_mm[number] + np.arange(self.shape[number]) * self.step_mm

    def coordinates(self) -> tuple[Floats, Floats, Floats]:
        """Return broadcastable coordinates ``(x, y, z)`` in mm."""
        z, y, x = (self.axis(number).astype(np.float32) for number in range(3))
        return x[None, None, :], y[None, :, None], z[:, None, None]


def interpolation(positions: Points, first: float, step: float, count: int) -> sparse.csr_array:
    """Return the matrix ``(positions, count)`` of cubic (Catmull-Rom) interpolation; ends are repeated."""
    where = (np.asarray(positions, dtype=np.float64) - first) / step
    base = np.floor(where).astype(int)
    t = where - base
    weights = np.stack(
        [
            -0.5 * t + t**2 - 0.5 * t**3,
            1 - 2.5 * t**2 + 1.5 * t**3,
            0.5 * t + 2 * t**2 - 1.5 * t**3,
            -0.5 * t**2 + 0.5 * t**3,
        ],
        axis=1,
    )
    columns = np.clip(base[:, None] + np.arange(-1, 3), 0, count - 1)
    rows = np.repeat(np.arange(len(where)), 4)
    entries = (weights.ravel().astype(np.float32), (rows, columns.ravel()))
    return sparse.csr_array(entries, shape=(len(where), count))


def along(matrix: sparse.csr_array, values: Floats, axis: int) -> Floats:
    """Apply an interpolation matrix to one axis of an array."""
    moved = np.moveaxis(values, axis, 0)
    result = matrix @ np.ascontiguousarray(moved).reshape(moved.shape[0], -1)
    return np.asarray(np.moveaxis(result.reshape(-1, *moved.shape[1:]), 0, axis), dtype=np.float32)


def noise_field(generator: np.random.Generator, grid: CoarseGrid, wavelength_mm: float) -> Floats:
    """Return smooth noise of about unit variance whose features are ``wavelength_mm`` apart."""
    step = wavelength_mm / 2
    counts = [int(np.ceil((size - 1) * grid.step_mm / step)) + 2 for size in grid.shape]
    values = generator.standard_normal(counts, dtype=np.float32)
    for axis, count in enumerate(counts):
        values = along(interpolation(np.arange(grid.shape[axis]) * grid.step_mm, 0.0, step, count), values, axis)
    # Interpolation between independent lattice values loses about a fifth of the deviation along each axis.
    return values * np.float32(1.6)


def normalized_distance(values: Floats, step_mm: float) -> Floats:
    """Turn an implicit function into nearly a distance: divide by the length of its gradient."""
    gradient = np.gradient(values, step_mm)
    length = np.sqrt(sum(part * part for part in gradient))
    return np.asarray(values / np.maximum(length, 0.25), dtype=np.float32)


class FieldReader:
    """Reads a coarse field on the fine slices of a scan.

    Args:
        values: the field ``(z, y, x)`` on ``coarse``.
        coarse: where it was computed.
        grid: the scan that reads it.
    """

    def __init__(self, values: Floats, coarse: CoarseGrid, grid: ScanGrid) -> None:
        self._values = values
        self._matrices = [
            interpolation(axis, coarse.first_mm[number], coarse.step_mm, coarse.shape[number])
            for number, axis in enumerate(grid.axes)
        ]
        self._planes: dict[int, Floats] = {}
        self._buffer: Floats = np.empty(grid.shape[1:], dtype=np.float32)

    def slice(self, number: int) -> Floats:
        """Return the field ``(y, x)`` on one fine slice; cheap when slices are asked for in order."""
        row = self._matrices[0]
        taps = range(row.indptr[number], row.indptr[number + 1])
        needed = [int(row.indices[tap]) for tap in taps]
        self._planes = {key: plane for key, plane in self._planes.items() if key in needed}
        result = np.zeros_like(self._buffer)
        for tap, plane in zip(taps, needed, strict=True):
            if plane not in self._planes:
                # Rows last: the result is then contiguous, which makes the sums below three times faster.
                self._planes[plane] = along(self._matrices[1], along(self._matrices[2], self._values[plane], 1), 0)
            result += np.multiply(self._planes[plane], row.data[tap], out=self._buffer)
        return result

    def box(self, box: Box) -> Floats:
        """Return the field on a box ``(z, y, x)`` of fine voxels."""
        values = self._values
        for axis, part in enumerate(box):
            values = along(self._matrices[axis][part], values, axis)
        return values


def sample(values: Floats, coarse: CoarseGrid, points: npt.NDArray[np.floating]) -> Floats:
    """Return a coarse field at points ``(N, 3)`` given as ``(x, y, z)`` mm (trilinear, ends repeated)."""
    from scipy.ndimage import map_coordinates

    index = (np.asarray(points)[:, ::-1] - np.array(coarse.first_mm)) / coarse.step_mm
    return np.asarray(map_coordinates(values, index.T, order=1, mode="nearest"), dtype=np.float32)
