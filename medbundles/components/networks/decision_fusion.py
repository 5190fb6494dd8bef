"""Fusion of contrasts at the decision: a whole network for each, their logits joined by learned weights."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from medbundles.components.networks.contrast_presence import spread


class DecisionFusion(nn.Module):
    """A network for each contrast; the answer for a region is a weighted mean of what those that are there say of it.

    The weights are a softmax over the contrasts that are there, one for each contrast and region, equal in the
    beginning: one contrast alone always counts fully, and one that is absent not at all.

    Args:
        networks: one for each contrast, from ``(B, 1, H, W[, D])`` to logits ``(B, regions, H, W[, D])``.
        regions: number of regions.
    """

    def __init__(self, networks: Sequence[nn.Module], regions: int) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self.importance = nn.Parameter(torch.zeros(len(networks), regions))

    def forward(self, image: Tensor, presence: Tensor) -> Tensor:
        """Return logits ``(B, regions, H, W[, D])``.

        Args:
            image: ``(B, contrasts, H, W[, D])``.
            presence: ``(B, contrasts)``, 1 or 0.
        """
        absent = (presence == 0).unsqueeze(-1)
        weights = torch.softmax(self.importance.unsqueeze(0).masked_fill(absent, float("-inf")), dim=1)
        answers: list[Tensor] = []
        for index, network in enumerate(self.networks):
            answer = network(image[:, index : index + 1])
            answers.append(answer * spread(weights[:, index], answer))
        return torch.stack(answers).sum(dim=0)

    def voices(self) -> list[nn.Module]:
        """Return the modules whose last convolution gives logits."""
        return list(self.networks)
