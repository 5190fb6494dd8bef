"""What a generator and a discriminator want of each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from medbundles.errors import ConfigurationError

Criterion = Literal["bce", "least_squares"]


class AdversarialLoss(nn.Module):
    """Both sides of a GAN's loss on the discriminator's logits.

    ``monai.losses.PatchAdversarialLoss`` takes the sigmoid by itself, which mixed precision refuses, and bends logits
    by a leaky ReLU before least squares; here both criteria are those of their papers.

    Source: Goodfellow et al., NIPS 2014 (``bce``, non-saturating); Mao et al., ICCV 2017 (``least_squares``).

    Args:
        criterion: ``bce`` or ``least_squares``.

    Raises:
        ConfigurationError: another criterion.
    """

    def __init__(self, criterion: Criterion = "bce") -> None:
        super().__init__()
        if criterion not in get_args(Criterion):
            raise ConfigurationError(f"criterion must be one of {get_args(Criterion)}, found {criterion!r}")
        self.criterion = criterion

    def generator(self, fake_logits: Sequence[Tensor]) -> Tensor:
        """Return how far synthetic slices are from passing as real ones; 0 where nothing was judged."""
        return self._mean([self._distance(logits, 1.0) for logits in fake_logits])

    def discriminator(self, real_logits: Sequence[Tensor], fake_logits: Sequence[Tensor]) -> Tensor:
        """Return half the loss on real plus half that on synthetic slices; 0 where nothing was judged."""
        real = self._mean([self._distance(logits, 1.0) for logits in real_logits])
        fake = self._mean([self._distance(logits, 0.0) for logits in fake_logits])
        return 0.5 * (real + fake)

    def accuracy(self, real_logits: Sequence[Tensor], fake_logits: Sequence[Tensor]) -> float:
        """Return the share of judgements that are right; NaN where nothing was judged."""
        middle = 0.0 if self.criterion == "bce" else 0.5
        right = [(logits > middle).flatten() for logits in real_logits]
        right += [(logits <= middle).flatten() for logits in fake_logits]
        return float(torch.cat(right).float().mean()) if right else float("nan")

    def _distance(self, logits: Tensor, target: float) -> Tensor:
        logits = logits.float()
        wanted = torch.full_like(logits, target)
        if self.criterion == "bce":
            return functional.binary_cross_entropy_with_logits(logits, wanted)
        return functional.mse_loss(logits, wanted)

    @staticmethod
    def _mean(parts: Sequence[Tensor]) -> Tensor:
        return torch.stack(list(parts)).mean() if parts else torch.zeros(())


def feature_matching_loss(real: Sequence[Sequence[Tensor]], fake: Sequence[Sequence[Tensor]]) -> Tensor:
    """Return the mean absolute difference of the discriminator's feature maps, averaged over layers and shapes.

    Source: pix2pixHD (Wang et al., CVPR 2018).

    Args:
        real: feature maps of real slices, as :class:`SliceDiscriminator` returns them; no gradient flows into them.
        fake: those of synthetic slices.
    """
    differences = [
        functional.l1_loss(ours.float(), theirs.detach().float())
        for real_layers, fake_layers in zip(real, fake, strict=True)
        for theirs, ours in zip(real_layers, fake_layers, strict=True)
    ]
    return torch.stack(differences).mean() if differences else torch.zeros(())
