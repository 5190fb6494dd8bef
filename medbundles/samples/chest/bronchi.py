"""Bronchi filled with mucus: branching cords beside the arteries, no nodules."""

from __future__ import annotations

import numpy as np

from medbundles.samples.chest.airways import BESIDE, beside
from medbundles.samples.chest.findings import note
from medbundles.samples.chest.scene import Scene
from medbundles.samples.chest.vessels import as_tubes

PLUGGED_MM = (1.4, 3.2)
# A plug that is not clearly longer than wide could be read as a nodule.
SHORTEST = 3.5


def add_mucus_plugs(scene: Scene, generator: np.random.Generator) -> None:
    """Fill up to four stretches of bronchi in every fourth scan."""
    if generator.random() > 0.25:
        return
    for _ in range(int(generator.integers(1, 5))):
        side = ("left", "right")[int(generator.integers(2))]
        tree = scene.trees.arteries[side]
        bronchi = beside(tree, BESIDE[side])
        middle = (bronchi.start + bronchi.end) / 2
        length = np.linalg.norm(bronchi.end - bronchi.start, axis=1)
        fits = (bronchi.radius > PLUGGED_MM[0]) & (bronchi.radius < PLUGGED_MM[1]) & scene.in_view(middle, 6.0)
        fits &= (length > SHORTEST * bronchi.radius) & (scene.depth(middle) > 6)
        rows = np.flatnonzero(fits & scene.is_free(middle, 8.0))
        if not len(rows):
            continue
        row = int(generator.choice(rows))
        starts, ends, radii = as_tubes(bronchi.select(np.arange(len(middle)) == row), 3.0)
        scene.canvas.draw_tubes(starts, ends, 1.05 * radii, float(generator.uniform(-20, 60)))
        note(scene, "mucus_plug", middle[row], float(length[row]))
