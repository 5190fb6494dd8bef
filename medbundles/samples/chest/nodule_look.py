"""What a nodule is filled with: density, calcification, a cavity, spicules, a tag to the pleura."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from medbundles.samples.chest.blobs import Blob, grain, random_blob, unit_vectors
from medbundles.samples.chest.grid import Box, Floats, Points
from medbundles.samples.chest.patient import Patient
from medbundles.samples.chest.scene import Scene

TYPES, TYPE_SHARES = ("solid", "part_solid", "ground_glass"), (0.68, 0.14, 0.18)
SMALLEST_SUBSOLID_MM, SMALLEST_SPICULATED_MM = 6.0, 6.0
SMALLEST_CAVITARY_MM = 11.0
# Widths over which a nodule's edge fades: sharp solid ones to fuzzy ground glass.
SOLID_EDGE_MM, SUBSOLID_EDGE_MM = (0.5, 2.6), (1.6, 4.0)
AIR_HU, CALCIUM_HU = -960.0, (180.0, 900.0)
LONGEST_TAG_MM = 25.0
# Fainter ground glass would not be seen, nor annotated.
FAINTEST_CONTRAST_HU = 190.0


@dataclass(frozen=True)
class Look:
    """How a nodule appears.

    Attributes:
        kind: ``solid``, ``part_solid`` or ``ground_glass``.
        hu: density of most of it.
        solid_hu: density of its solid part and its spicules.
        edge_mm: width of its edge.
        lobes: how bumpy it is, 0 to 1.6.
        stretch: largest ratio of two half axes.
        spiculation: 0 none to 3 strong.
        calcified: ``none``, ``center`` or ``all``.
        cavitary: whether it holds a cavity.
        tag: whether a strand ties it to the pleura.
    """

    kind: str
    hu: float
    solid_hu: float
    edge_mm: float
    lobes: float
    stretch: float
    spiculation: int
    calcified: str
    cavitary: bool
    tag: bool

    def record(self) -> dict[str, Any]:
        """Return what the record says about it."""
        return {
            "type": self.kind, "hu": self.hu, "edge_mm": round(self.edge_mm, 3), "spiculation": self.spiculation,
            "calcified": self.calcified, "cavitary": self.cavitary, "tag": self.tag,
        }  # fmt: skip


def draw_kind(generator: np.random.Generator) -> str:
    """Return solid, part-solid or ground-glass."""
    return str(generator.choice(TYPES, p=TYPE_SHARES))


def draw_look(generator: np.random.Generator, kind: str, diameter: float, patient: Patient) -> Look:
    """Draw a nodule's appearance.

    Args:
        generator: random numbers.
        kind: ``solid``, ``part_solid`` or ``ground_glass``.
        diameter: in mm; small nodules have neither cavities nor spicules.
        patient: contrast agent, of which a nodule takes up a part, and the lung that ground glass stands out from.
    """
    solid_hu = float(np.clip(generator.normal(25, 45), -120, 110) + generator.uniform(0, 0.25) * patient.contrast_hu)
    calcified = "none"
    if kind == "solid" and generator.random() < 0.12:
        calcified = "all" if generator.random() < 0.6 else "center"
    solid = kind == "solid"
    hu = solid_hu if solid else max(float(generator.uniform(-680, -380)), patient.lung_hu + FAINTEST_CONTRAST_HU)
    if calcified == "all":
        hu = float(generator.uniform(*CALCIUM_HU))
    spiculated = diameter > SMALLEST_SPICULATED_MM and generator.random() < 0.35
    return Look(
        kind=kind,
        hu=hu,
        solid_hu=solid_hu,
        edge_mm=float(generator.uniform(*(SOLID_EDGE_MM if solid else SUBSOLID_EDGE_MM))) * min(1.0, diameter / 8),
        lobes=float(generator.uniform(0, 1.6)),
        stretch=float(generator.uniform(1.05, 2.0)),
        spiculation=int(generator.integers(1, 4)) if spiculated else 0,
        calcified=calcified,
        cavitary=solid and calcified == "none" and diameter > SMALLEST_CAVITARY_MM and generator.random() < 0.14,
        tag=bool(generator.random() < 0.22),
    )


def paint(
    scene: Scene, generator: np.random.Generator, look: Look, blob: Blob, box: Box, share: Floats, inner_edge_mm: float
) -> None:
    """Draw a nodule.

    Args:
        scene: the scan so far.
        generator: random numbers.
        look: what it is filled with.
        blob: its shape.
        box: the fine voxels it lies in.
        share: how much of each of them it takes.
        inner_edge_mm: width of the edges within it.
    """
    rough = 14.0 if look.kind == "solid" else generator.uniform(20, 60)
    scene.add_density(box, share, look.hu + rough * grain(generator, scene.grid, box, 1.3))
    if look.kind == "part_solid":
        _fill(scene, generator, blob, look.solid_hu, generator.uniform(0.3, 0.7), inner_edge_mm)
    if look.calcified == "center":
        _fill(scene, generator, blob, float(generator.uniform(*CALCIUM_HU)), generator.uniform(0.2, 0.5), inner_edge_mm)
    if look.cavitary:
        _fill(scene, generator, blob, AIR_HU, generator.uniform(0.25, 0.6), inner_edge_mm)
    strand_hu = min(look.hu, look.solid_hu) + (0 if look.kind == "solid" else 150)
    if look.spiculation:
        _add_spicules(scene, generator, blob, 10 * look.spiculation, strand_hu)
    if look.tag:
        _add_tag(scene, generator, blob, strand_hu)


def _fill(scene: Scene, generator: np.random.Generator, blob: Blob, hu: float, size: float, edge_mm: float) -> None:
    """Fill an inner part, ``size`` times as wide as the nodule, that lies off its center but within it."""
    away = unit_vectors(generator, 1)[0] * float(blob.lengths.min()) * generator.uniform(0, 0.9 - size)
    core = random_blob(generator, blob.center + away, float(blob.lengths.min()) * size, 1.4, 0.6)
    box = scene.grid.box(core.center - core.reach - edge_mm, core.center + core.reach + edge_mm)
    if box is None:
        return
    share = np.clip(0.5 - core.distance(*scene.grid.coordinates(box)) / np.float32(edge_mm), 0, 1)
    view = scene.canvas.hu[box]
    view += share * scene.lung_share(box) * (hu - view)


def _add_spicules(scene: Scene, generator: np.random.Generator, blob: Blob, count: int, hu: float) -> None:
    """Draw thin strands that leave the surface and taper; the annotation does not count them."""
    toward = unit_vectors(generator, count)
    length = blob.lengths.mean() * generator.uniform(0.35, 1.1, count)
    width = generator.uniform(0.5, 1.0, count)
    t = np.linspace(0, 1, 24)
    surface = 0.9 / np.linalg.norm(toward @ (blob.axes / blob.lengths[:, None] ** 2).T, axis=1)
    sway = unit_vectors(generator, count) * 0.15
    course = toward[:, None] + sway[:, None] * t[None, :, None]
    points = blob.center + course * (surface[:, None] + length[:, None] * t)[..., None]
    radius = width[:, None] * (1 - 0.8 * t)
    step = np.broadcast_to(length[:, None] / len(t), radius.shape)
    _threads(scene, points.reshape(-1, 3), radius.ravel(), step.ravel(), hu)


def _add_tag(scene: Scene, generator: np.random.Generator, blob: Blob, hu: float) -> None:
    """Draw a strand from a nodule to the pleura when that is near."""
    normal = scene.outward(blob.center)
    start = float(blob.lengths.mean())
    length = float(scene.depth(blob.center[None])[0]) - start
    if not 1.0 < length < LONGEST_TAG_MM:
        return
    t = np.linspace(0, 1, int(length / 0.3) + 2)
    points = blob.center + normal * (start + 1.1 * length * t)[:, None]
    radius = generator.uniform(0.35, 0.8) * (1 + 0.6 * t**3)
    _threads(scene, points, radius, np.full(len(t), 1.1 * length / len(t)), hu)


def _threads(scene: Scene, points: Points, radius: Points, step: Points, hu: float) -> None:
    inside = scene.depth(points) > 0
    scene.canvas.draw_threads(points[inside], radius[inside], step[inside], hu)
