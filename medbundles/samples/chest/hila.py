"""What makes hila hard to read: enlarged nodes that bulge into the lung, and large vessels on their way out."""

from __future__ import annotations

import numpy as np

from medbundles.samples.chest.blobs import random_blob, unit_vectors
from medbundles.samples.chest.canvas import polyline
from medbundles.samples.chest.findings import draw_blob, note
from medbundles.samples.chest.grid import Points
from medbundles.samples.chest.scene import Scene
from medbundles.samples.chest.vessels import ARTERY_ROOTS, SIDES, VEIN_ROOTS

ATTEMPTS = 25


def add_hilar_nodes(scene: Scene, generator: np.random.Generator) -> None:
    """Draw up to six lymph nodes, 6 to 24 mm long, that lie in a hilum and bulge into the lung."""
    wanted = int(generator.choice(7, p=(0.35, 0.15, 0.15, 0.12, 0.1, 0.08, 0.05)))
    for _ in range(ATTEMPTS):
        if not wanted:
            return
        root = np.array(ARTERY_ROOTS[("left", "right")[int(generator.integers(2))]])
        center = root + generator.normal(0, (9, 12, 18))
        radius = float(generator.uniform(3, 9))
        depth = float(scene.depth(center[None])[0])
        # More than half of it lies outside of the lung: what lies free in it would be a nodule.
        bulging = -0.9 * radius < depth < -0.15 * radius
        if not bulging or not scene.in_view(center[None], 3.0)[0] or not scene.is_free(center[None], radius, 2.0)[0]:
            continue
        hu = float(generator.uniform(20, 90)) + 0.1 * scene.patient.contrast_hu
        if generator.random() < 0.12:
            hu = float(generator.uniform(250, 700))
        draw_blob(scene, random_blob(generator, center, radius, 1.7, 0.5), hu, "both")
        note(scene, "hilar_node", center, 2 * radius)
        wanted -= 1


def add_vessel_courses(scene: Scene, generator: np.random.Generator) -> None:
    """Draw three to ten curved vessels from the hila outward; thick slices cut them into round bright spots."""
    for _ in range(int(generator.integers(3, 11))):
        side = ("left", "right")[int(generator.integers(2))]
        root = np.array((ARTERY_ROOTS if generator.random() < 0.6 else VEIN_ROOTS)[side])
        points = _course(generator, root, SIDES[side])
        width = float(generator.uniform(1.3, 4.2))
        starts, ends, radii = polyline(points, width * np.array([1.25, 1.0, 0.7, 0.25]))
        inside = scene.depth(ends) > 0
        # A vessel does not cross the heart or the wall, nor a nodule.
        if inside[-1] and inside.mean() > 0.6 and scene.is_free(ends, 2.5, 1.0).all():
            scene.canvas.draw_tubes(starts, ends, radii, scene.patient.blood_hu)
            middle = ends[len(ends) // 2]
            if scene.in_view(middle[None], 0.0)[0]:
                scene.lookalikes.append(
                    {"type": "vessel_course", "center_mm": [float(v) for v in middle], "size_mm": round(2 * width, 2)}
                )


def _course(generator: np.random.Generator, root: Points, side: float) -> list[Points]:
    """Return four points of a curve of 40 to 100 mm from a hilum outward, up or down."""
    toward = unit_vectors(generator, 1)[0] * np.array([0.7, 0.9, 1.2]) + np.array([0.45 * side, 0.05, -0.1])
    toward /= np.linalg.norm(toward)
    bend = np.cross(toward, unit_vectors(generator, 1)[0])
    length = generator.uniform(40, 100)
    return [root + length * (t * toward + 0.35 * t * (t - 0.6) * bend) for t in (0.05, 0.35, 0.7, 1.0)]
