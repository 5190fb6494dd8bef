"""Test-time flips: what a network says of an image and of its mirror images, averaged."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from monai.data.meta_tensor import MetaTensor
from monai.inferers.inferer import Inferer
from torch import Tensor

from medbundles.errors import ConfigurationError

# Probabilities nearer to 0 or 1 than this have no finite logit in float32 that is worth anything.
NEAREST = 1e-6


class FlipMeanInferer(Inferer):
    """Average the probabilities of an image and of all its flips along some axes.

    The result is the logit of the mean of the sigmoids, so that what comes after an inferer need not know of flips; of
    exclusive classes the logarithm of the mean of the softmaxes.

    Args:
        inferer: called once for each flip: ``2 ** len(axes)`` times.
        axes: spatial axes, 0 to 2; none calls the inferer as it is.
        exclusive: whether the channels are classes of which a voxel has one; else each has its own probability.

    Raises:
        ConfigurationError: axes that are not different numbers from 0 to 2.
    """

    def __init__(self, inferer: Inferer, axes: Sequence[int] = (), exclusive: bool = False) -> None:
        super().__init__()
        if len(set(axes)) != len(axes) or any(axis not in (0, 1, 2) for axis in axes):
            raise ConfigurationError(f"flips are different axes from 0 to 2, found {list(axes)}")
        self.inferer = inferer
        self.axes = tuple(axes)
        self.exclusive = exclusive

    def __call__(self, inputs: Tensor, network: Callable[..., Any], *args: Any, **kwargs: Any) -> Tensor:
        """Return logits ``(B, K, H, W, D)`` of images ``(B, C, H, W, D)``.

        Args:
            inputs: images; a ``MetaTensor`` passes its meta data on.
            network: passed to the inferer.
            *args: likewise.
            **kwargs: likewise.
        """
        if not self.axes:
            plain: Tensor = self.inferer(inputs, network, *args, **kwargs)
            return plain
        images = inputs.as_tensor() if isinstance(inputs, MetaTensor) else inputs
        total: Tensor | None = None
        for flips in _subsets(self.axes):
            dims = [axis + 2 for axis in flips]
            logits = self.inferer(images.flip(dims), network, *args, **kwargs)
            logits = logits.as_tensor() if isinstance(logits, MetaTensor) else logits
            logits = logits.flip(dims)
            probabilities = logits.softmax(dim=1) if self.exclusive else logits.sigmoid()
            total = probabilities if total is None else total + probabilities
        assert total is not None  # the image itself is the first of its flips
        total /= 2 ** len(self.axes)
        mean = total.clamp(min=NEAREST).log() if self.exclusive else torch.logit(total, eps=NEAREST)
        return MetaTensor(mean).copy_meta_from(inputs) if isinstance(inputs, MetaTensor) else mean


def _subsets(axes: Sequence[int]) -> list[tuple[int, ...]]:
    return [chosen for size in range(len(axes) + 1) for chosen in itertools.combinations(axes, size)]
