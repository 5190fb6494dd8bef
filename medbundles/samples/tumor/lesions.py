"""Tumors: what they are made of, where each part lies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from medbundles.samples.tumor.anatomy import Brain, Push, voxel_of_place
from medbundles.samples.tumor.fields import Floats, drawn, octaves, smooth_field, step

NECROSIS, EDEMA, ENHANCING = 1, 2, 3
# How often each kind is drawn; the names say what of the core takes up contrast agent.
KINDS = {"ring": 0.55, "solid": 0.15, "none": 0.22, "speckled": 0.08}
# A voxel belongs to a part of a tumor that fills more of it than this.
PART = 0.45


@dataclass(frozen=True)
class Lesion:
    """A tumor before it is drawn.

    Attributes:
        kind: of :data:`KINDS`.
        center_mm: in the person's world.
        radius_mm: of the core, about.
        rim_mm: thickness of what enhances.
        edema_mm: how far edema reaches in white matter.
        rough: how uneven the surface is, as a share of the radius.
        push_mm: how far tissue is moved aside.
        uptake: of contrast agent, 1 is strong.
        watery: how clear the fluid in its necrosis is, 1 as cerebrospinal fluid.
        bled: how much of bled spots is blood.
    """

    kind: str
    center_mm: npt.NDArray[np.float64]
    radius_mm: float
    rim_mm: float
    edema_mm: float
    rough: float
    push_mm: float
    uptake: float
    watery: float
    bled: float

    @property
    def push(self) -> Push:
        """Return what it does to the tissue around it."""
        return Push(self.center_mm, self.radius_mm, self.push_mm)

    def as_record(self) -> dict[str, Any]:
        """Return plain data."""
        values = {
            "radius_mm": self.radius_mm,
            "rim_mm": self.rim_mm,
            "edema_mm": self.edema_mm,
            "push_mm": self.push_mm,
            "uptake": self.uptake,
            "watery": self.watery,
            "bled": self.bled,
        }
        center = [round(float(value), 1) for value in self.center_mm]
        return {"kind": self.kind, "center_mm": center, **{key: round(value, 2) for key, value in values.items()}}


def draw_lesion(generator: np.random.Generator, center_mm: npt.NDArray[np.float64], largest_mm: float) -> Lesion:
    """Return a tumor of a random kind and size around a place."""
    kind = str(generator.choice(list(KINDS), p=list(KINDS.values())))
    radius = float(np.clip(np.exp(generator.normal(np.log(14), 0.45)), 4.0, largest_mm))
    edema = float(np.clip(np.exp(generator.normal(np.log(13), 0.7)), 1.5, 45.0))
    if kind == "none":
        edema *= 0.6
    return Lesion(
        kind=kind,
        center_mm=center_mm,
        radius_mm=radius,
        rim_mm=float(np.clip(np.exp(generator.normal(np.log(3.5), 0.4)), 1.5, 9.0)),
        edema_mm=edema,
        rough=drawn(generator, 0.12, 0.45),
        push_mm=radius * drawn(generator, 0.0, 0.4),
        uptake=float(np.exp(drawn(generator, np.log(0.18), np.log(1.1)))),
        watery=drawn(generator, 0.4, 1.0) * float(generator.random() < 0.3),
        bled=drawn(generator, 0.3, 1.0) * float(generator.random() < 0.25),
    )


@dataclass
class Parts:
    """Shares of a tumor's parts ``(x, y, z)``; what is left of each voxel is the brain's.

    Attributes:
        necrosis: dead or fluid core.
        solid: tumor that takes up no contrast agent.
        enhancing: tumor that does.
        edema: water between fibers, with tumor cells in it.
        watery: how much of the necrosis is as clear as fluid.
        bled: blood some days or weeks old, in the core.
        uptake: of contrast agent, where there is any.
        label: 1 core that does not enhance, 2 edema, 3 enhancing.
    """

    necrosis: Floats
    solid: Floats
    enhancing: Floats
    edema: Floats
    uptake: Floats
    watery: Floats
    bled: Floats
    label: npt.NDArray[np.uint8]

    @classmethod
    def nothing(cls, shape: tuple[int, int, int]) -> Parts:
        """Return a brain without tumor."""
        shares = ("necrosis", "solid", "enhancing", "edema", "uptake", "watery", "bled")
        empty: dict[str, Any] = {name: np.zeros(shape, np.float32) for name in shares}
        return cls(**empty, label=np.zeros(shape, np.uint8))


def grow(generator: np.random.Generator, lesion: Lesion, brain: Brain, parts: Parts) -> None:
    """Add a tumor to the parts."""
    reach = lesion.radius_mm * 1.7 + lesion.edema_mm * 1.6 + 6
    middle = voxel_of_place(lesion.center_mm)
    box = tuple(
        slice(max(0, int(center - reach)), min(size, int(center + reach) + 1))
        for center, size in zip(middle, brain.shape, strict=True)
    )
    shape = brain.mask[box].shape
    if min(shape) < 4:
        return
    inside = brain.mask[box] & (brain.surface_mm[box] < 0.6)
    depth = _depth(generator, lesion, middle - [part.start for part in box], shape)
    core = step(depth, 0.5) * inside
    core *= 1 - 0.8 * step(ndimage.gaussian_filter(brain.fluid[box], 1.5) - 0.8, 0.06)
    necrosis, solid, enhancing = _inside(generator, lesion, depth, core)
    edema = _edema(generator, lesion, brain, box, depth, core) * inside
    free = 1 - np.maximum.reduce([getattr(parts, name)[box] for name in ("necrosis", "solid", "enhancing")])
    for name, share in (("necrosis", necrosis), ("solid", solid), ("enhancing", enhancing)):
        getattr(parts, name)[box] = np.maximum(getattr(parts, name)[box], share * free)
    new_core = parts.necrosis[box] + parts.solid[box] + parts.enhancing[box]
    parts.edema[box] = np.maximum(parts.edema[box], edema) * np.clip(1 - new_core, 0, 1)
    uptake = lesion.uptake * np.exp(0.45 * smooth_field(generator, shape, 3))
    parts.uptake[box] = np.maximum(parts.uptake[box], uptake * enhancing)
    if lesion.watery:
        parts.watery[box] = np.maximum(parts.watery[box], necrosis * lesion.watery)
    if lesion.bled:
        spots = step(octaves(generator, shape, drawn(generator, 3, 7)) - drawn(generator, 0.3, 1.8), 0.2)
        parts.bled[box] = np.maximum(parts.bled[box], core * spots * lesion.bled)
    _label(parts, box)


def _depth(generator: np.random.Generator, lesion: Lesion, middle: Floats, shape: tuple[int, ...]) -> Floats:
    """Return how far inside the core's surface each voxel lies, in mm, below 0 outside."""
    index = np.stack(np.meshgrid(*[np.arange(size, dtype=np.float32) for size in shape], indexing="ij"))
    offset = index - np.asarray(middle, np.float32).reshape(3, 1, 1, 1)
    distance = np.full(shape, np.inf, np.float32)
    lobes = 1 + int(generator.integers(0, 4)) if lesion.radius_mm > 8 else 1
    for number in range(lobes):
        size = lesion.radius_mm * (1.0 if number == 0 else drawn(generator, 0.35, 0.75))
        shift = generator.normal(size=3)
        shift *= 0 if number == 0 else lesion.radius_mm * drawn(generator, 0.6, 1.0) / np.linalg.norm(shift)
        turn, _ = np.linalg.qr(generator.normal(size=(3, 3)))
        axes = np.exp(np.clip(generator.normal(0, 0.22, 3), -0.45, 0.45))
        form = (turn @ np.diag(1 / axes) @ turn.T).astype(np.float32)
        lobe = np.sqrt((np.tensordot(form, offset - shift.reshape(3, 1, 1, 1), axes=1) ** 2).sum(axis=0)) - size
        distance = np.minimum(distance, lobe.astype(np.float32))
    rough = lesion.rough * lesion.radius_mm * 0.5
    return np.asarray(-distance + rough * octaves(generator, shape, max(3.0, lesion.radius_mm * 0.6)), np.float32)


