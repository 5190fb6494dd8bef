"""Connected components of masks, and which of them belong together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import cc3d
import numpy as np
import numpy.typing as npt

# Voxels that touch in a face, an edge or a corner belong together; in 2D that is eight neighbors.
CONNECTIVITY: dict[int, Literal[8, 26]] = {2: 8, 3: 26}

Box = tuple[slice, ...]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Components:
    """Connected components of a mask, numbered from 1, held only inside the mask's bounding box.

    Attributes:
        labels: component numbers inside ``box``; 0 is background.
        box: where ``labels`` lies in the whole array.
        sizes: ``(n,)`` voxels of each component.
        centers: ``(n, axes)`` mean voxel index of each component in the whole array.
    """

    labels: npt.NDArray[np.unsignedinteger[Any]]
    box: Box
    sizes: Integers
    centers: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.sizes)

    def numbers_at(self, indices: Integers) -> Integers:
        """Return the component numbers ``(points,)`` at voxels ``(points, axes)`` of the whole array, 0 outside."""
        inner = indices - np.array([part.start for part in self.box])
        inside = ((inner >= 0) & (inner < self.labels.shape)).all(axis=1)
        numbers = np.zeros(len(indices), np.int64)
        numbers[inside] = self.labels[tuple(inner[inside].T)]
        return numbers

    def maxima(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return the largest value in each component of an array on the whole grid, ``(n,)``."""
        inside = self.labels > 0
        peaks = np.full(len(self) + 1, -np.inf, dtype=values.dtype)
        np.maximum.at(peaks, self.labels[inside], values[self.box][inside])
        return peaks[1:]


def bounding_box(mask: npt.NDArray[np.bool_]) -> Box:
    """Return the smallest box around the true voxels; an empty box at the origin if there are none."""
    box: list[slice] = []
    for axis in range(mask.ndim):
        occupied = np.flatnonzero(mask.any(axis=tuple(other for other in range(mask.ndim) if other != axis)))
        box.append(slice(int(occupied[0]), int(occupied[-1]) + 1) if len(occupied) else slice(0, 0))
    return tuple(box)


def find_components(mask: npt.NDArray[np.bool_], minimum_voxels: int = 1) -> Components:
    """Return the connected components (26 neighbors, in 2D 8) of a mask.

    Args:
        mask: ``(H, W)`` or ``(H, W, D)``.
        minimum_voxels: smaller components are dropped.
    """
    box = bounding_box(mask)
    inner = mask[box]
    if not inner.size:
        return Components(np.zeros(inner.shape, np.uint32), box, np.zeros(0, np.int64), np.zeros((0, mask.ndim)))
    # As uint8, not bool: cc3d 4.1.1 has a faster path for booleans that joins distant pixels in 2D and raises on
    # arrays one voxel thin (compared with scikit-image on random masks; its general path agreed everywhere).
    binary = np.ascontiguousarray(inner).view(np.uint8)
    labels = cc3d.connected_components(binary, connectivity=CONNECTIVITY[mask.ndim])
    statistics = cc3d.statistics(labels, no_slice_conversion=True)
    sizes = np.asarray(statistics["voxel_counts"], dtype=np.int64)[1:]
    centers = np.asarray(statistics["centroids"], dtype=np.float64)[1:] + [part.start for part in box]
    if minimum_voxels > 1:
        kept = sizes >= minimum_voxels
        numbers = np.concatenate([[0], np.where(kept, np.cumsum(kept), 0)]).astype(labels.dtype)
        labels, sizes, centers = numbers[labels], sizes[kept], centers[kept]
    return Components(labels, box, sizes, centers)


def overlaps(first: Components, second: Components) -> Integers:
    """Return ``(pairs, 3)``: number in ``first``, number in ``second``, shared voxels; only pairs that share any."""
    shared = tuple(
        slice(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(first.box, second.box, strict=True)
    )
    if any(part.stop <= part.start for part in shared):
        return np.zeros((0, 3), np.int64)
    one, other = (components.labels[_relative(shared, components.box)] for components in (first, second))
    both = (one > 0) & (other > 0)
    if not both.any():
        return np.zeros((0, 3), np.int64)
    pairs, counts = np.unique(np.stack([one[both], other[both]], axis=1).astype(np.int64), axis=0, return_counts=True)
    return np.concatenate([pairs, counts[:, None].astype(np.int64)], axis=1)


def match_lesions(candidates: Components, lesions: Components, minimum_iou: float) -> Integers:
    """Return ``(pairs, 2)``: candidate number and the number of a lesion that it hits.

    A candidate hits a lesion when its center voxel lies in the lesion, or when both overlap by at least
    ``minimum_iou`` (intersection over union). Touching alone is no hit: one component that floods the whole lung would
    otherwise find every lesion without a false positive.

    Args:
        candidates: components of the prediction.
        lesions: components of the label.
        minimum_iou: in [0, 1]; 0 counts any shared voxel.
    """
    table = overlaps(candidates, lesions)
    union = candidates.sizes[table[:, 0] - 1] + lesions.sizes[table[:, 1] - 1] - table[:, 2]
    by_overlap = table[table[:, 2] >= minimum_iou * union, :2]
    centers = lesions.numbers_at(np.floor(candidates.centers + 0.5).astype(np.int64))
    by_center = np.stack([np.arange(1, len(candidates) + 1), centers], axis=1)[centers > 0]
    return np.unique(np.concatenate([by_overlap, by_center]), axis=0)


def _relative(box: Box, origin: Box) -> Box:
    return tuple(
        slice(part.start - start.start, part.stop - start.start) for part, start in zip(box, origin, strict=True)
    )
