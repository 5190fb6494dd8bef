"""Fusion of contrasts at the input: stacked as channels of one network."""

from __future__ import annotations

from torch import Tensor, nn


class InputFusion(nn.Module):
    """One network for all contrasts, stacked as its channels; an absent one has nothing but zeros to say.

    Args:
        network: takes ``(B, contrasts, H, W[, D])``.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor, presence: Tensor) -> Tensor:
        """Return logits ``(B, regions, H, W[, D])``; ``presence`` is not needed."""
        logits: Tensor = self.network(image)
        return logits

    def voices(self) -> list[nn.Module]:
        """Return the modules whose last convolution gives logits."""
        return [self.network]
