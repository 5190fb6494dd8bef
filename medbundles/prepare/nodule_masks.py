"""Masks of annotated nodules, by named rules: an annotation is a center and a diameter, training needs voxels.

Both rules work in a box around the center, measure distances in mm through the whole affine (so that flipped and
rotated directions are right) and give every annotation at least its center voxel.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from medbundles.io.images import Affine, spacing_of

Mask = npt.NDArray[np.bool_]
Triple = tuple[float, float, float]
# How a mask came about: the rule itself, its fallbacks, or the single voxel that nothing could take away (LUN008).
Origin = Literal["density", "faint density", "sphere", "center voxel"]

# Lung parenchyma lies below, nodules and everything attached to them above (reference system: grown above -700 HU).
TISSUE_HU = -700.0
# LUNA16's diameters are means of the readers', so an elongated nodule reaches beyond its sphere; a quarter more keeps
# it and stops before the box has followed a vessel or the pleura.
REACH = 1.25
# Attached vessels are thinner than this part of the nodule's radius and are cut by an opening of that size.
OPENING = 0.35
# A ground-glass nodule below TISSUE_HU must at least stand this far above the lung around it to be told from it.
FAINT_CONTRAST_HU = 50.0


@dataclass(frozen=True)
class NoduleMask:
    """The mask of one nodule as a block of the volume.

    Attributes:
        start: index of the block's first voxel in the volume.
        voxels: ``(h, w, d)`` booleans, never all false.
        origin: how it came about.
    """

    start: tuple[int, int, int]
    voxels: Mask
    origin: Origin

    def paint(self, label: npt.NDArray[np.uint8]) -> None:
        """Set the mask's voxels to 1 in ``label`` ``(H, W, D)``."""
        block = tuple(slice(s, s + n) for s, n in zip(self.start, self.voxels.shape, strict=True))
        label[block][self.voxels] = 1


@dataclass(frozen=True)
class Surroundings:
    """The part of a CT around an annotated center.

    Attributes:
        hounsfield: ``(h, w, d)`` float32 HU.
        start: index of the block's first voxel in the volume.
        center: the center in voxels of the block, fractional.
        spacing: voxel edge lengths in mm.
        distance_mm: ``(h, w, d)`` distance of every voxel from the center.
        radius_mm: the annotated radius.
    """

    hounsfield: npt.NDArray[np.float32]
    start: tuple[int, int, int]
    center: Triple
    spacing: Triple
    distance_mm: npt.NDArray[np.float64]
    radius_mm: float

    @property
    def center_voxel(self) -> tuple[int, int, int]:
        """The voxel nearest to the center, inside the block."""
        limits = [size - 1 for size in self.hounsfield.shape]
        # Half-way centers go up, always: banker's rounding would send even and odd slices to different sides.
        nearest = [min(max(int(np.floor(c + 0.5)), 0), limit) for c, limit in zip(self.center, limits, strict=True)]
        return nearest[0], nearest[1], nearest[2]


Rule = Callable[[Surroundings], tuple[Mask, Origin]]


def mask_nodule(
    volume: npt.NDArray[Any], affine: Affine, center: npt.ArrayLike, diameter_mm: float, rule: str = "density"
) -> NoduleMask:
    """Return the mask of one annotated nodule.

    Args:
        volume: CT ``(H, W, D)`` in HU.
        affine: 4x4, voxel index to RAS+ mm.
        center: fractional voxel index of the annotated center, at most half a voxel outside the volume.
        diameter_mm: annotated diameter.
        rule: a key of :data:`MASK_RULES`.
    """
    around = cut_surroundings(volume, affine, center, diameter_mm)
    voxels, origin = MASK_RULES[rule](around)
    if not voxels.any():
        voxels, origin = np.zeros(around.hounsfield.shape, dtype=bool), "center voxel"
        voxels[around.center_voxel] = True
    return NoduleMask(around.start, voxels, origin)


def cut_surroundings(
    volume: npt.NDArray[Any], affine: Affine, center: npt.ArrayLike, diameter_mm: float
) -> Surroundings:
    """Cut the block that a mask of this diameter can reach, with a margin of two voxels, out of the volume."""
    middle = np.asarray(center, dtype=np.float64)
    size = np.array(volume.shape)
    # How far a ball reaches along each index axis: for a sheared grid more than its radius over the spacing.
    reach = np.linalg.norm(np.linalg.inv(affine[:3, :3]), axis=1) * (REACH * diameter_mm / 2)
    first = np.clip(np.floor(middle - reach).astype(int) - 2, 0, size - 1)
    last = np.clip(np.ceil(middle + reach).astype(int) + 2, 0, size - 1)
    block = tuple(slice(a, b + 1) for a, b in zip(first, last, strict=True))
    grid = np.stack(np.meshgrid(*(np.arange(a, b + 1) for a, b in zip(first, last, strict=True)), indexing="ij"), -1)
    distance = np.linalg.norm((grid - middle) @ affine[:3, :3].T, axis=-1)
    inside = middle - first
    return Surroundings(
        hounsfield=volume[block].astype(np.float32),
        start=(int(first[0]), int(first[1]), int(first[2])),
        center=(float(inside[0]), float(inside[1]), float(inside[2])),
        spacing=spacing_of(affine),
        distance_mm=distance,
        radius_mm=diameter_mm / 2,
    )


