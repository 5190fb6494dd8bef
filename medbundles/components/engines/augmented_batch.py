"""Preparing a batch: to the device, augmented there, in the memory format the network runs fastest in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from monai.engines.utils import PrepareBatch
from torch import Tensor, nn

from medbundles.components.networks.memory_format import MemoryFormat, to_memory_format
from medbundles.errors import ConfigurationError


class AugmentedBatch(PrepareBatch):
    """MONAI ``prepare_batch`` callable that moves a batch to the device and augments it there.

    Give the trainer one with ``augmentation``; give the evaluator one without (or none at all), since an engine does
    not tell ``prepare_batch`` whether it trains.

    Args:
        augmentation: module called as ``augmentation(image, label)``; None leaves the batch as it is.
        memory_format: ``channels_last`` (in 3D ``channels_last_3d``) or ``contiguous``, for the image.
        training: whether the augmentation is in training mode; false leaves, by its own rule, the center crop.
        image_key: the batch's key of the network's input.
        label_key: the batch's key of the target.
    """

    def __init__(
        self,
        augmentation: nn.Module | None = None,
        memory_format: MemoryFormat = "contiguous",
        training: bool = True,
        image_key: str = "image",
        label_key: str = "label",
    ) -> None:
        self.augmentation = None if augmentation is None else augmentation.train(training)
        self.memory_format: MemoryFormat = memory_format
        self.image_key = image_key
        self.label_key = label_key

    def __call__(
        self,
        batchdata: Mapping[str, Any],
        device: str | torch.device | None = None,
        non_blocking: bool = False,
        **kwargs: Any,
    ) -> tuple[Tensor, Tensor | None]:
        """Return image and label (None if the batch has none) on ``device``.

        Args:
            batchdata: the collated batch.
            device: where to move it.
            non_blocking: do not wait for the copy (effective from pinned memory).
            **kwargs: passed on to ``Tensor.to``.

        Raises:
            ConfigurationError: the batch has no image, or no label to augment with it.
        """
        wanted = [self.image_key] if self.augmentation is None else [self.image_key, self.label_key]
        if missing := [key for key in wanted if not isinstance(batchdata.get(key), Tensor)]:
            raise ConfigurationError(f"the batch lacks {missing}; it has {sorted(map(str, batchdata))}")
        image = batchdata[self.image_key].to(device=device, non_blocking=non_blocking, **kwargs)
        label = batchdata.get(self.label_key)
        if isinstance(label, Tensor):
            label = label.to(device=device, non_blocking=non_blocking, **kwargs)
            if self.augmentation is not None:
                image, label = self.augmentation(image, label)
        return to_memory_format(image, self.memory_format), label
