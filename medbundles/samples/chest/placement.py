"""Where findings go: free in the lung, at a vessel, at the pleura."""

from __future__ import annotations

from typing import Literal

import numpy as np

from medbundles.samples.chest.blobs import unit_vectors
from medbundles.samples.chest.grid import Points
from medbundles.samples.chest.scene import Scene

Attachment = Literal["free", "vessel", "pleura"]
CANDIDATES = 3000


def lung_points(scene: Scene, generator: np.random.Generator, count: int = CANDIDATES) -> Points:
    """Return up to ``count`` points ``(N, 3)`` in mm scattered over the lungs within the scan's heights."""
    coarse = scene.anatomy.coarse
    z, y, x = (coarse.axis(number) for number in range(3))
    heights = scene.grid.axes[0]
    inside = (scene.anatomy.lung < 0) & ((z > heights[0]) & (z < heights[-1]))[:, None, None]
    where = np.argwhere(inside)
    chosen = where[generator.permutation(len(where))[:count]]
    points = np.stack([x[chosen[:, 2]], y[chosen[:, 1]], z[chosen[:, 0]]], axis=1)
    return np.asarray(points + generator.uniform(-0.5, 0.5, points.shape) * coarse.step_mm)


def _beside_vessels(scene: Scene, generator: np.random.Generator, radius: float) -> Points:
    rows = np.flatnonzero((scene.vessel_radii < 2.6) & scene.in_view(scene.vessel_points, radius))
    rows = generator.permutation(rows)[:CANDIDATES]
    away = unit_vectors(generator, len(rows)) * (scene.vessel_radii[rows] + 0.6 * radius)[:, None]
    return np.asarray(scene.vessel_points[rows] + away)


def find_place(
    scene: Scene, generator: np.random.Generator, radius: float, attachment: Attachment, margin_mm: float
) -> Points | None:
    """Return a center ``(3,)`` in mm for a ball, or None when the scan has no such place.

    Args:
        scene: the scan so far.
        generator: random numbers.
        radius: the ball's radius in mm.
        attachment: what the ball has to touch; ``free`` keeps off vessels and pleura.
        margin_mm: how far from the first and last slice the center stays.
    """
    points = _beside_vessels(scene, generator, radius) if attachment == "vessel" else lung_points(scene, generator)
    points = points[scene.in_view(points, margin_mm)]
    points = points[scene.is_free(points, radius)]
    depth = scene.depth(points)
    if attachment == "pleura":
        points = points[(depth > 0.3 * radius) & (depth < 0.8 * radius)]
    else:
        points = points[depth > radius + 2.5]
    if attachment == "free":
        points = points[scene.vessel_gap(points) > radius + 1.0]
    return np.asarray(points[0]) if len(points) else None
