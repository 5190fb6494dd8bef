"""One person's brain on the grid of the BraTS challenges: shares of tissues, pushed aside where tumors grow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from medbundles.samples.head.shape import STEP_MM, HeadShape
from medbundles.samples.head.template import Template, read_template
from medbundles.samples.seeding import stream
from medbundles.samples.tumor.fields import at_places, doubled, drawn, smooth_field
from medbundles.samples.tumor.sampling import along_axes, blurred

Floats = npt.NDArray[np.floating[Any]]

SHAPE = (240, 240, 155)
# Voxels of 1 mm; the first axis to the left, the second to the back, as the challenges store them.
AFFINE = np.array([[-1.0, 0, 0, 0], [0, -1.0, 0, 239], [0, 0, 1.0, 0], [0, 0, 0, 1.0]])
# The part of the grid that brains lie in.
BOX = (slice(38, 202), slice(14, 230), slice(0, 155))
# Lateral ventricles in the template: their middle, how far they reach (mm), by which share people have them wider.
VENTRICLES_MM, VENTRICLES_REACH_MM, VENTRICLES_WIDER = (0.0, -14.0, 16.0), (26.0, 42.0, 24.0), (-0.25, 0.45)
# Nuclei with iron, in the template: middle on one side and half axes in mm, share of the iron of the first.
IRON = (
    ((19.0, -5.0, -1.0), (6.0, 10.0, 7.0), 1.0),
    ((26.0, 2.0, 1.0), (5.0, 14.0, 9.0), 0.35),
    ((9.0, -17.0, -11.0), (5.0, 7.0, 5.0), 0.7),
    ((13.0, -60.0, -34.0), (8.0, 8.0, 6.0), 0.6),
)
# Voxel and place of the template (mm, RAS) that are the middle of a brain.
MIDDLE_VOXEL, MIDDLE_MM = np.array([120.0, 127.0, 79.0]), np.array([0.0, -20.0, 8.0])


@dataclass(frozen=True)
class Push:
    """Tissue pushed away from a growing tumor.

    Attributes:
        center_mm: in the person's world.
        radius_mm: where the push is strongest.
        size_mm: how far tissue is moved there.
    """

    center_mm: npt.NDArray[np.float64]
    radius_mm: float
    size_mm: float


@dataclass(frozen=True)
class Brain:
    """Shares of tissues ``(x, y, z)`` in :data:`BOX`.

    Attributes:
        white: white matter.
        gray: gray matter.
        fluid: cerebrospinal fluid.
        around: what surrounds the brain and escapes skull-stripping: mostly fluid, never as bright everywhere.
        iron: how much of the iron that the globus pallidus has, 0 to 1.
        surface_mm: distance outside of the brain's surface, 0 inside.
        template_mm: ``(3, x, y, z)`` place in the template.
        mask: what is left after skull-stripping.
        detail: what the template's T1w shows beyond tissues, in steps from gray to white matter.
    """

    white: Floats
    gray: Floats
    fluid: Floats
    around: Floats
    iron: Floats
    surface_mm: Floats
    template_mm: Floats
    mask: npt.NDArray[np.bool_]
    detail: Floats

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return the box's size."""
        x, y, z = self.mask.shape
        return x, y, z


def place_of_voxel(voxel: Floats) -> Floats:
    """Return the person's world (mm, RAS, middle of the brain as in the template) of voxels ``(3, ...)``."""
    flat = [1] * (voxel.ndim - 1)
    signs = np.array([-1.0, -1.0, 1.0], np.float32).reshape(3, *flat)
    start = (MIDDLE_MM.astype(np.float32) - signs.ravel() * MIDDLE_VOXEL.astype(np.float32)).reshape(3, *flat)
    return np.asarray(signs * voxel + start)


def voxel_of_place(place: Floats) -> Floats:
    """Return where in :data:`BOX` places of the person's world ``(3,)`` lie, in voxels."""
    voxel = np.array([-1.0, -1.0, 1.0]) * (np.asarray(place) - MIDDLE_MM) + MIDDLE_VOXEL
    return np.asarray(voxel - np.array([part.start for part in BOX]))


def random_place(generator: np.random.Generator, shape: HeadShape, template: Template) -> npt.NDArray[np.float64]:
    """Return a place in the person's cerebrum, in white or gray matter."""
    while True:
        voxel = generator.integers(0, template.white.shape)
        tissue = float(template.white[tuple(voxel)] + template.gray[tuple(voxel)])
        place = template.affine[:3, :3] @ voxel + template.affine[:3, 3]
        in_cerebrum = place[2] > -28 and not (place[2] < 0 and place[1] < -38 and abs(place[0]) < 45)
        if tissue > 0.9 and in_cerebrum and abs(place[0]) > 4:
            return np.asarray(np.linalg.inv(shape.linear) @ place)


