"""Take contrasts away in training, so that a network learns to do without."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

from monai.transforms import Randomizable, Transform

from medbundles.errors import ConfigurationError


class RandContrastDropoutd(Randomizable, Transform):
    """Set some channels of an image to 0, with some probability; at least one that is present stays.

    Which ones stay is drawn evenly from all non-empty proper subsets of the present contrasts. Channels that are absent
    (item ``present``) are set to 0 in any case: what an augmentation before this one added there is nothing.

    Args:
        probability: that anything is taken away; 0 switches it off.
        image_key: contrasts ``(C, H, W, D)``.

    Raises:
        ConfigurationError: a probability outside of 0 to 1.
    """

    def __init__(self, probability: float = 0.3, image_key: str = "image") -> None:
        super().__init__()
        if not 0.0 <= probability <= 1.0:
            raise ConfigurationError(f"contrast_dropout is a probability from 0 to 1, found {probability}")
        self.probability = probability
        self.image_key = image_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the item with the contrasts that stay."""
        item = dict(data)
        image = item[self.image_key]
        there = [bool(value) for value in item.get("present", [True] * len(image))]
        present = [number for number, is_there in enumerate(there) if is_there]
        kept = set(present)
        if self.R.random() < self.probability and len(present) > 1:
            drawn = self.R.randint(1, 2 ** len(present) - 1)  # a bit for each; neither none nor all of them
            kept = {number for bit, number in enumerate(present) if drawn >> bit & 1}
        absent = [number for number in range(len(image)) if number not in kept]
        if absent:
            item[self.image_key] = image.clone()
            item[self.image_key][absent] = 0.0
        return item | {"present": [number in kept for number in range(len(image))]}
