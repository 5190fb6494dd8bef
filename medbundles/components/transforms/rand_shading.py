"""Uneven brightness of each contrast in training, as coils and fields of a scanner leave it."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.transforms import Randomizable, Transform
from torch.nn import functional

from medbundles.errors import ConfigurationError

# The mean of a brain in its own standard deviations: a z-score of -3 is about the signal 0.
MEAN_OF_BRAINS = 3.0
# Points along each axis between which the field is linear: coils vary slowly.
POINTS = 3


class RandShadingd(Randomizable, Transform):
    """Multiply each channel by a slowly varying field of its own, with some probability each.

    MONAI's ``RandBiasFieldd`` multiplies z-scores, and nothing changes where they are 0, at a brain's mean. Here a
    z-score is taken back to a signal that begins at 0 before it is multiplied.

    Args:
        probability: that a channel is changed; 0 switches it off.
        strength: standard deviation of the field's logarithm at each of 3 x 3 x 3 points over the block.
        image_key: z-scored contrasts ``(C, H, W, D)``.

    Raises:
        ConfigurationError: a probability outside of 0 to 1, or a strength below 0.
    """

    def __init__(self, probability: float = 0.3, strength: float = 0.12, image_key: str = "image") -> None:
        super().__init__()
        if not 0.0 <= probability <= 1.0:
            raise ConfigurationError(f"the probability of shading is from 0 to 1, found {probability}")
        if not strength >= 0.0:
            raise ConfigurationError(f"the strength of shading must be 0 or more, found {strength}")
        self.probability = probability
        self.strength = strength
        self.image_key = image_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the item with its image changed; a channel's values stay finite and in order where they touch."""
        item = dict(data)
        image = item[self.image_key]
        chosen = [number for number in range(len(image)) if self.R.random() < self.probability]
        if not chosen:
            return item
        points = torch.from_numpy(self.R.normal(0.0, self.strength, (1, len(chosen), *[POINTS] * 3))).float()
        field = functional.interpolate(points, image.shape[1:], mode="trilinear", align_corners=True)[0].exp()
        changed = image.clone()
        changed[chosen] = (image[chosen] + MEAN_OF_BRAINS) * field.to(image.dtype) - MEAN_OF_BRAINS
        return item | {self.image_key: changed}
