"""Findings that are no nodules: scars, bands, granulomas, vessel crossings, plaques, nodes, plugs, infiltrates."""

from __future__ import annotations

import numpy as np

from medbundles.samples.chest.blobs import Blob, grain, random_blob, random_rotation, unit_vectors
from medbundles.samples.chest.grid import Floats, Points
from medbundles.samples.chest.placement import find_place
from medbundles.samples.chest.scene import Scene


def _draw(scene: Scene, blob: Blob, hu: float, in_lung: bool = True) -> None:
    reach = blob.reach + scene.grid.blur_mm
    box = scene.grid.box(blob.center - reach, blob.center + reach)
    if box is None:
        return
    distance = blob.distance(*scene.grid.coordinates(box))
    share: Floats = np.clip(0.5 - distance / np.float32(scene.grid.blur_mm), 0, 1)
    lung = scene.lung_share(box)
    scene.add_density(box, share * (lung if in_lung else 1 - lung), hu)


def _note(scene: Scene, kind: str, center: Points, size_mm: float) -> None:
    scene.lookalikes.append(
        {"type": kind, "center_mm": [float(value) for value in center], "size_mm": round(float(size_mm), 2)}
    )
    scene.occupy(center, size_mm / 2)


def _plate(generator: np.random.Generator, center: Points, axes: Points) -> Blob:
    count = 6
    return Blob(
        center, axes, unit_vectors(generator, count), generator.uniform(-0.25, 0.3, count),
        generator.uniform(1.5, 5, count),
    )  # fmt: skip


def add_scars(scene: Scene, generator: np.random.Generator) -> None:
    """Draw up to two thin dense plates that reach the pleura."""
    for _ in range(int(generator.choice(3, p=(0.45, 0.35, 0.2)))):
        length = float(generator.uniform(8, 30))
        center = find_place(scene, generator, 0.35 * length, "pleura", 4.0)
        if center is None:
            continue
        half = np.array([length / 2, generator.uniform(2.5, 7), generator.uniform(0.5, 1.1)])
        hu = float(generator.uniform(-250, 20))
        _draw(scene, _plate(generator, center, random_rotation(generator) * half[:, None]), hu)
        _note(scene, "scar", center, length)


def add_granulomas(scene: Scene, generator: np.random.Generator) -> None:
    """Draw up to three calcified spots too small to be annotated."""
    for _ in range(int(generator.choice(4, p=(0.6, 0.2, 0.12, 0.08)))):
        radius = float(generator.uniform(0.9, 1.5))
        center = find_place(scene, generator, radius + 2, "free", 4.0)
        if center is not None:
            _draw(scene, random_blob(generator, center, radius, 1.2, 0.2), float(generator.uniform(250, 900)))
            _note(scene, "granuloma", center, 2 * radius)


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
        _note(scene, "vessel_crossing", center, 2 * float(radius.sum()))


def add_plaques(scene: Scene, generator: np.random.Generator) -> None:
    """Draw up to two flat thickenings of the pleura, some calcified."""
    for _ in range(int(generator.choice(3, p=(0.65, 0.22, 0.13)))):
        center = find_place(scene, generator, 3.0, "pleura", 4.0)
        if center is None:
            continue
        normal = scene.outward(center)
        first = np.cross(normal, unit_vectors(generator, 1)[0])
        first /= max(float(np.linalg.norm(first)), 1e-6)
        width = generator.uniform(5, 14, 2)
        axes = np.stack([first * width[0], np.cross(normal, first) * width[1], normal * generator.uniform(1.2, 2.4)])
        hu = float(generator.uniform(200, 500)) if generator.random() < 0.25 else 45.0
        _draw(scene, _plate(generator, center + normal * scene.depth(center[None])[0], axes), hu)
        _note(scene, "plaque", center, 2 * float(width.max()))


