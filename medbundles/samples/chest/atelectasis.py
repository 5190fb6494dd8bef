"""Lung without air that is no nodule: linear bands, plates at the back, round atelectasis."""

from __future__ import annotations

import numpy as np

from medbundles.samples.chest.blobs import random_blob, random_rotation
from medbundles.samples.chest.canvas import polyline
from medbundles.samples.chest.findings import draw_blob, frame_on, note, plate
from medbundles.samples.chest.placement import find_place, lung_points
from medbundles.samples.chest.scene import Scene

# Smaller round ones would be read as nodules; above 30 mm a reader calls it a mass or an atelectasis.
SMALLEST_ROUND_MM = 33.0
# Where the patient lies on them: behind the middle of the chest, close to the pleura.
DEPENDENT_DEPTH_MM = 14.0


def add_bands(scene: Scene, generator: np.random.Generator) -> None:
    """Draw up to three long thin bands of atelectasis or scar, level or tilted, with soft or sharp edges."""
    for _ in range(int(generator.choice(4, p=(0.45, 0.28, 0.17, 0.1)))):
        length = float(generator.uniform(20, 60))
        center = find_place(scene, generator, 0.2 * length, "pleura", 3.0)
        if center is None or not scene.is_free(center[None], length / 2)[0]:
            continue
        tilt = random_rotation(generator)
        half = np.array([length / 2, generator.uniform(4, 16), generator.uniform(0.5, 2.0)])
        hu = float(generator.uniform(-500, 30))
        draw_blob(scene, plate(generator, center, tilt * half[:, None]), hu, edge_mm=float(generator.uniform(0.8, 3)))
        note(scene, "band", center, length)


def add_dependent_plates(scene: Scene, generator: np.random.Generator) -> None:
    """Draw up to five flat patches along the back wall: atelectasis of a patient who lies."""
    if generator.random() > 0.4:
        return
    points = lung_points(scene, generator)
    points = points[points[:, 1] > 0.35 * scene.patient.half_depth]
    points = points[scene.depth(points) < DEPENDENT_DEPTH_MM]
    for center in points[: int(generator.integers(1, 6))]:
        if not scene.in_view(center[None], 2.0)[0] or not scene.is_free(center[None], 10.0)[0]:
            continue
        normal = scene.outward(center)
        half = np.array([*generator.uniform(8, 24, 2), generator.uniform(1.5, 5)])
        surface = center + normal * scene.depth(center[None])[0]
        blob = plate(generator, surface, frame_on(generator, normal) * half[:, None])
        draw_blob(scene, blob, float(generator.uniform(-550, 20)), edge_mm=float(generator.uniform(1.5, 5)))
        note(scene, "dependent_atelectasis", center, 2 * float(half.max()))


def add_round_atelectasis(scene: Scene, generator: np.random.Generator) -> None:
    """Draw a mass at the pleura into which vessels curve, in every twentieth scan."""
    if generator.random() > 0.05:
        return
    size = float(generator.uniform(SMALLEST_ROUND_MM, 50))
    center = find_place(scene, generator, size / 2, "pleura", 0.3 * size)
    if center is None:
        return
    draw_blob(scene, random_blob(generator, center, size / 2, 1.5, 0.5), float(generator.uniform(20, 90)), edge_mm=2.0)
    inward = -scene.outward(center)
    for _ in range(int(generator.integers(3, 7))):
        sway = generator.uniform(-0.5, 0.5, 3)
        points = [center + 0.8 * t * size * inward + t * (1 - t) * 1.2 * size * sway for t in (0.4, 0.8, 1.1, 1.4)]
        if np.all(scene.is_free(np.array(points[1:]), 1.0, 2.0) | (np.arange(3) == 0)):
            scene.canvas.draw_tubes(*polyline(points, [2.0, 1.4, 1.0, 0.4]), scene.patient.blood_hu)
    note(scene, "round_atelectasis", center, size)
