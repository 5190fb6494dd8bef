"""Clamp intensities without leaving the stored integer type."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform


class ClampIntensityd(MapTransform):
    """Clamp values to a window.

    MONAI's ``ScaleIntensityRanged`` does it through several float copies of the volume; a chest CT stays int16 here.

    Args:
        keys: items to clamp.
        minimum: lowest value kept (HU for CT).
        maximum: highest value kept (HU for CT).
        allow_missing_keys: whether an absent key is skipped.
    """

    def __init__(self, keys: KeysCollection, minimum: float, maximum: float, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.minimum = minimum
        self.maximum = maximum

    def __call__(self, data: Mapping[Hashable, torch.Tensor]) -> dict[Hashable, Any]:
        """Return the item with clamped tensors of unchanged type."""
        item = dict(data)
        for key in self.key_iterator(item):
            item[key] = item[key].clamp(self.minimum, self.maximum)
        return item
