"""Cross entropy of regions that may hold each other."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from medbundles.errors import ConfigurationError


class RegionCrossEntropyLoss(nn.Module):
    """Mean binary cross entropy over voxels and regions, on request with more weight on voxels inside.

    With the share ``s`` of a region's voxels in the batch, voxels inside count::

        weight = min(((1 - s) / s) ** balance, largest_weight)

    times as much as those outside, so that a rare region is not drowned. A region that no voxel of the batch belongs to
    keeps weight 1. ``torch.nn.BCEWithLogitsLoss`` wants labels as floating-point numbers and weights as a tensor, which
    a configuration cannot say.

    Source: the weights of Xie and Tu, Holistically-Nested Edge Detection, ICCV 2015 (``balance`` 1).

    Args:
        balance: 0 counts all voxels the same, 1 gives inside and outside of a region the same weight in sum.
        positive_weights: weight of voxels inside, one number for each region, in place of those from the batch.
        largest_weight: no weight from the batch is larger.

    Raises:
        ConfigurationError: a number out of its range, or both kinds of weights.
    """

    def __init__(
        self,
        balance: float = 0.0,
        positive_weights: Sequence[float] | None = None,
        largest_weight: float = 100.0,
    ) -> None:
        super().__init__()
        if not 0.0 <= balance <= 1.0 or largest_weight < 1.0:
            found = f"{balance} and {largest_weight}"
            raise ConfigurationError(f"balance lies in [0, 1] and largest_weight is at least 1, found {found}")
        if positive_weights is not None and (balance or not positive_weights or min(positive_weights) <= 0):
            raise ConfigurationError(
                "positive_weights are numbers above 0, one for each region, and go without balance; "
                f"found {list(positive_weights)} and balance {balance}"
            )
        self.balance = balance
        self.positive_weights = None if positive_weights is None else [float(weight) for weight in positive_weights]
        self.largest_weight = largest_weight

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Return the loss as a scalar in single precision.

        Args:
            input: logits ``(B, R, H, W[, D])``, one channel for each region.
            target: 0 and 1 of the same shape, any type.

        Raises:
            ConfigurationError: the shapes differ, or there are more or fewer weights than regions.
        """
        refuse_other_shape(input, target)
        label = target.float()
        weights = self._weights(label)
        if weights is not None:
            weights = weights.view(-1, *[1] * (label.ndim - 2))
        return functional.binary_cross_entropy_with_logits(input.float(), label, pos_weight=weights)

    def _weights(self, label: Tensor) -> Tensor | None:
        """Return how much voxels inside of each region count, ``(R,)``."""
        if self.positive_weights is not None:
            if len(self.positive_weights) != label.shape[1]:
                found = f"{len(self.positive_weights)} for {label.shape[1]} regions"
                raise ConfigurationError(f"positive_weights holds one number for each region, found {found}")
            return torch.tensor(self.positive_weights, device=label.device)
        if self.balance == 0.0:
            return None
        share = label.mean(dim=[0, *range(2, label.ndim)])
        weights = ((1.0 - share) / share).pow(self.balance).clamp(max=self.largest_weight)
        return torch.where((share > 0.0) & (share < 1.0), weights, torch.ones_like(weights))


def refuse_other_shape(prediction: Tensor, label: Tensor) -> None:
    """Refuse a prediction that does not have the label's shape.

    Raises:
        ConfigurationError: the shapes differ.
    """
    if prediction.shape != label.shape:
        raise ConfigurationError(
            f"prediction and label differ in shape: {tuple(prediction.shape)} and {tuple(label.shape)}; "
            "the network needs as many output channels as there are regions"
        )
