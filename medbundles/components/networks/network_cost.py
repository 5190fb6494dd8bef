"""What a forward pass costs, counted without computing it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from medbundles.components.networks.fast_layers import INSTANCE_NORMS

# Without multiplications that count, but what counting spends most of its time on.
UNCOUNTED = (*INSTANCE_NORMS, nn.GroupNorm, nn.LayerNorm, nn.PReLU, nn.LeakyReLU, nn.ReLU, nn.GELU, nn.Dropout)


def count_multiplications(build: Callable[[], nn.Module], *shapes: Sequence[int]) -> float:
    """Return the multiply-adds of convolutions and matrix products in a forward pass.

    Nothing is computed, and the global generator of random numbers stays as it is.

    Args:
        build: makes the network.
        *shapes: of its inputs.
    """
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        network = build().eval().to("meta")  # not built there: Swin transformers look at numbers
        _leave_out(network)
        inputs = [torch.ones(tuple(shape), device="meta") for shape in shapes]
        with FlopCounterMode(display=False) as counter:
            network(*inputs)
    return float(counter.get_total_flops()) / 2


def _leave_out(network: nn.Module) -> None:
    for name, child in network.named_children():
        if isinstance(child, UNCOUNTED):
            setattr(network, name, nn.Identity())
        else:
            _leave_out(child)
