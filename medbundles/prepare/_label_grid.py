"""Label values mapped, and labels on another grid."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from medbundles.components.resampling import resample
from medbundles.io.grids import Affine

Labels = npt.NDArray[np.uint8]


def map_labels(stored: npt.NDArray[Any], mapping: Mapping[int, int]) -> Labels:
    """Return our value of each stored one; 0 stays 0, and so does what ``mapping`` does not hold (NII009 refuses it).

    Args:
        stored: ``(X, Y, Z)`` whole numbers from 0.
        mapping: our value, at most 255, of each stored one.
    """
    values = np.asarray(stored).astype(np.int64, copy=False)
    table = np.zeros(max(int(values.max(initial=0)), *mapping) + 1, dtype=np.uint8)
    for value, ours in mapping.items():
        table[value] = ours
    return np.asarray(table[values])


def resample_labels(labels: Labels, affine: Affine, grid: tuple[Affine, tuple[int, int, int]]) -> Labels:
    """Return labels on another grid: each voxel has the label with the largest share in it.

    Nearest neighbors would move borders by up to half a voxel and lose what is thinner than the new voxels.

    Args:
        labels: ``(X, Y, Z)``.
        affine: of its voxels.
        grid: affine and shape that are wanted.
    """
    target, shape = grid
    if labels.shape == shape and np.allclose(affine, target):
        return labels
    # 0 beyond the labels' field of view: there, no label has a share.
    best = 1 - resample((labels > 0).astype(np.float32), affine, target, shape)
    result = np.zeros(shape, dtype=np.uint8)
    for value in np.unique(labels[labels > 0]):
        share = resample((labels == value).astype(np.float32), affine, target, shape)
        wins = share > best
        result[wins], best[wins] = value, share[wins]
    return result
