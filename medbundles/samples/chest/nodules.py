"""Lung nodules with their annotation: what LUNA16's tables say about a finding, and a little more."""

from __future__ import annotations

from typing import Any

import numpy as np

from medbundles.samples.chest.blobs import Blob, random_blob
from medbundles.samples.chest.grid import Box, Floats
from medbundles.samples.chest.nodule_look import SMALLEST_SUBSOLID_MM, draw_kind, draw_look, paint
from medbundles.samples.chest.placement import Attachment, find_place
from medbundles.samples.chest.scene import Scene

SMALLEST_MM, LARGEST_MM = 4.0, 30.0
# LUNA16's diameters: a quarter below 5.1 mm, half below 6.4 mm, a tenth above 15.5 mm.
LOG_SPREAD = 0.67
# Large ones are drawn more often than LUNA16 has them: a network that sees few takes them for the chest wall.
LARGE_SHARE, LARGE_MM = 0.3, 10.0
# Nodules in a scan that has any: more than in LUNA16 (half of its scans have one), so that few scans show enough.
COUNTS, COUNT_SHARES = (1, 2, 3, 4, 5, 6), (0.30, 0.26, 0.19, 0.12, 0.08, 0.05)
# Every fifth scan has none.
EMPTY_EVERY = 5
ATTACHMENTS: tuple[Attachment, ...] = ("free", "vessel", "pleura")
ATTACHMENT_SHARES = (0.45, 0.25, 0.30)
PLACE_ATTEMPTS = 12
# A place is taken only if so much of the nodule replaces air, not a great vessel that lies in the lung's outline.
SMALLEST_AERATED_SHARE, AERATED_HU = 0.65, -400.0
SIZE_ITERATIONS = 5


def draw_diameter(generator: np.random.Generator) -> float:
    """Return a diameter in mm from 4 to 30 mm: distributed as in LUNA16, a share of them evenly from 10 mm on."""
    if generator.random() < LARGE_SHARE:
        return float(generator.uniform(LARGE_MM, LARGEST_MM * 0.97))
    while True:
        diameter = SMALLEST_MM * 1.03 * float(np.exp(generator.exponential(LOG_SPREAD)))
        if diameter < LARGEST_MM * 0.98:
            return diameter


def is_empty_scan(seed: int, case: int) -> bool:
    """Tell whether a scan has no nodules."""
    return (seed + case) % EMPTY_EVERY == EMPTY_EVERY - 1


def add_nodules(scene: Scene, generator: np.random.Generator) -> None:
    """Draw one to six nodules and note what was drawn."""
    for _ in range(int(generator.choice(COUNTS, p=COUNT_SHARES))):
        # One stream for each nodule: what one of them needs does not shift the next.
        _add_nodule(scene, np.random.default_rng(generator.integers(2**63)))


def _add_nodule(scene: Scene, generator: np.random.Generator) -> None:
    kind = draw_kind(generator)
    attachment: Attachment = ATTACHMENTS[int(generator.choice(len(ATTACHMENTS), p=ATTACHMENT_SHARES))]
    diameter = draw_diameter(generator)
    if kind != "solid":
        # A small or thin-sliced ground-glass spot would not be seen, nor annotated.
        diameter = max(diameter, SMALLEST_SUBSOLID_MM, 1.8 * scene.grid.thickness_mm)
    for _ in range(PLACE_ATTEMPTS):
        center = find_place(scene, generator, diameter / 2, attachment, 0.45 * diameter)
        if center is None:
            diameter = max(0.75 * diameter, SMALLEST_MM * 1.05 if kind == "solid" else SMALLEST_SUBSOLID_MM)
            continue
        look = draw_look(generator, kind, diameter, scene.patient)
        edge_mm = max(scene.grid.blur_mm, look.edge_mm)
        blob = random_blob(generator, center, diameter / 2, look.stretch, look.lobes)
        fitted = _fit(scene, blob, diameter, edge_mm)
        if fitted is None or not _is_aerated(scene, *fitted[1:]):
            continue
        blob, box, share = fitted
        paint(scene, generator, look, blob, box, share, scene.grid.blur_mm)
        record = _measure(scene, box, share) | look.record() | {"attachment": attachment}
        record["malignancy"] = _ratings(generator, record["diameter_mm"], kind, look.spiculation)
        scene.nodules.append(record)
        scene.occupy(np.array(record["center_mm"]), diameter / 2)
        return


def _share(scene: Scene, blob: Blob, edge_mm: float) -> tuple[Box, Floats] | None:
    reach = blob.reach + edge_mm
    box = scene.grid.box(blob.center - reach, blob.center + reach)
    if box is None:
        return None
    distance = blob.distance(*scene.grid.coordinates(box))
    return box, np.clip(0.5 - distance / np.float32(edge_mm), 0, 1) * scene.lung_share(box)


def _equivalent_diameter(scene: Scene, share: Floats) -> float:
    volume = float(share.sum(dtype=np.float64)) * scene.grid.fine_voxel_mm3
    return float((6 * volume / np.pi) ** (1 / 3))


def _fit(scene: Scene, blob: Blob, diameter: float, edge_mm: float) -> tuple[Blob, Box, Floats] | None:
    """Scale a blob until what lies in the lung and in the scan has the wanted equivalent diameter."""
    for _ in range(SIZE_ITERATIONS):
        drawn = _share(scene, blob, edge_mm)
        found = _equivalent_diameter(scene, drawn[1]) if drawn else 0.0
        if drawn and abs(found - diameter) < 0.01 * diameter:
            break
        blob = blob.scaled(float(np.clip(diameter / max(found, 0.1), 0.6, 1.4)))
    if drawn is None or not SMALLEST_MM <= found <= LARGEST_MM:
        return None
    return blob, *drawn


def _is_aerated(scene: Scene, box: Box, share: Floats) -> bool:
    air = share * (scene.canvas.hu[box] < AERATED_HU)
    return bool(air.sum() >= SMALLEST_AERATED_SHARE * share.sum())


def _measure(scene: Scene, box: Box, share: Floats) -> dict[str, Any]:
    """Return center of mass, equivalent diameter and bounds of a nodule in the patient's frame."""
    axes = scene.grid.coordinates(box)
    total = float(share.sum(dtype=np.float64))
    center = [float((share * axis).sum(dtype=np.float64)) / total for axis in axes]
    where = np.argwhere(share > 0.5)[:, ::-1]
    low, high = (where.min(axis=0), where.max(axis=0)) if len(where) else (np.zeros(3, int), np.zeros(3, int))
    half = np.array([scene.grid.pixel_mm, scene.grid.pixel_mm, scene.grid.fine_mm]) / 2
    lower = [float(axis.ravel()[index]) for axis, index in zip(axes, low, strict=True)] - half
    upper = [float(axis.ravel()[index]) for axis, index in zip(axes, high, strict=True)] + half
    return {
        "center_mm": center,
        "diameter_mm": _equivalent_diameter(scene, share),
        "lower_mm": [float(value) for value in lower],
        "upper_mm": [float(value) for value in upper],
    }


def _ratings(generator: np.random.Generator, diameter: float, kind: str, spiculation: int) -> list[int]:
    """Return three or four readers' ratings from 1 (benign) to 5 (malignant)."""
    mean = 1.7 + 0.09 * diameter + 0.35 * spiculation + 0.5 * (kind == "part_solid")
    count = int(generator.integers(3, 5))
    return [int(value) for value in np.clip(np.rint(generator.normal(mean, 0.8, count)), 1, 5)]
