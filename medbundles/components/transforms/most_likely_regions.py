"""Answers of a network that knows classes of which a voxel has one, in the form of regions."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.config import KeysCollection
from monai.data.meta_tensor import MetaTensor
from monai.transforms import MapTransform

from medbundles.errors import ConfigurationError


class MostLikelyRegionsd(MapTransform):
    """Turn logits ``(K + 1, H, W, D)`` of exclusive classes into ``(K, H, W, D)`` for the classes but the background.

    A value is ``p / (p + q)`` with the class's probability p and that of the strongest other class q: above one half
    exactly where the class is the most likely one. So what is made for regions with a probability each (thresholds of
    .5, cleaning, metrics, label maps) gives the label map that the largest logit gives.

    Args:
        keys: logits, the background's first.
        classes: how many classes there are besides the background.
        allow_missing_keys: whether an absent key is skipped.
    """

    def __init__(self, keys: KeysCollection, classes: int, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.classes = classes

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the item with a value from 0 to 1 for each class.

        Raises:
            ConfigurationError: another number of channels.
        """
        item = dict(data)
        for key in self.key_iterator(item):
            logits = item[key]
            if len(logits) != self.classes + 1:
                raise ConfigurationError(f"{len(logits)} channels, expected {self.classes + 1} with the background")
            plain = logits.as_tensor() if isinstance(logits, MetaTensor) else logits
            result = _against_the_strongest(plain.float())
            item[key] = MetaTensor(result).copy_meta_from(logits) if isinstance(logits, MetaTensor) else result
        return item


def _against_the_strongest(logits: torch.Tensor) -> torch.Tensor:
    """Return the sigmoid of how far each class but the first lies above the strongest other one."""
    best, second = logits.topk(2, dim=0).values
    other = torch.where(logits[1:] == best, second, best)
    return torch.sigmoid(logits[1:] - other)
