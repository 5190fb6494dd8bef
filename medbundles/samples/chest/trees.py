"""Branching trees that fill a volume: vessels and airways.

A tree grows toward the points it has to supply: every branch heads for the centroid of its points, stops part of the
way, and splits the points in two for its children (Tawhai, Pullan and Hunter, Annals of Biomedical Engineering
28:793, 2000). Radii follow Murray's law with the number of ends a branch supplies.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from medbundles.samples.chest.grid import Points

MURRAY_EXPONENT = 2.5
FRACTION = 0.42
KEEP_DIRECTION = 0.6
# Children together hold about as much volume as their parent; a wider flare would make beads of the branchings.
FLARE = 1.06


@dataclass(frozen=True)
class Tree:
    """Branches as arrays with one row each, parents before children.

    Attributes:
        start: ``(N, 3)`` mm.
        bend: ``(N, 3)`` mm, the middle control point of a quadratic curve.
        end: ``(N, 3)`` mm.
        radius: ``(N,)`` mm.
        parent_radius: ``(N,)`` mm.
    """

    start: Points
    bend: Points
    end: Points
    radius: Points
    parent_radius: Points

    def select(self, rows: npt.NDArray[np.bool_]) -> Tree:
        """Return the branches marked in ``rows``."""
        return Tree(self.start[rows], self.bend[rows], self.end[rows], self.radius[rows], self.parent_radius[rows])

    def curve(self, t: npt.NDArray[np.floating], rows: npt.NDArray[np.integer]) -> tuple[Points, Points]:
        """Return points ``(M, 3)`` and radii ``(M,)`` at the parameters ``t`` in [0, 1] of the branches ``rows``."""
        s = t[:, None]
        points = (1 - s) ** 2 * self.start[rows] + 2 * s * (1 - s) * self.bend[rows] + s**2 * self.end[rows]
        first = np.minimum(self.parent_radius[rows], FLARE * self.radius[rows])
        return points, first + (self.radius[rows] - first) * np.minimum(2 * t, 1)


def _unit(vectors: Points) -> Points:
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9))


def _split(points: Points, group: npt.NDArray[np.intp], count: int, center: Points, heading: Points) -> Points:
    """Return for every point on which side of its group's widest direction (across the heading) it lies."""
    offset = points - center[group]
    scatter = np.zeros((count, 3, 3))
    for row in range(3):
        for column in range(row, 3):
            scatter[:, row, column] = np.bincount(group, offset[:, row] * offset[:, column], count)
            scatter[:, column, row] = scatter[:, row, column]
    across = np.eye(3) - heading[:, :, None] * heading[:, None, :]
    _, vectors = np.linalg.eigh(across @ scatter @ across)
    return np.asarray(np.einsum("ij,ij->i", offset, vectors[group, :, 2]))


def grow_tree(
    points: Points, root: Points, heading: Points, end_radius: float, exponent: float = MURRAY_EXPONENT
) -> Tree:
    """Grow a tree from a root to all points.

    Args:
        points: ``(N, 3)`` mm to be supplied.
        root: ``(3,)`` mm.
        heading: ``(3,)`` the direction in which the tree leaves the root.
        end_radius: radius of a branch that supplies one point, in mm.
        exponent: of Murray's law; the larger, the thicker the middle of the tree.

    Returns:
        The branches, level after level.
    """
    group = np.zeros(len(points), dtype=np.intp)
    start, direction = np.asarray(root, float)[None], _unit(np.asarray(heading, float))[None]
    parent_radius = np.array([end_radius * len(points) ** (1 / exponent)])
    levels: list[tuple[Points, Points, Points, Points, Points]] = []
    while len(points):
        count = len(start)
        size = np.bincount(group, minlength=count)
        center = np.stack([np.bincount(group, points[:, axis], count) for axis in range(3)], axis=1) / size[:, None]
        aim = center - start
        course = _unit(_unit(aim) + KEEP_DIRECTION * direction)
        length = np.linalg.norm(aim, axis=1, keepdims=True) * np.where(size > 1, FRACTION, 0.9)[:, None]
        end = start + course * length
        bend = start + direction * length * 0.35 + course * length * 0.15
        radius = end_radius * size ** (1 / exponent)
        levels.append((start, bend, end, radius, parent_radius))
        side = _split(points, group, count, center, course) > 0
        alive = size[group] > 1
        points, child = points[alive], 2 * group[alive] + side[alive]
        names, group = np.unique(child, return_inverse=True)
        parent = names // 2
        start, direction, parent_radius = end[parent], _unit(end - bend)[parent], radius[parent]
    return Tree(*(np.concatenate(parts) for parts in zip(*levels, strict=True)))
