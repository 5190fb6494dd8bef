"""Which predicted components belong to which lesions, and how much of them overlaps."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import cc3d
import numpy as np
import numpy.typing as npt

from medbundles.components.regions import CONNECTIVITY

Mask = npt.NDArray[np.bool_]
Labels = npt.NDArray[np.integer[Any]]
Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class LesionComponents:
    """The lesions of a truth, the components of a prediction, and where they meet.

    Lesions are numbered from 1 to L, components from 1 to C; arrays of counts have one entry each, from number 1 on.

    Attributes:
        lesions: ``(H, W, D)`` number of the lesion; 0 outside.
        components: ``(H, W, D)`` number of the component; 0 outside.
        lesion_voxels: ``(L,)``.
        component_voxels: ``(C,)``.
        pairs: ``(P, 2)`` numbers of lesion and component, of each component that reaches into a lesion's surroundings.
        shared: ``(P,)`` voxels of the lesion that the component covers; 0 where it lies only in the surroundings.
    """

    lesions: Labels
    components: Labels
    lesion_voxels: Counts
    component_voxels: Counts
    pairs: Counts
    shared: Counts

    @classmethod
    def of(cls, prediction: Mask, truth: Mask, dilations: int) -> LesionComponents:
        """Find lesions and components.

        Parts of the truth that touch each other when each is dilated are one lesion; the dilated lesion is its
        surroundings. Components of the prediction are not dilated. Both have 26 neighbors.

        Args:
            prediction: ``(H, W, D)``.
            truth: the same shape; the volume must reach as far around it as it is dilated, or end there.
            dilations: times that the truth is dilated by a voxel (18 neighbors).
        """
        zones = connected(dilated(truth, dilations))
        components = connected(prediction)
        lesions = np.where(truth, zones, 0)
        count = int(components.max(initial=0))
        met = (zones > 0) & prediction
        code = zones[met].astype(np.int64) * (count + 1) + components[met]
        codes, position = np.unique(code, return_inverse=True)
        shared = np.bincount(position[truth[met]], minlength=len(codes))
        return cls(
            lesions,
            components,
            np.bincount(lesions[truth], minlength=int(zones.max(initial=0)) + 1)[1:],
            np.bincount(components[prediction], minlength=count + 1)[1:],
            np.stack([codes // (count + 1), codes % (count + 1)], axis=1),
            shared.astype(np.int64),
        )

    @cached_property
    def unmatched(self) -> Mask:
        """``(C,)``: the components that reach into no lesion's surroundings."""
        alone = np.ones(len(self.component_voxels), bool)
        alone[self.pairs[:, 1] - 1] = False
        return alone

    def partners(self, lesion: int) -> Counts:
        """Return the numbers of the components that belong to a lesion."""
        return np.asarray(self.pairs[self.pairs[:, 0] == lesion, 1])

    def dice(self, kept: Mask | None = None) -> npt.NDArray[np.float64]:
        """Return ``(L,)`` the Dice of each lesion with all of its components together; 0 where it has none.

        Args:
            kept: ``(C,)``: only these components count; None: all do.
        """
        chosen = slice(None) if kept is None else kept[self.pairs[:, 1] - 1]
        lesion, component = (self.pairs[chosen] - 1).T
        count = len(self.lesion_voxels)
        covered = np.bincount(lesion, self.shared[chosen], minlength=count)
        predicted = np.bincount(lesion, self.component_voxels[component], minlength=count)
        return np.asarray(2.0 * covered / (self.lesion_voxels + predicted))


def connected(mask: Mask) -> Labels:
    """Return the numbers, from 1, of a mask's connected components (26 neighbors)."""
    if not mask.any():
        return np.zeros(mask.shape, np.uint32)
    # As uint8: cc3d 4.1.1 joins distant voxels of boolean arrays.
    labels = cc3d.connected_components(np.ascontiguousarray(mask).view(np.uint8), connectivity=CONNECTIVITY)
    return np.asarray(labels)


def dilated(mask: Mask, times: int) -> Mask:
    """Return a mask ``(H, W, D)`` grown by its 18 neighbors (those that share a face or an edge), several times."""
    grown = mask
    for _ in range(times):
        # Growing along two axes one after the other covers the neighbors in their plane.
        first, second = _along(grown, 0), _along(grown, 1)
        grown = _along(first, 1) | _along(first, 2) | _along(second, 2)
    return grown


def _along(mask: Mask, axis: int) -> Mask:
    grown = mask.copy()
    low = tuple(slice(None, -1) if each == axis else slice(None) for each in range(mask.ndim))
    high = tuple(slice(1, None) if each == axis else slice(None) for each in range(mask.ndim))
    grown[low] |= mask[high]
    grown[high] |= mask[low]
    return grown
