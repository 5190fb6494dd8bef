"""Turn arrays to RAS and back: permuted and flipped axes, never an interpolated voxel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from nibabel.orientations import inv_ornt_aff, io_orientation

from medbundles.io.grids import Affine


@dataclass(frozen=True)
class Orientation:
    """How a stored grid is turned to the nearest RAS one, which is exact both ways for oblique grids too.

    Attributes:
        axes: for each RAS axis (right, anterior, superior) the stored axis that it is.
        flipped: for each RAS axis whether it runs against the stored axis.
    """

    axes: tuple[int, int, int]
    flipped: tuple[bool, bool, bool]

    @classmethod
    def of(cls, affine: Affine) -> Orientation:
        """Return the orientation of the grid with this RAS+ affine (4x4)."""
        stored = io_orientation(np.asarray(affine, dtype=np.float64))
        axes = [int(np.flatnonzero(stored[:, 0] == axis)[0]) for axis in range(3)]
        flipped = [bool(stored[axis, 1] < 0) for axis in axes]
        return cls((axes[0], axes[1], axes[2]), (flipped[0], flipped[1], flipped[2]))

    def to_ras(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return a view of a stored array ``(H, W, D)`` with the axes right, anterior, superior."""
        return array.transpose(self.axes)[tuple(slice(None, None, -1 if flip else 1) for flip in self.flipped)]

    def to_stored(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return a view of a RAS array with the stored axes: the exact inverse of :meth:`to_ras`."""
        turned = array[tuple(slice(None, None, -1 if flip else 1) for flip in self.flipped)]
        return turned.transpose(np.argsort(self.axes))

    def ras_affine(self, affine: Affine, shape: Sequence[int]) -> Affine:
        """Return the affine of ``to_ras(array)`` for a stored array of this affine and shape."""
        stored = io_orientation(np.asarray(affine, dtype=np.float64))
        return np.asarray(affine @ inv_ornt_aff(stored, tuple(shape[:3])), dtype=np.float64)