def make_brain(seed: int, case: int, shape: HeadShape, pushes: Sequence[Push]) -> Brain:
    """Return a person's brain with tissue pushed aside."""
    generator = stream(seed, case, "brain")
    template = read_template()
    where = _places(shape, pushes, wider=drawn(generator, *VENTRICLES_WIDER))
    size = where.shape[1:]
    maps = _sampled(template, where)
    shares = _own_shares(shape, maps)
    inside = shares["gray"] + shares["white"] + shares["fluid"]
    outside = maps["outside_mm"]
    strip = generator.uniform(-0.5, 1.8) + drawn(generator, 0.5, 1.8) * smooth_field(generator, size, 8)
    # The sagittal sinus often stays, as a ridge along the midline.
    x, y, z = where
    strip += drawn(generator, 0, 6) * np.exp(-((x / 5) ** 2)) * ((z > 15) | (y < -70))
    detail = maps["t1"] - maps["gray"] * 0.72 - maps["white"] - maps["fluid"] * 0.35
    return Brain(
        white=shares["white"],
        gray=shares["gray"],
        fluid=shares["fluid"],
        around=np.clip(1 - inside, 0, 1)
        * np.clip(drawn(generator, 0.3, 1.0) + 0.4 * smooth_field(generator, size, 5), 0, 1),
        iron=_iron(where, shares["gray"] + shares["white"]),
        surface_mm=outside,
        template_mm=where,
        mask=(outside < np.maximum(strip, 0.05))
        & (inside + (outside > 0) > 0.5)
        & ~_shaved(generator, outside, shares["fluid"]),
        detail=np.clip(detail, -0.3, 0.3) / 0.28,
    )


def _shaved(generator: np.random.Generator, outside: Floats, fluid: Floats) -> npt.NDArray[np.bool_]:
    """Return the fluid around the brain that skull-stripping takes away with the skull, in patches."""
    near = along_axes((outside > 0).astype(np.float32), [blurred(size, 3.0) for size in outside.shape])
    patches = smooth_field(generator, outside.shape, 12) + drawn(generator, -1.5, 2.5) > 0
    return np.asarray(patches & (near > drawn(generator, 0.02, 0.3)) & (fluid > drawn(generator, 0.4, 0.7)))


def _places(shape: HeadShape, pushes: Sequence[Push], wider: float) -> Floats:
    """Return the template's place ``(3, x, y, z)`` of every voxel of :data:`BOX`.

    Everything that bends space is wider than 2 mm: it is computed at every other voxel and linear in between.
    """
    steps = [np.arange(part.start, part.stop + 1, 2, dtype=np.float32) for part in BOX]
    world = place_of_voxel(np.stack(np.meshgrid(*steps, indexing="ij")))
    for push in pushes:
        _push(world, push)
    where = _in_template(shape, world)
    _widen_ventricles(where, wider)
    return doubled(where, [part.stop - part.start for part in BOX])


def _in_template(shape: HeadShape, world: Floats) -> Floats:
    """Return the template's places ``(3, x, y, z)``, as :meth:`HeadShape.to_template` has them."""
    half = (shape.displacements_mm.shape[1] - 1) / 2
    moved = np.stack(at_places(list(shape.displacements_mm), world / STEP_MM + half, border=True))
    return np.asarray(np.tensordot(shape.linear.astype(np.float32), world, axes=1) + moved, np.float32)


def _widen_ventricles(where: Floats, share: float) -> None:
    """Change where the template is looked at: the nearer to the ventricles' middle, the wider they are."""
    middle, reach = (np.array(part, np.float32).reshape(3, 1, 1, 1) for part in (VENTRICLES_MM, VENTRICLES_REACH_MM))
    offset = where - middle
    near = np.exp(-((offset / reach) ** 2).sum(axis=0))
    # Seen through a map whose steps shrink, what is there grows.
    where -= offset * (share * near)


def _iron(where: Floats, tissue: Floats) -> Floats:
    x, y, z = where
    total = np.zeros_like(x)
    for (right, front, up), (a, b, c), share in IRON:
        distance = ((np.abs(x) - right) / a) ** 2 + ((y - front) / b) ** 2 + ((z - up) / c) ** 2
        total = np.maximum(total, share * np.exp(-(distance**2)))
    return np.asarray(total * tissue, np.float32)


def _sampled(template: Template, where: Floats) -> dict[str, Floats]:
    inverse = np.linalg.inv(template.affine).astype(np.float32)
    index = np.tensordot(inverse[:3, :3], where, axes=1) + inverse[:3, 3].reshape(3, 1, 1, 1)
    names = ("t1", "gray", "white", "fluid", "outside_mm")
    # At the template's border there is no brain: what lies farther away is like the border.
    found = at_places([getattr(template, name) for name in names], index, border=True)
    return dict(zip(names, found, strict=True))


def _push(world: Floats, push: Push) -> None:
    """Change where the template is looked at: at the tumor's edge it is nearer to its middle."""
    offset = world - push.center_mm.astype(np.float32).reshape(3, 1, 1, 1)
    distance = np.sqrt((offset**2).sum(axis=0)) + 1e-3
    near = np.clip(distance / push.radius_mm, 0, 1)
    far = np.exp(-np.clip(distance - push.radius_mm, 0, None) / (1.2 * push.radius_mm + 5))
    world -= offset / distance * (push.size_mm * near * far).astype(np.float32)


def _own_shares(shape: HeadShape, maps: dict[str, Floats]) -> dict[str, Floats]:
    """Return the person's shares of tissues from the template's, as :meth:`HeadShape.tissues` does it for a volume."""
    weights = {"gray": 1.0, "white": 1.0, "fluid": shape.fluid}
    raised = {name: weight * np.maximum(maps[name], 0) ** shape.sharpness for name, weight in weights.items()}
    scale = (maps["gray"] + maps["white"] + maps["fluid"]) / (sum(raised.values()) + 1e-6)
    return {name: np.clip(values * scale, 0, 1) for name, values in raised.items()}
