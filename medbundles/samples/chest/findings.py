"""How findings that are no nodules are drawn and noted."""

from __future__ import annotations

from typing import Literal

import numpy as np

from medbundles.samples.chest.blobs import Blob, unit_vectors
from medbundles.samples.chest.grid import Floats, Points
from medbundles.samples.chest.scene import Scene

Where = Literal["lung", "outside", "both"]


def draw_blob(scene: Scene, blob: Blob, hu: float, where: Where = "lung", edge_mm: float = 0.0) -> None:
    """Draw a blob into the lungs, into what lies around them, or into both; denser tissue stays.

    Args:
        scene: the scan so far.
        blob: the shape.
        hu: its density.
        where: what may be covered.
        edge_mm: width of its edge; at least that of a fine voxel.
    """
    edge = max(scene.grid.blur_mm, edge_mm)
    reach = blob.reach + edge
    box = scene.grid.box(blob.center - reach, blob.center + reach)
    if box is None:
        return
    share: Floats = np.clip(0.5 - blob.distance(*scene.grid.coordinates(box)) / np.float32(edge), 0, 1)
    if where != "both":
        lung = scene.lung_share(box)
        share = share * (lung if where == "lung" else 1 - lung)
    scene.add_density(box, share, hu)


def note(scene: Scene, kind: str, center: Points, size_mm: float) -> None:
    """Enter a look-alike into the record and keep others off it."""
    scene.lookalikes.append(
        {"type": kind, "center_mm": [float(value) for value in center], "size_mm": round(float(size_mm), 2)}
    )
    scene.occupy(center, size_mm / 2)


def plate(generator: np.random.Generator, center: Points, axes: Points) -> Blob:
    """Return a flat, slightly bumpy body; ``axes`` are its half axes ``(3, 3)`` in mm."""
    count = 6
    heights = generator.uniform(-0.25, 0.3, count)
    return Blob(center, axes, unit_vectors(generator, count), heights, generator.uniform(1.5, 5, count))


def frame_on(generator: np.random.Generator, normal: Points) -> Points:
    """Return three orthogonal unit vectors ``(3, 3)``, the last of them ``normal``, turned at random around it."""
    first = np.cross(normal, unit_vectors(generator, 1)[0])
    first /= max(float(np.linalg.norm(first)), 1e-6)
    return np.stack([first, np.cross(normal, first), normal])
