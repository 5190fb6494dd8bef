"""The fine slices of one scan and the ways structures are drawn on them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from medbundles.samples.chest.grid import Box, Floats, Points, ScanGrid

# A tube thinner than this many pixels is drawn by its mass, which is right for any share of a voxel; a thicker one by
# the distance from its surface, which gives a smooth wall.
THIN_PIXELS = 1.25
DISC_POINTS = 8
HAIR_PIXELS = 0.4


class Canvas:
    """Fine slices in HU.

    Args:
        grid: the scan.
        hu: ``(z, y, x)`` fine slices that already show the large organs; changed in place.
    """

    def __init__(self, grid: ScanGrid, hu: Floats) -> None:
        self.grid = grid
        self.hu = hu

    def draw_tubes(self, start: Points, end: Points, radii: Points, hu: float, carve: bool = False) -> None:
        """Draw straight tapered tubes.

        Args:
            start: ``(N, 3)`` mm.
            end: ``(N, 3)`` mm.
            radii: ``(N, 2)`` mm at start and end.
            hu: density; tissue that is denser stays, unless ``carve``.
            carve: replace what was there, as air in a bronchus does.
        """
        reach = radii.max(axis=1, keepdims=True) + self.grid.blur_mm
        lower, upper = np.minimum(start, end) - reach, np.maximum(start, end) + reach
        for row in range(len(start)):
            box = self.grid.box(lower[row], upper[row])
            if box is None:
                continue
            x, y, z = self.grid.coordinates(box)
            px, py, pz = (axis - np.float32(value) for axis, value in zip((x, y, z), start[row], strict=True))
            dx, dy, dz = (np.float32(value) for value in end[row] - start[row])
            t = np.clip((px * dx + py * dy + pz * dz) / max(dx * dx + dy * dy + dz * dz, np.float32(1e-6)), 0, 1)
            distance = np.sqrt((px - t * dx) ** 2 + (py - t * dy) ** 2 + (pz - t * dz) ** 2)
            radius = np.float32(radii[row, 0]) + t * np.float32(radii[row, 1] - radii[row, 0])
            share = np.clip(0.5 - (distance - radius) / np.float32(self.grid.blur_mm), 0, 1)
            view = self.hu[box]
            view += share * (hu - view if carve else np.maximum(hu - view, 0))

    def draw_threads(self, points: Points, radius: Points, step: Points, hu: float) -> None:
        """Draw thin curves by spreading their volume over the voxels around them.

        Args:
            points: ``(N, 3)`` mm along the curves.
            radius: ``(N,)`` mm.
            step: ``(N,)`` mm of curve that each point stands for.
            hu: density; denser tissue stays.
        """
        if not len(points):
            return
        reach = float(radius.max()) + 2 * max(self.grid.fine_mm, self.grid.pixel_mm)
        box = self.grid.box(points.min(axis=0) - reach, points.max(axis=0) + reach)
        if box is None:
            return
        share = np.zeros([part.stop - part.start for part in box], dtype=np.float32)
        # What is much thinner than a pixel needs no width of its own, which is most of what there is to draw.
        hair = radius < HAIR_PIXELS * self.grid.pixel_mm
        for rows, count in ((hair, 1), (~hair, DISC_POINTS)):
            mass = np.pi * radius[rows] ** 2 * step[rows] / (count * self.grid.fine_voxel_mm3)
            for offset in _disc(count):
                self._spread(share, box, points[rows] + 0.8 * radius[rows, None] * offset, mass)
        for view, part in zip(self.hu[box], share, strict=True):
            view += np.minimum(part, 1) * np.maximum(hu - view, 0)

    def _spread(self, share: Floats, box: Box, points: Points, mass: Points) -> None:
        first = np.array([axis[part.start] for axis, part in zip(self.grid.axes, box, strict=True)])
        steps = np.array([self.grid.fine_mm, self.grid.pixel_mm, self.grid.pixel_mm])
        where = (points[:, ::-1] - first) / steps
        inside = np.all((where >= 0) & (where < np.array(share.shape) - 1), axis=1)
        where, mass = where[inside], mass[inside]
        base = where.astype(np.intp)
        part = (where - base).astype(np.float32)
        low, mass = 1 - part, mass.astype(np.float32)
        flat = np.ravel_multi_index((base[:, 0], base[:, 1], base[:, 2]), share.shape)
        for corner in np.ndindex(2, 2, 2):
            weight = mass
            for axis, far in enumerate(corner):
                weight = weight * (part if far else low)[:, axis]
            np.add.at(share.reshape(-1), flat + np.ravel_multi_index(corner, share.shape), weight)


def _disc(count: int) -> Points:
    """Return offsets ``(count, 3)`` over a unit disc; thin vessels run in all directions, a tilted one serves all."""
    if count == 1:
        return np.zeros((1, 3))
    turn = np.arange(count) * 2.399963
    spread = np.sqrt((np.arange(count) + 0.5) / count)
    return np.stack([np.cos(turn) * spread, np.sin(turn) * spread, np.sin(2.7 * turn + 1) * spread], axis=1)


def polyline(points: npt.ArrayLike, radii: npt.ArrayLike) -> tuple[Points, Points, Points]:
    """Return starts, ends and radii of the tubes along a smoothed polyline.

    Args:
        points: ``(N, 3)`` mm.
        radii: ``(N,)`` mm.
    """
    from scipy.interpolate import CubicSpline

    nodes, widths = np.asarray(points, float), np.asarray(radii, float)
    length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(nodes, axis=0), axis=1))])
    where = np.linspace(0, length[-1], max(int(length[-1] / 6), 2) + 1)
    curve = CubicSpline(length, nodes)(where) if len(nodes) > 2 else nodes[[0, -1]].repeat(1, axis=0)
    if len(nodes) == 2:
        curve = nodes[0] + (where / length[-1])[:, None] * (nodes[1] - nodes[0])
    width = np.interp(where, length, widths)
    return curve[:-1], curve[1:], np.stack([width[:-1], width[1:]], axis=1)
