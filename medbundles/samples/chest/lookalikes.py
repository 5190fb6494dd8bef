"""Findings that are no nodules: scars, granulomas, vessel crossings, mediastinal lymph nodes."""

from __future__ import annotations

import numpy as np

from medbundles.samples.chest.blobs import random_blob, random_rotation, unit_vectors
from medbundles.samples.chest.findings import draw_blob, note, plate
from medbundles.samples.chest.placement import find_place
from medbundles.samples.chest.scene import Scene


def add_scars(scene: Scene, generator: np.random.Generator) -> None:
    """Draw up to two thin dense plates that reach the pleura."""
    for _ in range(int(generator.choice(3, p=(0.45, 0.35, 0.2)))):
        length = float(generator.uniform(8, 30))
        center = find_place(scene, generator, 0.35 * length, "pleura", 4.0)
        if center is None:
            continue
        half = np.array([length / 2, generator.uniform(2.5, 7), generator.uniform(0.5, 1.1)])
        hu = float(generator.uniform(-250, 20))
        draw_blob(scene, plate(generator, center, random_rotation(generator) * half[:, None]), hu)
        note(scene, "scar", center, length)


def add_granulomas(scene: Scene, generator: np.random.Generator) -> None:
    """Draw up to three calcified spots too small to be annotated."""
    for _ in range(int(generator.choice(4, p=(0.6, 0.2, 0.12, 0.08)))):
        radius = float(generator.uniform(0.9, 1.5))
        center = find_place(scene, generator, radius + 2, "free", 4.0)
        if center is not None:
            draw_blob(scene, random_blob(generator, center, radius, 1.2, 0.2), float(generator.uniform(250, 900)))
            note(scene, "granuloma", center, 2 * radius)


def add_vessel_crossings(scene: Scene, generator: np.random.Generator) -> None:
    """Draw up to three pairs of vessels that touch where they cross."""
    for _ in range(int(generator.choice(4, p=(0.3, 0.3, 0.25, 0.15)))):
        center = find_place(scene, generator, 9.0, "free", 4.0)
        if center is None:
            continue
        radius = generator.uniform(0.9, 1.9, 2)
        for number, toward in enumerate(unit_vectors(generator, 2)):
            shift = toward * generator.uniform(9, 16)
            ends = np.array([center - shift, center + shift])
            taper = radius[number] * np.array([[1.1, 0.75]])
            scene.canvas.draw_tubes(ends[:1], ends[1:], taper, scene.patient.blood_hu)
        note(scene, "vessel_crossing", center, 2 * float(radius.sum()))


def add_lymph_nodes(scene: Scene, generator: np.random.Generator) -> None:
    """Draw three to eight lymph nodes in the mediastinum and at the hila."""
    for _ in range(int(generator.integers(3, 9))):
        center = generator.uniform((-38, -20, -50), (42, 18, 55))
        depth = float(scene.depth(center[None])[0])
        radius = float(generator.uniform(2, 5))
        if depth < -2 and scene.in_view(center[None], 2.0)[0]:
            draw_blob(scene, random_blob(generator, center, radius, 1.8, 0.3), 42.0, where="outside")
            note(scene, "lymph_node", center, 2 * radius)
