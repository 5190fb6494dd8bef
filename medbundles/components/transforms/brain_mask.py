"""Where the brain is in skull-stripped images."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.data.meta_tensor import MetaTensor
from monai.transforms import Transform
from torch import Tensor

from medbundles.errors import DataError, Finding


class BrainMaskd(Transform):
    """Add ``mask`` ``(1, H, W, D)`` uint8: where any contrast differs from its background.

    The background is what all eight corners of a contrast agree on (0 in most data sets, the z-score of 0 in others),
    or 0 where they do not. A mask that the item has already is kept.

    Args:
        image_key: contrasts ``(C, H, W, D)``; a channel of one value says nothing.
        mask_key: the item to add.
    """

    def __init__(self, image_key: str = "image", mask_key: str = "mask") -> None:
        super().__init__()
        self.image_key = image_key
        self.mask_key = mask_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the item with its mask.

        Raises:
            DataError: nothing differs from the background (NII011).
        """
        item = dict(data)
        if item.get(self.mask_key) is not None:
            return item
        image = item[self.image_key]
        plain = image.as_tensor() if isinstance(image, MetaTensor) else image
        inside = torch.zeros(plain.shape[1:], dtype=torch.bool)
        for channel in plain:
            inside |= channel != background_of(channel)
        if not inside.any():
            case = str(item["case"]) if "case" in item else None
            message = "all contrasts have one value everywhere: there is no brain"
            raise DataError(findings=[Finding("NII011", "error", message, "look at the images", case=case)])
        mask = MetaTensor(inside[None].to(torch.uint8))
        if isinstance(image, MetaTensor):
            mask.copy_meta_from(image)
        item[self.mask_key] = mask
        return item


def background_of(channel: Tensor) -> float:
    """Return the value outside the brain of one contrast ``(H, W, D)``."""
    ends = [(0, size - 1) for size in channel.shape]
    corners = {float(channel[x, y, z]) for x in ends[0] for y in ends[1] for z in ends[2]}
    return corners.pop() if len(corners) == 1 else 0.0
