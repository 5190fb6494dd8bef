"""Label maps as the regions that a network predicts."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform

from medbundles.components.region_labels import labels_to_regions


class LabelsToRegionsd(MapTransform):
    """Turn label maps ``(1, H, W, D)`` into ``(R, H, W, D)`` float32, a channel of 0 and 1 for each region.

    Args:
        keys: label maps.
        regions: label values that make each region, ``{"WT": [1, 2, 3], "TC": [1, 3], "ET": [3]}``.
        allow_missing_keys: whether an absent key is skipped.
    """

    def __init__(
        self, keys: KeysCollection, regions: Mapping[str, Sequence[int]], allow_missing_keys: bool = False
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.regions = regions

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the item with regions."""
        item = dict(data)
        for key in self.key_iterator(item):
            item[key] = labels_to_regions(item[key], self.regions).to(torch.float32)
        return item
