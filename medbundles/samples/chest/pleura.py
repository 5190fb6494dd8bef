"""Thickenings and dents at the lungs' surface that are no nodules: plaques, apical caps, osteophytes."""

from __future__ import annotations

import numpy as np

from medbundles.samples.chest.anatomy import spine_y
from medbundles.samples.chest.blobs import random_blob
from medbundles.samples.chest.findings import draw_blob, frame_on, note, plate
from medbundles.samples.chest.placement import find_place, lung_points
from medbundles.samples.chest.scene import Scene
from medbundles.samples.chest.skeleton import VERTEBRA_MM

CALCIFIED_HU = (200.0, 500.0)
# Vertebral bodies are about 17 mm wide to each side; osteophytes grow from their edges to the right more than to the
# left, where the aorta beats.
VERTEBRA_SIDE_MM = 15.0
RIGHT_SHARE = 0.75


def add_plaques(scene: Scene, generator: np.random.Generator) -> None:
    """Draw up to three flat thickenings of the pleura, some calcified."""
    for _ in range(int(generator.choice(4, p=(0.55, 0.22, 0.15, 0.08)))):
        center = find_place(scene, generator, 3.0, "pleura", 4.0)
        if center is None:
            continue
        normal = scene.outward(center)
        half = np.array([*generator.uniform(5, 18, 2), generator.uniform(1.0, 3.0)])
        hu = float(generator.uniform(*CALCIFIED_HU)) if generator.random() < 0.25 else float(generator.uniform(10, 80))
        surface = center + normal * scene.depth(center[None])[0]
        draw_blob(scene, plate(generator, surface, frame_on(generator, normal) * half[:, None]), hu)
        note(scene, "plaque", center, 2 * float(half.max()))


def add_apical_caps(scene: Scene, generator: np.random.Generator) -> None:
    """Thicken the pleura over one or both tops of the lungs in every third scan that shows them."""
    if generator.random() > 0.35:
        return
    points = lung_points(scene, generator)
    for side in (-1, 1)[: int(generator.integers(1, 3))]:
        own = points[points[:, 0] * side > 0]
        # Only lungs whose tops are in the scan have one to show.
        if not len(own) or own[:, 2].max() < scene.patient.apex - 25:
            continue
        top = own[np.argmax(own[:, 2])]
        if not scene.is_free(top[None], 12.0)[0]:
            continue
        half = np.array([generator.uniform(12, 26), generator.uniform(12, 26), generator.uniform(2, 6)])
        axes = frame_on(generator, scene.outward(top)) * half[:, None]
        draw_blob(scene, plate(generator, top, axes), float(generator.uniform(-150, 50)), edge_mm=2.0)
        note(scene, "apical_cap", top, 2 * float(half.max()))


def add_osteophytes(scene: Scene, generator: np.random.Generator) -> None:
    """Draw up to four bony spurs at the edges of the vertebrae, where they dent the lung."""
    for _ in range(int(generator.choice(5, p=(0.4, 0.2, 0.2, 0.12, 0.08)))):
        heights = scene.grid.axes[0]
        level = VERTEBRA_MM * np.round(generator.uniform(heights[0], heights[-1]) / VERTEBRA_MM)
        side = -1.0 if generator.random() < RIGHT_SHARE else 1.0
        across, radius = generator.uniform(-14, 2), float(generator.uniform(3, 7))
        center = np.array([side * VERTEBRA_SIDE_MM, float(spine_y(level)) + across, level])
        if not scene.in_view(center[None], 2.0)[0] or not scene.is_free(center[None], radius + 4)[0]:
            continue
        center[0] += side * float(generator.uniform(0.0, 0.6)) * radius
        draw_blob(scene, random_blob(generator, center, radius, 1.6, 0.6), float(generator.uniform(80, 120)), "both")
        core = random_blob(generator, center, 0.7 * radius, 1.6, 0.5)
        draw_blob(scene, core, float(generator.uniform(300, 700)), "both")
        note(scene, "osteophyte", center, 2 * radius)
