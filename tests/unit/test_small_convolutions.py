"""Gradients in bfloat16 on a CPU where a kernel is larger than its image: oneDNN leaves them undefined."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from medbundles.components.mixed_precision import mixed_precision


@pytest.mark.parametrize(
    ("layer", "edge"),
    [
        (nn.Conv3d(64, 64, 3, padding=1), 2),
        (nn.Conv3d(8, 8, 4, padding=1), 3),
        (nn.Conv3d(8, 8, 3, stride=2, padding=1), 1),
        (nn.ConvTranspose3d(8, 8, 3, stride=2, padding=1, output_padding=1), 1),
        (nn.Conv2d(8, 8, 3, stride=2, padding=1), 1),
        (nn.Conv3d(8, 8, 3, padding=1), 4),
    ],
)
def test_gradients_are_those_of_single_precision(layer: nn.Module, edge: int) -> None:
    image = torch.randn(1, layer.weight.shape[0], *[edge] * (layer.weight.dim() - 2))
    gradients = []
    for enabled in (False, True, True, True):
        layer.zero_grad()
        torch.full((1 << 18,), 1e34)  # what the memory held before is no gradient
        with mixed_precision("cpu", enabled):
            loss = (layer(image) ** 2).sum()
        loss.backward()
        gradients.append(layer.weight.grad.clone())
    largest = gradients[0].abs().max()
    assert all((found - gradients[0]).abs().max() < 0.1 * largest for found in gradients[1:])


def test_large_convolutions_are_computed_in_bfloat16_and_small_ones_are_not() -> None:
    layer = nn.Conv3d(1, 1, 3, padding=1)
    with mixed_precision("cpu"):
        assert layer(torch.zeros(1, 1, 3, 3, 3)).dtype == torch.bfloat16
        assert layer(torch.zeros(1, 1, 8, 8, 2)).dtype == torch.float32


def test_switched_off_nothing_is_computed_in_bfloat16() -> None:
    with mixed_precision("cpu", enabled=False):
        assert nn.Conv3d(1, 1, 3)(torch.zeros(1, 1, 3, 3, 3)).dtype == torch.float32
