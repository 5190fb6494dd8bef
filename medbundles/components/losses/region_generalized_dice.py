"""Generalized Dice of regions that may hold each other, defined where regions are empty."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor, nn

from medbundles.components.losses.region_cross_entropy import refuse_other_shape
from medbundles.errors import ConfigurationError

Weighting = Literal["square", "simple", "uniform"]
POWERS: dict[str, float] = {"square": 2.0, "simple": 1.0, "uniform": 0.0}


class RegionGeneralizedDiceLoss(nn.Module):
    """One soft Dice of all regions, in which a small region counts as much as a large one.

    With probabilities ``p_r`` and labels ``l_r`` of each region, and sums over its voxels::

        w_r  = 1 / sum(l_r)^2, scaled so that their mean over regions is 1
        loss = 1 - (2 * sum_r w_r sum(p_r * l_r) + smooth) / (sum_r w_r (sum(p_r) + sum(l_r)) + smooth)

    An empty region has the weight of the smallest region that is there; where all are empty each has weight 1.
    ``monai.losses.GeneralizedDiceLoss`` (1.6.1) gives empty regions weight 0 when it takes sums over a batch, so that
    nothing there is ever corrected.

    Source: Sudre et al., Generalised Dice overlap, DLMIA 2017; the loss of Vox2Vox (Cirillo et al., 2020).

    Args:
        weighting: ``square`` (as above), ``simple`` (1 / volume) or ``uniform`` (all 1).
        batch: take the sums over the whole batch instead of item by item.
        smooth: voxels added to numerator and denominator.

    Raises:
        ConfigurationError: another weighting, or ``smooth`` is not positive.
    """

    def __init__(self, weighting: Weighting = "square", batch: bool = False, smooth: float = 1.0) -> None:
        super().__init__()
        if weighting not in POWERS or smooth <= 0:
            found = f"{weighting!r} and {smooth}"
            raise ConfigurationError(f"weighting is one of {get_args(Weighting)} and smooth is above 0, found {found}")
        self.power = POWERS[weighting]
        self.batch = batch
        self.smooth = smooth

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Return the loss in [0, 1] as a scalar in single precision.

        Args:
            input: logits ``(B, R, H, W[, D])``, one channel for each region.
            target: 0 and 1 of the same shape, any type.

        Raises:
            ConfigurationError: the shapes differ.
        """
        refuse_other_shape(input, target)
        probability, label = input.float().sigmoid(), target.float()
        voxels = list(range(2, label.ndim))
        overlap, volume = (probability * label).sum(voxels), label.sum(voxels)
        total = probability.sum(voxels) + volume
        if self.batch:
            overlap, volume, total = (each.sum(0, keepdim=True) for each in (overlap, volume, total))
        weights = self._weights(volume)
        numerator = 2.0 * (weights * overlap).sum(1) + self.smooth
        return (1.0 - numerator / ((weights * total).sum(1) + self.smooth)).mean()

    def _weights(self, volume: Tensor) -> Tensor:
        """Return the weight of each region from its volume in voxels, both ``(B, R)``."""
        there = volume > 0
        smallest = torch.where(there, volume, torch.inf).amin(1, keepdim=True)
        # Relative to the smallest: squares of volumes overflow half precision and round away in single.
        weights = (torch.where(there, smallest, 1.0) / torch.where(there, volume, 1.0)).pow(self.power)
        return weights / weights.mean(1, keepdim=True)
