"""Where a chest CT holds lung, so that no network runs on air, arms and table and nothing is found there.

The rule is built to be safe rather than tight: a region that is too large costs time, one that is too small costs a
nodule. Where nothing plausible is found, the answer is ``None`` and the caller uses the whole volume.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import cc3d
import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage

Box: TypeAlias = tuple[slice, slice, slice]
Mask: TypeAlias = npt.NDArray[np.bool_]

# The search runs on a copy of about this voxel size: lungs are decimeters, and the margin is five times larger.
COARSE_MM = 3.0
# Between lung (-950..-700 HU) and soft tissue (-100..80 HU); the same value separates air from the body.
AIR_BELOW_HU = -400.0
# Air around the patient is -1000 HU; the median of a lung stays above this even with severe emphysema.
OUTSIDE_BELOW_HU = -950.0
# Lung tissue proper, for lungs that leak into the air around the patient (cropped fields of view, thin chest walls).
PARENCHYMA_HU = (-930.0, -500.0)
# Pieces of air smaller than both are bubbles and noise.
SMALLEST_PIECE_ML = 2.0
SMALLEST_SECTION_MM2 = 100.0
# Less lung than this in every single slice is not a chest: use everything.
PLAUSIBLE_SECTION_MM2 = 1000.0


@dataclass(frozen=True, eq=False)
class Tissue:
    """A part of a volume ``(H, W, D)``: a box to compute in, and what of it counts.

    Attributes:
        box: in voxels.
        mask: coarse, every ``steps``-th voxel along each axis; what lies outside of it does not count.
        steps: voxels of the volume along an axis of one voxel of the mask.
    """

    box: Box
    mask: Mask
    steps: tuple[int, int, int]

    def inside(self, rows: slice, columns: slice, levels: Sequence[int]) -> Mask:
        """Return whether voxels count, ``(len(levels), rows, columns)``."""
        sides = [
            np.minimum(np.arange(part.start, part.stop) // step, size - 1)
            for part, step, size in zip((rows, columns), self.steps, self.mask.shape, strict=False)
        ]
        heights = np.minimum(np.asarray(levels) // self.steps[2], self.mask.shape[2] - 1)
        return np.asarray(self.mask[np.ix_(*sides, heights)].transpose(2, 0, 1))

    def points(self, count: int, seed: int = 0) -> npt.NDArray[np.int32]:
        """Return voxels drawn evenly from what counts, ``(count, 3)``."""
        generator = np.random.default_rng(seed)
        chosen = generator.choice(np.flatnonzero(self.mask), count)
        corners = np.stack(np.unravel_index(chosen, self.mask.shape), axis=1) * self.steps
        return np.asarray(corners + generator.integers(0, self.steps, (count, 3)), dtype=np.int32)


def find_lungs(
    volume: npt.NDArray[Any] | torch.Tensor, spacing: Sequence[float], margin_mm: float = 15.0
) -> Tissue | None:
    """Return the lungs with everything within a margin around them.

    Air inside of the body is kept, air connected to the volume's sides and as dark as air is not. What is found on
    one side of the body's middle counts on the other as well, so that a collapsed or filled lung stays inside.

    Args:
        volume: HU, ``(H, W, D)`` with slices along the last axis and left-right along the first (RAS or LPS).
        spacing: voxel edges in mm.
        margin_mm: added on all sides; nodules at the pleura and the chest wall they grow into stay inside.

    Returns:
        The tissue, or ``None`` when no lungs were recognized.
    """
    steps = (_step(spacing[0]), _step(spacing[1]), _step(spacing[2]))
    if any(size < 4 * step for size, step in zip(volume.shape[:2], steps, strict=False)):
        return None
    coarse = _coarse_copy(volume, steps)
    edges = [float(edge) * step for edge, step in zip(spacing, steps, strict=True)]
    air = coarse < AIR_BELOW_HU
    outside = _air_around(coarse, air)
    lungs = _large_pieces(air & ~outside, edges)
    if not _plausible(lungs, edges):
        lungs = _large_pieces(_opened(_parenchyma(coarse)), edges)
        if not _plausible(lungs, edges):
            return None
    if outside.any():
        lungs = lungs | _mirrored(lungs, _bounds(~outside, 0))
    box = _with_margin([_bounds(lungs, axis) for axis in range(3)], steps, volume.shape, spacing, margin_mm)
    return Tissue(box, _grown(lungs, edges, margin_mm), steps)


def find_lung_box(
    volume: npt.NDArray[Any] | torch.Tensor, spacing: Sequence[float], margin_mm: float = 15.0
) -> Box | None:
    """Return the box of :func:`find_lungs`."""
    tissue = find_lungs(volume, spacing, margin_mm)
    return None if tissue is None else tissue.box


def _step(edge: float) -> int:
    return max(1, int(COARSE_MM // max(float(edge), 1e-3)))


def _coarse_copy(volume: npt.NDArray[Any] | torch.Tensor, steps: Sequence[int]) -> npt.NDArray[np.float32]:
    """Return every n-th voxel, the mean of two by two in plane where there are that many (noise)."""
    counts = [max(1, size // step) for size, step in zip(volume.shape, steps, strict=True)]
    starts = [(0, step // 2) if step > 1 else (0,) for step in steps[:2]]
    total = np.zeros(counts, dtype=np.float32)
    for first in starts[0]:
        for second in starts[1]:
            part = volume[first :: steps[0], second :: steps[1], :: steps[2]]
            part = part[: counts[0], : counts[1], : counts[2]]
            array = part.detach().cpu().numpy() if isinstance(part, torch.Tensor) else np.asarray(part)
            # Padding around a round field of view is -2048 or lower; NaN is treated as air here, and by the checks.
            total += np.clip(np.nan_to_num(array.astype(np.float32), nan=-1024.0), -1024.0, 400.0)
    total /= len(starts[0]) * len(starts[1])
    return total


def _air_around(coarse: npt.NDArray[np.float32], air: Mask) -> Mask:
    """Return the air that touches the volume's sides in plane and is as dark as air without tissue."""
    pieces = _pieces(air)
    sizes = np.bincount(pieces.ravel())
    dark = np.bincount(pieces[coarse < OUTSIDE_BELOW_HU], minlength=len(sizes))
    around = np.zeros(len(sizes), dtype=bool)
    around[pieces[[0, -1]].ravel()] = around[pieces[:, [0, -1]].ravel()] = True
    around &= 2 * dark > sizes  # its median is darker
    around[0] = False
    return np.asarray(around[pieces])


