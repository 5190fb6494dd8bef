"""The heart beats while the scanner turns: what lies beside it is shown twice, a little apart."""

from __future__ import annotations

import numpy as np

from medbundles.samples.chest.fields import FieldReader
from medbundles.samples.chest.scene import Scene

SHARE_OF_SCANS = 0.4
LARGEST_MM = 4.5
REACH_MM = 16.0


def blur_heartbeat(scene: Scene, generator: np.random.Generator) -> None:
    """Blur the heart's border and the lung near it in two scans of five, by up to 4.5 mm.

    Args:
        scene: the scan so far; its canvas is changed.
        generator: random numbers.
    """
    moves, size_mm, turn = (
        generator.random() < SHARE_OF_SCANS,
        generator.uniform(1, LARGEST_MM),
        generator.uniform(0, 6),
    )
    pixels = np.rint(np.array([np.sin(turn), np.cos(turn)]) * size_mm / scene.grid.pixel_mm).astype(int)
    if not moves or not pixels.any():
        return
    reader = FieldReader(scene.anatomy.heart, scene.anatomy.coarse, scene.grid)
    for number, plane in enumerate(scene.canvas.hu):
        distance = reader.slice(number)
        rows, columns = (np.flatnonzero((distance < 2 * REACH_MM).any(axis=axis)) for axis in (1, 0))
        if not len(rows):
            continue
        area = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        near = 0.5 * np.exp(-((distance[area] / REACH_MM) ** 2))
        view = plane[area]
        view += near.astype(np.float32) * (np.roll(view, tuple(pixels), axis=(0, 1)) - view)
