"""Which contrasts there are: those with any voxel that is not 0."""

from __future__ import annotations

import torch
from torch import Tensor


def presence_of(image: Tensor) -> Tensor:
    """Return 1 for each contrast that is there and 0 for each that is not.

    Args:
        image: ``(B, C, H, W, D)``; a contrast that is absent is 0 everywhere.

    Returns:
        ``(B, C)``, of the image's type. Where nothing is there (a block of air) every contrast counts as there: the
        network must answer something, and has learned what air means.
    """
    present = (image.detach().abs().amax(dim=(2, 3, 4)) > 0).to(image.dtype)
    return torch.where(present.sum(dim=1, keepdim=True) > 0, present, torch.ones_like(present))


def spread(weights: Tensor, features: Tensor) -> Tensor:
    """Return ``weights`` with trailing axes of length 1 until it has as many axes as ``features``."""
    for _ in range(features.ndim - weights.ndim):
        weights = weights.unsqueeze(-1)
    return weights