def add_lymph_nodes(scene: Scene, generator: np.random.Generator) -> None:
    """Draw three to eight lymph nodes in the mediastinum and at the hila."""
    for _ in range(int(generator.integers(3, 9))):
        center = generator.uniform((-38, -20, -50), (42, 18, 55))
        depth = float(scene.depth(center[None])[0])
        radius = float(generator.uniform(2, 5))
        if depth < -2 and scene.in_view(center[None], 2.0)[0]:
            _draw(scene, random_blob(generator, center, radius, 1.8, 0.3), 42.0, in_lung=False)
            _note(scene, "lymph_node", center, 2 * radius)


def add_hilar_nodes(scene: Scene, generator: np.random.Generator) -> None:
    """Draw up to four nodes that bulge from the hila and the mediastinum into the lungs."""
    for _ in range(int(generator.integers(0, 5))):
        points = generator.uniform((-60, -30, -60), (60, 30, 40), (400, 3))
        depth = scene.depth(points)
        radius = float(generator.uniform(3.5, 10))
        near = points[(depth > -0.6 * radius) & (depth < 0.25 * radius) & scene.in_view(points, 3.0)]
        near = near[scene.is_free(near, radius)]
        if len(near):
            hu = float(generator.uniform(25, 60)) + float(generator.uniform(0, 0.25)) * scene.patient.contrast_hu
            blob = random_blob(generator, near[0], radius, 1.8, 0.5)
            _draw(scene, blob, hu)
            _draw(scene, blob, hu, in_lung=False)
            _note(scene, "hilar_node", near[0], 2 * radius)


def add_bands(scene: Scene, generator: np.random.Generator) -> None:
    """Draw up to three bands of collapsed lung: long, flat, mostly level, from the pleura inward."""
    for _ in range(int(generator.choice(4, p=(0.45, 0.3, 0.15, 0.1)))):
        length = float(generator.uniform(18, 55))
        center = find_place(scene, generator, 0.25 * length, "pleura", 4.0)
        if center is None:
            continue
        half = np.array([length / 2, generator.uniform(4, 16), generator.uniform(0.5, 1.6)])
        tilt = random_rotation(generator) * 0.35 + np.eye(3)
        axes = np.linalg.qr(tilt.T)[0].T * half[:, None]
        turn = generator.uniform(0, 2 * np.pi)
        around = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
        _draw(scene, _plate(generator, center, axes @ around.T), float(generator.uniform(-350, 20)))
        _note(scene, "band", center, length)


def add_infiltrates(scene: Scene, generator: np.random.Generator) -> None:
    """Draw, in every fourth scan, one or two patchy regions far larger than a nodule."""
    if generator.random() > 0.25:
        return
    for _ in range(int(generator.integers(1, 3))):
        radius = float(generator.uniform(18, 34))
        center = find_place(scene, generator, radius, "pleura", 4.0)
        if center is None:
            continue
        blob = random_blob(generator, center, radius, 2.2, 1.6)
        box = scene.grid.box(center - blob.reach, center + blob.reach)
        if box is None:
            continue
        distance = blob.distance(*scene.grid.coordinates(box))
        patches = np.clip(0.5 + grain(generator, scene.grid, box, generator.uniform(3, 8)), 0, 1)
        share = np.clip(0.5 - distance / np.float32(6.0), 0, 1) * patches * scene.lung_share(box)
        scene.add_density(box, share.astype(np.float32), float(generator.uniform(-650, -100)))
        _note(scene, "infiltrate", center, 2 * radius)


def add_mucus(scene: Scene, generator: np.random.Generator) -> None:
    """Draw up to two plugged bronchi: short, thick, forked."""
    for _ in range(int(generator.choice(3, p=(0.6, 0.25, 0.15)))):
        center = find_place(scene, generator, 8.0, "free", 4.0)
        if center is None:
            continue
        radius = float(generator.uniform(1.2, 3.2))
        toward = unit_vectors(generator, 3) * generator.uniform(7, 16, (3, 1))
        ends = np.repeat(center[None], 3, axis=0)
        taper = radius * np.stack([np.ones(3), generator.uniform(0.3, 0.9, 3)], axis=1)
        scene.canvas.draw_tubes(ends, ends + toward, taper, float(generator.uniform(0, 45)))
        _note(scene, "mucus_plug", center, 14.0)
