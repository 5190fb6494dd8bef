"""The network inside wrappers that change nothing but how it is run."""

from __future__ import annotations

from torch import nn
from torch.nn.parallel import DataParallel, DistributedDataParallel


def unwrapped(network: nn.Module) -> nn.Module:
    """Return the network inside ``DistributedDataParallel``, ``DataParallel`` and ``torch.compile``.

    Their state dictionaries prefix every key (``module.``, ``_orig_mod.``): such weights fit nothing else.
    """
    while True:
        if isinstance(network, DistributedDataParallel | DataParallel):
            network = network.module
        elif isinstance(getattr(network, "_orig_mod", None), nn.Module):
            network = network._orig_mod  # type: ignore[assignment]  # torch.compile's wrapper
        else:
            return network