def _inside(
    generator: np.random.Generator, lesion: Lesion, depth: Floats, core: Floats
) -> tuple[Floats, Floats, Floats]:
    """Return the shares of necrosis, tumor without and tumor with contrast agent."""
    nothing = np.zeros_like(core)
    if lesion.kind == "none":
        cyst = core * step(octaves(generator, core.shape, 5) - drawn(generator, 1.0, 2.5), 0.2)
        return cyst, core - cyst, nothing
    if lesion.kind == "solid":
        dead = core * step(octaves(generator, core.shape, 4) - drawn(generator, 1.2, 2.5), 0.2)
        return dead, nothing, core - dead
    if lesion.kind == "speckled":
        bright = core * step(octaves(generator, core.shape, 4) - drawn(generator, 0.4, 1.4), 0.2)
        return nothing, core - bright, bright
    thickness = lesion.rim_mm * np.exp(0.45 * octaves(generator, core.shape, max(3.0, lesion.radius_mm * 0.4)))
    within = step(depth - thickness, 0.5)
    rim = core * (1 - within)
    # A rim is often open somewhere, and tumor grows beyond it.
    gap = step(smooth_field(generator, core.shape, max(3.0, lesion.radius_mm * 0.5)) - drawn(generator, 0.9, 2.6), 0.15)
    tissue = step(octaves(generator, core.shape, 5) - drawn(generator, 0.0, 2.0), 0.2)
    return core * within * (1 - tissue), core * within * tissue + rim * gap, rim * (1 - gap)


