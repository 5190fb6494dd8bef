"""MRI has no unit: each contrast is measured by its own spread in the brain."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.data.meta_tensor import MetaTensor
from monai.transforms import Transform

from medbundles.errors import ConfigurationError, Finding

logger = logging.getLogger(__name__)


class NormalizeContrastsd(Transform):
    """Bring every contrast to mean 0 and standard deviation 1 inside the mask, and to 0 outside.

    An absent contrast, and one with a single value inside the mask, becomes 0 everywhere.

    Args:
        contrasts: names of the channels, for messages.
        image_key: contrasts ``(C, H, W, D)``.
        mask_key: mask ``(1, H, W, D)``, anything above 0.
        limit: values beyond this many standard deviations are cut off: vessels and artifacts tell nothing more.

    Raises:
        ConfigurationError: a limit that is not above 0.
    """

    def __init__(
        self, contrasts: Sequence[str], image_key: str = "image", mask_key: str = "mask", limit: float = 5.0
    ) -> None:
        super().__init__()
        if not limit > 0:
            raise ConfigurationError(f"limit is a number of standard deviations above 0, found {limit}")
        self.contrasts = tuple(contrasts)
        self.image_key = image_key
        self.mask_key = mask_key
        self.limit = limit

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the item with z-scored contrasts."""
        item = dict(data)
        image = item[self.image_key]
        plain = image.as_tensor() if isinstance(image, MetaTensor) else image
        inside = torch.as_tensor(item[self.mask_key])[0] > 0
        if isinstance(inside, MetaTensor):
            inside = inside.as_tensor()
        result = torch.zeros(plain.shape, dtype=torch.float32)
        present = list(item.get("present", [True] * len(plain)))
        for number, (channel, target) in enumerate(zip(plain, result, strict=True)):
            if not present[number]:
                continue
            values = channel[inside].to(torch.float32)
            spread, middle = torch.std_mean(values)
            if not spread > 0:
                message = f"contrast {self.contrasts[number]} has one value in the whole brain and is taken for absent"
                logger.warning("%s", Finding("NII011", "warning", message, case=str(item.get("case", "")) or None))
                present[number] = False
                continue
            target[inside] = ((values - middle) / spread).clamp_(-self.limit, self.limit)
        item["present"] = present
        item[self.image_key] = MetaTensor(result).copy_meta_from(image) if isinstance(image, MetaTensor) else result
        return item
