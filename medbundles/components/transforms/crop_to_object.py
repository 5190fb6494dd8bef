"""Training of a close look sees what the coarse one will show it: the object with its surroundings."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.data.meta_tensor import MetaTensor
from monai.transforms import Transform

from medbundles.components.regions import bounding_box
from medbundles.components.roi_box import box_with_margin
from medbundles.errors import ConfigurationError
from medbundles.io.grids import spacing_of


class CropToObjectd(Transform):
    """Cut volumes ``(C, H, W, D)`` to the box around everything that is labeled, with a margin.

    Where nothing is labeled the volumes stay whole.

    Args:
        keys: volumes on one grid.
        label_key: label map ``(1, H, W, D)``, anything above 0.
        margin: share of the object's size that is added at each of its sides.
        smallest_mm: shortest edge of the box, one number or one an axis; an image that is smaller stays whole.

    Raises:
        ConfigurationError: a negative margin, or an edge that is not above 0.
    """

    def __init__(
        self,
        keys: Sequence[str],
        label_key: str = "label",
        margin: float = 0.2,
        smallest_mm: float | Sequence[float] = 24.0,
    ) -> None:
        super().__init__()
        edges = tuple(smallest_mm) if isinstance(smallest_mm, Sequence) else (smallest_mm,) * 3
        if margin < 0 or len(edges) != 3 or min(edges) <= 0:
            raise ConfigurationError(f"expected a margin from 0 and edges above 0, found {margin} and {smallest_mm}")
        self.keys = (keys,) if isinstance(keys, str) else tuple(keys)
        self.label_key = label_key
        self.margin = margin
        self.smallest_mm = edges

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the item with its volumes cut; their affines say where they lie."""
        item = dict(data)
        label = item[self.label_key]
        box = bounding_box(np.asarray(label)[0] > 0)
        if box is None:
            return item
        edges = spacing_of(label.affine.cpu().numpy())
        smallest = [max(1, round(mm / edge)) for mm, edge in zip(self.smallest_mm, edges, strict=True)]
        chosen = box_with_margin(box, label.shape[1:], self.margin, smallest)
        for key in self.keys:
            item[key] = _cut(item[key], chosen)
        return item


def _cut(volume: MetaTensor, box: tuple[slice, ...]) -> MetaTensor:
    part = MetaTensor(volume.as_tensor()[(slice(None), *box)].contiguous())
    part.copy_meta_from(volume)
    starts = torch.tensor([side.start for side in box], dtype=volume.affine.dtype)
    affine = volume.affine.clone()
    affine[:3, 3] += affine[:3, :3] @ starts
    part.affine = affine
    return part
