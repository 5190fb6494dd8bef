"""Volumes and label maps on voxels of one size, as a network shall see them."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.data.meta_tensor import MetaTensor
from monai.transforms import Transform

from medbundles.components.spaced_grid import SpacedGrid, Spacing, refuse_wrong_spacing
from medbundles.io.grids import spacing_of


class SpacedVoxelsd(Transform):
    """Bring volumes ``(C, H, W, D)`` to voxels of one size exactly as :class:`SpacedInferer` shows them to a network.

    Label maps and masks become what most of a new voxel was; the lower value where two have the same share.

    Args:
        keys: volumes, float32 afterwards; absent ones are skipped.
        label_keys: maps of whole numbers ``(1, H, W, D)`` on the same grid, which keep their type; likewise.
        spacing_mm: edge of the wanted voxels, or three.

    Raises:
        ConfigurationError: an edge that is not above 0.
    """

    def __init__(self, keys: Sequence[str], spacing_mm: Spacing, label_keys: Sequence[str] = ()) -> None:
        super().__init__()
        refuse_wrong_spacing(spacing_mm)
        self.keys = (keys,) if isinstance(keys, str) else tuple(keys)
        self.label_keys = (label_keys,) if isinstance(label_keys, str) else tuple(label_keys)
        self.spacing_mm = spacing_mm

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the item with all its volumes on such voxels; affines say so."""
        item = dict(data)
        for key in (*self.keys, *self.label_keys):
            if item.get(key) is not None:
                item[key] = self._resampled(item[key], labels=key in self.label_keys)
        return item

    def _resampled(self, volume: MetaTensor, labels: bool) -> MetaTensor:
        affine = volume.affine.cpu().numpy()
        grid = SpacedGrid(tuple(volume.shape[1:]), spacing_of(affine), self.spacing_mm)
        plain = volume.as_tensor()
        result = MetaTensor(_majority(plain, grid) if labels else grid.forth(plain[None])[0])
        result.copy_meta_from(volume)
        result.affine = torch.as_tensor(grid.affine(affine))
        return result


def _majority(labels: torch.Tensor, grid: SpacedGrid) -> torch.Tensor:
    """Return for every voxel the value that most of it had."""
    values = labels.unique()
    best = torch.zeros((1, *grid.new_shape), dtype=labels.dtype)
    share = torch.zeros(best.shape)
    for value in values:
        found = grid.forth((labels == value)[None])[0]
        better = found > share + 1e-6
        best[better] = value
        share = torch.where(better, found, share)
    return best