def sphere_mask(around: Surroundings) -> tuple[Mask, Origin]:
    """Return the voxels whose centers lie in the sphere of the annotated diameter."""
    return around.distance_mm <= around.radius_mm, "sphere"


def density_mask(around: Surroundings) -> tuple[Mask, Origin]:
    """Return the dense tissue around the center, cut off where it goes on into vessels, pleura or chest wall.

    The reference system (Deep Learning with PyTorch, chapter 13) grows a box from the center along each axis while
    both sides stay above -700 HU and keeps the dense voxels of the box. Here the box is bounded by the annotated
    diameter from below and above, the volume's border does not stop it, and attached tissue is cut off. A nodule
    fainter than -700 HU is told from the lung by the level half-way between the two; without any such contrast the
    sphere is returned.
    """
    level = tissue_level(around)
    if level is None:
        return sphere_mask(around)
    dense = around.hounsfield > level
    mask = dense & grown_box(around, dense) & (around.distance_mm <= REACH * around.radius_mm)
    mask = _part_at_center(_cut_vessels(mask & ~_attached(around, dense), around), around)
    if not mask.any():
        return sphere_mask(around)
    return mask, "density" if level == TISSUE_HU else "faint density"


MASK_RULES: Mapping[str, Rule] = {"density": density_mask, "sphere": sphere_mask}


def tissue_level(around: Surroundings) -> float | None:
    """Return the HU above which a voxel counts as nodule; ``None`` when the center does not stand out."""
    core = around.distance_mm <= max(around.radius_mm / 2, min(around.spacing))
    core[around.center_voxel] = True
    density = float(np.median(around.hounsfield[core]))
    if density > TISSUE_HU:
        return TISSUE_HU
    shell = around.hounsfield[around.distance_mm > around.radius_mm]
    lung = shell[shell <= TISSUE_HU]
    background = float(np.median(lung)) if lung.size else -1000.0
    return (density + background) / 2 if density - background >= FAINT_CONTRAST_HU else None


def grown_box(around: Surroundings, dense: Mask) -> Mask:
    """Return the box grown from the center: along each axis while both sides are dense, one to :data:`REACH` radii.

    A side that has left the volume no longer has a say, so a nodule on the first or last slice keeps its box.
    """
    box = np.ones(dense.shape, dtype=bool)
    for axis, (middle, step) in enumerate(zip(around.center, around.spacing, strict=True)):
        line = dense[tuple(slice(None) if a == axis else around.center_voxel[a] for a in range(3))]
        half = min(max(_grow(line, around.center_voxel[axis]) * step, around.radius_mm), REACH * around.radius_mm)
        shape = [-1 if a == axis else 1 for a in range(3)]
        box &= (np.abs(np.arange(dense.shape[axis]) - middle) * step <= half + step / 2).reshape(shape)
    return box


def _grow(line: Mask, start: int) -> int:
    steps = 0
    while True:
        sides = [place for place in (start - steps - 1, start + steps + 1) if 0 <= place < line.size]
        if not sides or not all(line[place] for place in sides):
            return steps
        steps += 1


def _attached(around: Surroundings, dense: Mask) -> Mask:
    """Return what lies beyond the annotated sphere and is nearer to tissue that goes on than to that sphere."""
    beyond = dense & (around.distance_mm > REACH * around.radius_mm)
    if not beyond.any():
        return beyond
    nearest = ndimage.distance_transform_edt(~beyond, sampling=around.spacing)
    outside = around.distance_mm - around.radius_mm
    return np.asarray((outside > 0) & (nearest < outside))


def _cut_vessels(mask: Mask, around: Surroundings) -> Mask:
    """Open the mask and give back the rim of what remained; a nodule too small to be opened stays as it is."""
    radius = max(OPENING * around.radius_mm, min(around.spacing))
    core = _part_at_center(_open(mask, radius, around.spacing), around)
    return mask & _within(core, 1.5 * min(around.spacing), around.spacing) if core.any() else mask


def _open(mask: Mask, radius_mm: float, spacing: Triple) -> Mask:
    """Open with a ball through distance maps, whose cost does not grow with the ball.

    The volume's border is no surface: a nodule on the first slice is not worn away from there.
    """
    eroded = ~_within(~mask, radius_mm, spacing)
    return _within(eroded, radius_mm, spacing)


def _within(mask: Mask, reach_mm: float, spacing: Triple) -> Mask:
    """Return the voxels at most this far from the mask."""
    if not mask.any():
        return mask
    return np.asarray(ndimage.distance_transform_edt(~mask, sampling=spacing) <= reach_mm)


def _part_at_center(mask: Mask, around: Surroundings) -> Mask:
    """Return the connected part that holds the center voxel, or else the nearest one within half a radius."""
    parts, _ = ndimage.label(mask)
    chosen = parts[around.center_voxel]
    if chosen == 0:
        distance = np.where(mask, around.distance_mm, np.inf)
        nearest = np.unravel_index(int(np.argmin(distance)), mask.shape)
        if distance[nearest] > max(around.radius_mm / 2, max(around.spacing)):
            return np.zeros_like(mask)
        chosen = parts[nearest]
    return np.asarray(parts == chosen)
