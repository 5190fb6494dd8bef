"""Mirror a head left to right, and what its diffusion channels say of directions with it."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.transforms import Randomizable, Transform

from medbundles.components.diffusion.channels import flip_left_right
from medbundles.errors import ConfigurationError


class RandMirrorLeftRightd(Randomizable, Transform):
    """Mirror volumes in RAS along their first axis, with some probability.

    A mirrored head has mirrored fibers: the volume weighted along (x, y, z) becomes the one weighted along (-x, y, z),
    and the products xy and xz of an eigenvector change their sign. ``RandFlipd`` moves the voxels only.

    Args:
        keys: volumes ``(C, H, W, D)`` in RAS.
        channels: names of the image's channels (:data:`medbundles.components.diffusion.CHANNELS`).
        probability: of mirroring; 0 switches it off.
        image_key: the item among ``keys`` that has these channels.

    Raises:
        ConfigurationError: a probability outside of 0 to 1, or a channel whose mirror image is not among them (CFG002).
    """

    def __init__(
        self, keys: Sequence[str], channels: Sequence[str], probability: float = 0.5, image_key: str = "image"
    ) -> None:
        super().__init__()
        if not 0.0 <= probability <= 1.0:
            raise ConfigurationError(f"a probability is a number from 0 to 1, found {probability}")
        self.keys = tuple(keys)
        self.image_key = image_key
        self.probability = probability
        order, signs = flip_left_right(channels) if probability else ([], [])
        self._order = torch.tensor(order, dtype=torch.long)
        self._signs = torch.tensor(signs)[:, None, None, None]

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the item, mirrored or not."""
        item = dict(data)
        if self.R.random() >= self.probability:
            return item
        for key in self.keys:
            item[key] = item[key].flip(1)
        item[self.image_key] = item[self.image_key][self._order] * self._signs
        return item
