"""Rounded, bumpy bodies: nodules, lymph nodes, granulomas, scars and plaques."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

from medbundles.samples.chest.grid import Box, Floats, Points, ScanGrid


@dataclass(frozen=True)
class Blob:
    """An ellipsoid whose surface carries bumps.

    Attributes:
        center: ``(3,)`` mm.
        axes: ``(3, 3)`` rows are the half axes in mm, orthogonal.
        bumps: ``(N, 3)`` unit vectors toward the bumps.
        heights: ``(N,)`` the bumps' heights as a share of the radius; negative for dents.
        sharpness: ``(N,)`` the larger, the narrower the bump.
    """

    center: Points
    axes: Points
    bumps: Points
    heights: Points
    sharpness: Points

    @property
    def lengths(self) -> Points:
        """Half axes' lengths in mm."""
        return np.asarray(np.linalg.norm(self.axes, axis=1))

    @property
    def reach(self) -> float:
        """Radius in mm of a ball that holds the whole blob."""
        # Bumps lie apart: where the highest three would meet, of the others only the flanks are left.
        heights = np.sort(np.maximum(self.heights, 0))
        return float(self.lengths.max() * (1 + heights[-3:].sum() + 0.3 * heights[:-3].sum()))

    def scaled(self, factor: float) -> Blob:
        """Return the same shape in another size around the same center."""
        return replace(self, axes=self.axes * factor)

    def distance(self, x: Floats, y: Floats, z: Floats) -> Floats:
        """Return about the distance in mm from the surface, negative inside, on broadcastable coordinates."""
        lengths = self.lengths
        inverse = (self.axes / lengths[:, None] ** 2).astype(np.float32)
        dx, dy, dz = (axis - np.float32(value) for axis, value in zip((x, y, z), self.center, strict=True))
        local = [row[0] * dx + row[1] * dy + row[2] * dz for row in inverse]
        radius = np.sqrt(local[0] ** 2 + local[1] ** 2 + local[2] ** 2) + np.float32(1e-4)
        surface = np.ones_like(radius)
        for (u, v, w), height, sharpness in zip(
            self.bumps.astype(np.float32), self.heights.astype(np.float32), self.sharpness.astype(np.float32),
            strict=True,
        ):  # fmt: skip
            toward = (local[0] * u + local[1] * v + local[2] * w) / radius
            surface += height * np.exp(sharpness * (toward - 1))
        # In local units a step of 1 is one half axis long: divide by the gradient to get millimetres back.
        slope = np.sqrt(sum((part / np.float32(length)) ** 2 for part, length in zip(local, lengths, strict=True)))
        return np.asarray((radius - surface) * radius / np.maximum(slope, 1e-4), dtype=np.float32)


def random_rotation(generator: np.random.Generator) -> Points:
    """Return a rotation matrix ``(3, 3)`` drawn uniformly."""
    matrix, triangle = np.linalg.qr(generator.standard_normal((3, 3)))
    return np.asarray(matrix * np.sign(np.diag(triangle)))


def unit_vectors(generator: np.random.Generator, count: int) -> Points:
    """Return ``(count, 3)`` directions drawn uniformly."""
    vectors = generator.standard_normal((count, 3))
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def random_blob(
    generator: np.random.Generator, center: npt.ArrayLike, radius: float, stretch: float, lobes: float
) -> Blob:
    """Draw a blob.

    Args:
        generator: random numbers.
        center: ``(3,)`` mm.
        radius: mean half axis in mm.
        stretch: largest ratio of two half axes, >= 1.
        lobes: how bumpy it is: 0 an ellipsoid, 1 clearly lobulated.
    """
    ratio = np.exp(generator.uniform(-0.5, 0.5, 3) * np.log(stretch))
    lengths = radius * ratio / ratio.prod() ** (1 / 3)
    coarse, fine = 9, 18
    heights = [generator.uniform(-0.3, 0.5, coarse), generator.uniform(-0.14, 0.14, fine)]
    sharpness = [generator.uniform(2.5, 11.0, coarse), generator.uniform(20.0, 60.0, fine)]
    return Blob(
        center=np.asarray(center, float),
        axes=random_rotation(generator) * lengths[:, None],
        bumps=unit_vectors(generator, coarse + fine),
        heights=lobes * np.concatenate(heights),
        sharpness=np.concatenate(sharpness),
    )


def grain(generator: np.random.Generator, grid: ScanGrid, box: Box, size_mm: float) -> Floats:
    """Return smooth noise of unit variance on a box of fine voxels."""
    shape = [part.stop - part.start for part in box]
    sigma = [size_mm / step for step in (grid.fine_mm, grid.pixel_mm, grid.pixel_mm)]
    values = gaussian_filter(generator.standard_normal(shape, dtype=np.float32), sigma)
    return np.asarray(values / max(float(values.std()), 1e-6), dtype=np.float32)
