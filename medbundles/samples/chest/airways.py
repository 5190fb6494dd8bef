"""Trachea, main bronchi, and the bronchi that run beside the arteries."""

from __future__ import annotations

import numpy as np

from medbundles.samples.chest.anatomy import spine_y
from medbundles.samples.chest.canvas import Canvas, polyline
from medbundles.samples.chest.grid import Points
from medbundles.samples.chest.trees import Tree
from medbundles.samples.chest.vessels import ARTERY_ROOTS, LungTrees, as_tubes, within

WALL_HU, LUMEN_HU = -40.0, -965.0
SMALLEST_ARTERY_MM = 1.3
# Where the bronchi lie as seen from their arteries, per side.
BESIDE = {"right": np.array([0.35, 0.8, 0.1]), "left": np.array([-0.45, 0.6, -0.6])}


def beside(tree: Tree, direction: Points) -> Tree:
    """Return the bronchi of an artery tree: shifted by both radii, about as thick as the arteries."""
    big = tree.select(tree.radius > SMALLEST_ARTERY_MM)
    shift = direction / np.linalg.norm(direction)
    starts = big.start + 1.95 * np.minimum(big.parent_radius, 1.6 * big.radius)[:, None] * shift
    ends = big.end + 1.95 * big.radius[:, None] * shift
    return Tree(starts, big.bend + 1.95 * big.radius[:, None] * shift, ends, big.radius, big.parent_radius)


def draw_airways(canvas: Canvas, trees: LungTrees, wide: float, wall: float) -> None:
    """Draw all airways: first every wall, then every lumen, so that branchings stay open.

    Args:
        canvas: fine slices.
        trees: the arteries the bronchi follow.
        wide: the body's scale, 1 is the mean.
        wall: thickness of the walls as a share of the inner radius, within 0.3 to 1.6 mm.
    """
    front = float(spine_y(110.0)) - 34
    lines: list[tuple[list[tuple[float, float, float]], list[float]]] = [
        ([(0, front, 125), (1, -8, 60), (0, 0, 4)], [8.5, 8.5, 8.5]),
        ([(0, 0, 6), (-14, 3, -8), (-27, 5, -18)], [7.5, 6.8, 6]),
        ([(0, 0, 6), (16, 4, -10), (34, 9, -24)], [7, 6, 5.5]),
    ]
    tubes = [polyline(points, np.array(radii) * wide) for points, radii in lines]
    for side, tree in trees.arteries.items():
        bronchi = beside(tree, BESIDE[side])
        center = np.array(lines[1 if side == "right" else 2][0][-1])
        first = bronchi.start[0] if len(bronchi.start) else np.array(ARTERY_ROOTS[side])
        tubes.append(polyline([center, first], [5.5 * wide, 5.0 * wide]))
        starts, ends, radii = as_tubes(within(bronchi, canvas.grid), 3.0)
        tubes.append((starts, ends, np.minimum(0.74 * radii, 4.6 * wide)))
    for starts, ends, radii in tubes:
        canvas.draw_tubes(starts, ends, radii + np.clip(wall * radii, 0.3, 1.6), WALL_HU)
    for starts, ends, radii in tubes:
        canvas.draw_tubes(starts, ends, radii, LUMEN_HU, carve=True)
