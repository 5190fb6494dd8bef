"""What a forward pass costs, counted without computing it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


def count_multiplications(build: Callable[[], nn.Module], *shapes: Sequence[int]) -> float:
    """Return the multiply-adds of convolutions and matrix products in a forward pass.

    Nothing is allocated or computed, and no random number is drawn.

    Args:
        build: makes the network.
        *shapes: of its inputs.
    """
    with torch.device("meta"), torch.no_grad():
        network = build().eval()
        inputs = [torch.ones(tuple(shape)) for shape in shapes]
        with FlopCounterMode(display=False) as counter:
            network(*inputs)
    return float(counter.get_total_flops()) / 2
