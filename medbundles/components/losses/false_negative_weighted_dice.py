"""Soft Dice that pays extra for what it misses."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from medbundles.errors import ConfigurationError


class FalseNegativeWeightedDiceLoss(nn.Module):
    """Soft Dice loss plus a weighted soft Dice loss inside the label alone.

    With probabilities ``p``, labels ``l`` and all sums taken over channels and pixels of one item::

        dice(a, l) = (2 * sum(a * l) + smooth) / (sum(a) + sum(l) + smooth)
        loss       = mean over items of  1 - dice(p, l)  +  weight * (1 - dice(p * l, l))

    The second term sees only labelled pixels, so it grows with false negatives and ignores false positives: small
    objects in large images are found at the price of some extra foreground. An item without label costs nothing in
    the second term. The result lies in ``[0, 1 + weight]``.

    Dice alone does not care how certain a probability is; a share of cross entropy
    (``cross_entropy_weight * mean(cross entropy)``) keeps probabilities spread, which thresholds and rankings need.

    Source: training loop of "Deep Learning with PyTorch" (Stevens, Antiga, Viehmann), chapter 13, where ``weight``
    is 8 and ``smooth`` is 1.

    Args:
        weight: factor of the false-negative term; 0 is plain soft Dice.
        smooth: added to numerator and denominator; keeps items without label finite.
        sigmoid: apply a sigmoid to the input first (the network returns logits).
        batch: take the sums over the whole batch instead of item by item.
        cross_entropy_weight: factor of the binary cross entropy of every channel; 0 (as in the reference system)
            leaves it out.
        per_channel: take the Dice sums of each channel by itself, then their mean, so that a rare class counts as much
            as a frequent one; otherwise over all channels together.
        ignore_negative: pixels whose target is negative take part in no sum: nothing is known of them.

    Raises:
        ConfigurationError: a weight is negative or ``smooth`` is not positive.
    """

    def __init__(
        self,
        weight: float = 8.0,
        smooth: float = 1.0,
        sigmoid: bool = True,
        batch: bool = False,
        cross_entropy_weight: float = 0.0,
        per_channel: bool = False,
        ignore_negative: bool = False,
    ) -> None:
        super().__init__()
        if min(weight, cross_entropy_weight) < 0 or smooth <= 0:
            found = f"{weight}, {cross_entropy_weight} and smooth={smooth}"
            raise ConfigurationError(f"weights must be >= 0 and smooth > 0, found {found}")
        self.weight = weight
        self.smooth = smooth
        self.sigmoid = sigmoid
        self.batch = batch
        self.cross_entropy_weight = cross_entropy_weight
        self.per_channel = per_channel
        self.ignore_negative = ignore_negative

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Return the loss as a scalar in single precision.

        Args:
            input: logits (or probabilities, see ``sigmoid``) ``(B, C, H, W)`` or ``(B, C, H, W, D)``.
            target: labels 0 and 1 of the same shape, any type; with ``ignore_negative`` also negative ones.

        Raises:
            ConfigurationError: the shapes differ.
        """
        if input.shape != target.shape:
            raise ConfigurationError(
                f"prediction and label differ in shape: {tuple(input.shape)} and {tuple(target.shape)}; "
                "the network needs as many output channels as the label has"
            )
        # Half precision overflows at 65504, which is a 256x256 image of ones: all sums are taken in float32.
        probability = input.float().sigmoid() if self.sigmoid else input.float()
        label, known = target.to(probability.dtype), None
        if self.ignore_negative:
            known = (label >= 0).to(probability.dtype)
            probability, label = probability * known, label * known
        loss = self._dice_loss(probability, label) + self.weight * self._dice_loss(probability * label, label)
        if self.cross_entropy_weight == 0:
            return loss
        entropy = functional.binary_cross_entropy_with_logits if self.sigmoid else functional.binary_cross_entropy
        # Scaled, because the mean is taken over all pixels, the unknown ones included.
        share = None if known is None else known * (known.numel() / known.sum().clamp(min=1.0))
        return loss + self.cross_entropy_weight * entropy(input.float(), label, weight=share)

    def _dice_loss(self, probability: Tensor, label: Tensor) -> Tensor:
        dims = [*([0] if self.batch else []), *([] if self.per_channel else [1]), *range(2, label.ndim)]
        overlap = (probability * label).sum(dims)
        total = probability.sum(dims) + label.sum(dims)
        return (1.0 - (2.0 * overlap + self.smooth) / (total + self.smooth)).mean()
