"""The box around what a first network has found, in which a second one looks closer: pure arithmetic."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from medbundles.components.regions import Box3D
from medbundles.errors import ConfigurationError


def box_with_margin(box: Box3D, shape: Sequence[int], margin: float, smallest: int | Sequence[int]) -> Box3D:
    """Return a box that is larger by a share of its size at each side, and not smaller than wanted, inside an image.

    Where the image ends the box does; a box that is too small grows evenly, and beyond a border on the other side.

    Args:
        box: of the object, voxels.
        shape: of the image.
        margin: share of the object's size that is added at each of its sides, rounded up.
        smallest: fewest voxels along an edge, one number or one an axis; an image that has fewer is taken whole.

    Raises:
        ConfigurationError: a negative margin, or an edge below 1.
    """
    edges = [int(smallest)] * 3 if isinstance(smallest, int) else [int(edge) for edge in smallest]
    if margin < 0 or min(edges) < 1:
        raise ConfigurationError(f"expected a margin from 0 and edges from 1, found {margin} and {smallest}")
    found = []
    for part, whole, edge in zip(box, shape, edges, strict=True):
        added = math.ceil((part.stop - part.start) * margin)
        low, high = max(part.start - added, 0), min(part.stop + added, whole)
        length = min(max(high - low, edge), whole)
        start = min(max(low - (length - (high - low)) // 2, 0), whole - length)
        found.append(slice(start, start + length))
    return found[0], found[1], found[2]


def find_boxes(
    mask: npt.NDArray[np.bool_], voxel_ml: float, smallest_ml: float, margin: float, smallest: int | Sequence[int]
) -> list[Box3D]:
    """Return a box around everything that was found, or several where that is less to look at.

    Every connected component (26 neighbors) of at least ``smallest_ml`` counts, so that of several lesions none is
    lost; if none is that large, the largest one does. Boxes that touch each other become one.

    Args:
        mask: where the object is ``(H, W, D)``.
        voxel_ml: volume of a voxel.
        smallest_ml: smaller components are specks.
        margin: see :func:`box_with_margin`.
        smallest: see :func:`box_with_margin`.

    Returns:
        Boxes that have no voxel in common, in the order of their first voxels; none for an empty mask.
    """
    import cc3d

    labels, count = cc3d.connected_components(mask, connectivity=26, return_N=True)
    if not count:
        return []
    statistics: Any = cc3d.statistics(labels)
    volumes = statistics["voxel_counts"][1:] * voxel_ml
    kept = [number for number in range(count) if volumes[number] >= smallest_ml] or [int(volumes.argmax())]
    boxes = [tuple(map(_plain, statistics["bounding_boxes"][number + 1])) for number in kept]
    return _merged([box_with_margin((a, b, c), mask.shape, margin, smallest) for a, b, c in boxes])


def _plain(part: slice) -> slice:
    return slice(int(part.start), int(part.stop))


def _merged(boxes: list[Box3D]) -> list[Box3D]:
    """Return boxes of which none touches another: those that do are joined until none does."""
    done: list[Box3D] = []
    while boxes:
        box = boxes.pop()
        touching = [other for other in done if _touch(box, other)]
        if touching:
            done = [other for other in done if other not in touching]
            boxes.append(_hull([box, *touching]))
        else:
            done.append(box)
    return sorted(done, key=lambda box: tuple(part.start for part in box))


def _touch(first: Box3D, second: Box3D) -> bool:
    return all(a.start <= b.stop and b.start <= a.stop for a, b in zip(first, second, strict=True))


def _hull(boxes: Sequence[Box3D]) -> Box3D:
    low = [min(box[axis].start for box in boxes) for axis in range(3)]
    high = [max(box[axis].stop for box in boxes) for axis in range(3)]
    return slice(low[0], high[0]), slice(low[1], high[1]), slice(low[2], high[2])