def _pieces(mask: Mask) -> npt.NDArray[np.integer[Any]]:
    """Number the connected pieces of a mask from 1."""
    # As uint8: cc3d 4.1.1 joins distant voxels of boolean arrays.
    return np.asarray(cc3d.connected_components(np.ascontiguousarray(mask).view(np.uint8), connectivity=6))


def _parenchyma(coarse: npt.NDArray[np.float32]) -> Mask:
    return (coarse > PARENCHYMA_HU[0]) & (coarse < PARENCHYMA_HU[1])


def _opened(mask: Mask) -> Mask:
    """Remove sheets: between air and skin there is always one voxel as dark as lung."""
    cross = np.zeros((3, 3, 1), dtype=bool)
    cross[1, :, 0] = cross[:, 1, 0] = True
    return np.asarray(ndimage.binary_opening(mask, cross, iterations=2))


def _large_pieces(mask: Mask, edges: Sequence[float]) -> Mask:
    pieces = _pieces(mask)
    counts = np.bincount(pieces.ravel())
    thickness = mask.shape[2] * edges[2]
    smallest_mm3 = min(SMALLEST_PIECE_ML * 1000.0, SMALLEST_SECTION_MM2 * thickness)
    keep = counts * float(np.prod(edges)) >= smallest_mm3
    keep[0] = False
    return np.asarray(keep[pieces])


def _plausible(lungs: Mask, edges: Sequence[float]) -> bool:
    sections = lungs.sum(axis=(0, 1)) * edges[0] * edges[1]
    return bool(sections.max(initial=0.0) >= PLAUSIBLE_SECTION_MM2)


def _bounds(mask: Mask, axis: int) -> tuple[int, int]:
    found = np.flatnonzero(mask.any(axis=tuple(other for other in range(3) if other != axis)))
    return int(found[0]), int(found[-1]) + 1


def _mirrored(lungs: Mask, body: tuple[int, int]) -> Mask:
    """Return the lungs mirrored at the middle of the body, which spans these positions of the first axis."""
    positions = body[0] + body[1] - 1 - np.arange(len(lungs))
    there = (positions >= 0) & (positions < len(lungs))
    mirrored = np.zeros_like(lungs)
    mirrored[there] = lungs[positions[there]]
    mirrored[: body[0]] = mirrored[body[1] :] = False
    return mirrored


def _grown(lungs: Mask, edges: Sequence[float], margin_mm: float) -> Mask:
    """Return the mask grown by a margin along every axis, one coarse voxel more as the box has it."""
    grown = lungs.view(np.uint8)
    for axis, edge in enumerate(edges):
        reach = int(np.ceil(margin_mm / edge)) + 1
        grown = ndimage.maximum_filter1d(grown, 2 * reach + 1, axis=axis)
    return np.asarray(grown, dtype=bool)


def _with_margin(
    bounds: Sequence[tuple[int, int]],
    steps: Sequence[int],
    shape: Sequence[int],
    spacing: Sequence[float],
    margin_mm: float,
) -> Box:
    box = []
    for (low, high), step, size, edge in zip(bounds, steps, shape, spacing, strict=True):
        # One step more: the coarse copy drops what is left over at the far end of an axis.
        margin = int(np.ceil(margin_mm / float(edge))) + step
        box.append(slice(max(0, low * step - margin), min(int(size), high * step + margin)))
    return box[0], box[1], box[2]