def _edema(
    generator: np.random.Generator, lesion: Lesion, brain: Brain, box: Any, depth: Floats, core: Floats
) -> Floats:
    """Return where water spreads: along white matter, hardly into gray matter, not across fluid."""
    white = ndimage.gaussian_filter(brain.white[box], drawn(generator, 0.6, 1.4))
    way = np.maximum(-depth, 0) * (1 + drawn(generator, 0.6, 1.6) * (1 - white))
    reach = lesion.edema_mm * np.exp(0.45 * octaves(generator, depth.shape, max(4.0, lesion.edema_mm * 0.7)))
    soft = drawn(generator, 0.7, 2.0)
    spread = step(reach - way, soft) * step(white - drawn(generator, 0.3, 0.5), 0.08)
    near = step(drawn(generator, 1.0, 3.0) + depth, 0.8) * (1 - ndimage.gaussian_filter(brain.fluid[box], 0.7))
    spread = np.maximum(spread, near * 0.8)
    # The other half of the brain is reached through the corpus callosum alone.
    side = np.sign(float(lesion.center_mm[0]) or 1.0)
    across = step(-side * brain.template_mm[0][box] - 1.0, 0.7)
    way_over = step(white - 0.75, 0.05) if generator.random() < 0.15 else 0.0
    spread = spread * (1 - across * (1 - way_over))
    joined, count = ndimage.label((spread > PART) | (core > PART))
    if count > 1:
        largest = np.bincount(joined[core > PART], minlength=count + 1)[1:].argmax() + 1 if (core > PART).any() else 1
        spread = spread * ((joined == largest) | (spread < PART))
    return np.asarray(np.clip(spread - core, 0, 1), np.float32)


def _label(parts: Parts, box: Any) -> None:
    dark, bright = parts.necrosis[box] + parts.solid[box], parts.enhancing[box]
    label = np.zeros(dark.shape, np.uint8)
    label[parts.edema[box] > PART] = EDEMA
    core = dark + bright > 0.5
    label[core] = np.where(bright >= dark, ENHANCING, NECROSIS)[core]
    parts.label[box] = np.where(label > 0, label, parts.label[box] * 0 + label)
