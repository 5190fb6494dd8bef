"""From the outlines of several readers to nodules that enough of them agree on.

Outlines of LIDC-IDRI run through the first pixels outside of a nodule, so a mask is what an outline encloses, without
the outline. Masks of different readers are one nodule where they touch (26-connected); a voxel belongs to it when at
least the asked number of readers have it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from medbundles.io.lidc import Outline, OutlinedNodule, Points

# Indices of voxels in the volume, ``(n, 3)``, sorted and each once.
Voxels = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class ReaderNodule:
    """One nodule of one reader as voxels.

    Attributes:
        reader: number of the reader.
        voxels: ``(n, 3)`` indices, at least one.
        malignancy: 1 to 5, None where it was not rated.
        shrunk: whether the outlines enclose no voxel, and the one in their middle stands for them.
    """

    reader: int
    voxels: Voxels
    malignancy: int | None = None
    shrunk: bool = False


@dataclass(frozen=True)
class AgreedNodule:
    """What the readers say about one nodule.

    Attributes:
        members: the readers' own nodules.
        consensus: ``(n, 3)`` voxels that enough readers have; none where too few readers have the nodule at all.
    """

    members: tuple[ReaderNodule, ...]
    consensus: Voxels

    @property
    def readers(self) -> int:
        """How many readers have it."""
        return len({member.reader for member in self.members})

    @property
    def malignancies(self) -> list[int]:
        """The readers' ratings, sorted."""
        return sorted(member.malignancy for member in self.members if member.malignancy is not None)

    @property
    def union(self) -> Voxels:
        """The voxels that any reader has."""
        return unique_voxels([member.voxels for member in self.members])


def fill_outline(points: Points) -> tuple[tuple[int, int], Mask, Mask]:
    """Return what an outline encloses, and the outline itself.

    Args:
        points: pixels ``(column, row)``; neighbors that do not touch, and the ends, are joined by straight lines.

    Returns:
        Column and row of the block's first pixel, the block ``(columns, rows)`` of what lies strictly inside, and the
        block of the outline.
    """
    chain = np.array(points)
    start = chain.min(axis=0)
    edge = np.zeros(chain.max(axis=0) - start + 1, dtype=bool)
    for first, second in zip(chain, np.roll(chain, -1, axis=0), strict=True):
        steps = max(int(np.abs(second - first).max()), 1)
        # Half-way points go up, always: banker's rounding would bend the line from pixel to pixel.
        line = np.floor(first + np.outer(np.arange(steps + 1) / steps, second - first) + 0.5).astype(int) - start
        edge[line[:, 0], line[:, 1]] = True
    # Filling goes in four directions and an outline's pixels touch at least at their corners: nothing leaks.
    return (int(start[0]), int(start[1])), np.asarray(ndimage.binary_fill_holes(edge)) & ~edge, edge


def outline_voxels(nodule: OutlinedNodule, slices: dict[str, int], reader: int) -> ReaderNodule:
    """Return one reader's nodule as voxels.

    A hole takes away what it encloses and its own outline, whose pixels lie outside of the nodule as well.

    Args:
        nodule: with outlines that all lie in the volume.
        slices: the place of each slice in the volume by its UID.
        reader: number of the reader.
    """
    solid: set[tuple[int, int, int]] = set()
    holes: set[tuple[int, int, int]] = set()
    for outline in nodule.outlines:
        start, inside, edge = fill_outline(outline.points)
        chosen = inside if outline.included else inside | edge
        place = slices[outline.sop_uid]
        pixels = {(int(x) + start[0], int(y) + start[1], place) for x, y in np.argwhere(chosen)}
        (solid if outline.included else holes).update(pixels)
    voxels = sorted(solid - holes)
    if voxels:
        return ReaderNodule(reader, np.array(voxels, dtype=np.int64), nodule.malignancy)
    return ReaderNodule(reader, _middle(nodule.outlines, slices), nodule.malignancy, shrunk=True)


def _middle(outlines: Sequence[Outline], slices: dict[str, int]) -> Voxels:
    longest = max(outlines, key=lambda outline: len(outline.points))
    column, row = np.floor(np.mean(longest.points, axis=0) + 0.5).astype(int)
    return np.array([[column, row, slices[longest.sop_uid]]], dtype=np.int64)


def agree(nodules: Sequence[ReaderNodule], minimum_readers: int) -> list[AgreedNodule]:
    """Group the readers' nodules by their masks and find what enough readers share.

    Args:
        nodules: of all readers.
        minimum_readers: how many readers have to have a voxel.

    Returns:
        One entry a nodule, lowest slices first.
    """
    found = [_agree_on(members, minimum_readers) for members in _touching(nodules)]
    return sorted(found, key=lambda nodule: nodule.union[:, ::-1].min(axis=0).tolist())


def _agree_on(members: Sequence[ReaderNodule], minimum_readers: int) -> AgreedNodule:
    readers = sorted({member.reader for member in members})
    of_readers = [unique_voxels([m.voxels for m in members if m.reader == reader]) for reader in readers]
    voxels, votes = np.unique(np.concatenate(of_readers), axis=0, return_counts=True)
    return AgreedNodule(tuple(members), voxels[votes >= minimum_readers])


def _touching(nodules: Sequence[ReaderNodule]) -> list[list[ReaderNodule]]:
    """Group nodules whose masks are connected over all readers; what one reader calls one nodule stays together."""
    if not nodules:
        return []
    first = np.min([nodule.voxels.min(axis=0) for nodule in nodules], axis=0)
    last = np.max([nodule.voxels.max(axis=0) for nodule in nodules], axis=0)
    union = np.zeros(last - first + 1, dtype=bool)
    for nodule in nodules:
        union[tuple((nodule.voxels - first).T)] = True
    parts, _ = ndimage.label(union, structure=np.ones((3, 3, 3)))
    groups: list[tuple[set[int], list[ReaderNodule]]] = []
    for nodule in nodules:
        own = set(np.unique(parts[tuple((nodule.voxels - first).T)]).tolist())
        joined = [group for group in groups if group[0] & own]
        groups = [group for group in groups if not group[0] & own]
        members = [member for _, others in joined for member in others]
        groups.append((own.union(*(labels for labels, _ in joined)), [*members, nodule]))
    return [members for _, members in groups]


def unique_voxels(parts: Sequence[Voxels]) -> Voxels:
    """Return the voxels of several sets, each once and sorted."""
    return np.asarray(np.unique(np.concatenate(parts), axis=0))


def equivalent_diameter_mm(voxels: int, voxel_mm3: float) -> float:
    """Return the diameter of the sphere with the volume of this many voxels."""
    return float((6.0 * voxels * voxel_mm3 / np.pi) ** (1.0 / 3.0))
