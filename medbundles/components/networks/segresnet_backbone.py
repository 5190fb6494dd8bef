"""MONAI's SegResNet: residual blocks with group normalization, features added instead of stacked."""

from __future__ import annotations

from typing import Any

from monai.networks.nets import SegResNet
from torch import Tensor, nn

from medbundles.components.networks.backbone import Arguments, Backbone

MOST_GROUPS = 8  # of channels that are normalized together, as in the paper


class SegResNetBackbone(Backbone):
    """MONAI's ``SegResNet``, the network that won BraTS 2018, without its autoencoder (Myronenko, arXiv 1810.11654).

    Channels are normalized in 8 groups; where 8 does not divide ``init_filters``, in as many below that as do.
    """

    name = "SegResNet"
    defaults = {"init_filters": 8, "blocks_down": (1, 2, 2, 4), "blocks_up": (1, 1, 1)}  # noqa: RUF012
    width_name = "init_filters"

    def multiple(self, arguments: Arguments) -> int:
        """Return 2 to the number of times it halves the resolution."""
        return int(2 ** (len(arguments["blocks_down"]) - 1))

    def channels(self, arguments: Arguments) -> list[int]:
        """Return the channels of every level: twice as many at half the resolution."""
        return [int(arguments["init_filters"]) * 2**level for level in range(len(arguments["blocks_down"]))]

    def whole(self, spatial_dims: int, in_channels: int, out_channels: int, arguments: Arguments) -> nn.Module:
        """Return the whole network."""
        width = int(arguments["init_filters"])
        groups = max(each for each in range(1, MOST_GROUPS + 1) if width % each == 0)
        norm = ("group", {"num_groups": groups})
        return SegResNet(spatial_dims, in_channels=in_channels, out_channels=out_channels, norm=norm, **arguments)

    def stages(self, spatial_dims: int, arguments: Arguments) -> list[nn.Module]:
        """Return the blocks of the descending half, for one channel."""
        whole: Any = self.whole(spatial_dims, 1, 1, arguments)
        first, *others = whole.down_layers
        return [nn.Sequential(whole.convInit, first), *others]

    def decoder(self, spatial_dims: int, out_channels: int, arguments: Arguments) -> nn.Module:
        """Return the ascending half."""
        whole: Any = self.whole(spatial_dims, 1, out_channels, arguments)
        return SegResNetDecoder(whole.up_samples, whole.up_layers, whole.conv_final)


class SegResNetDecoder(nn.Module):
    """The ascending half of ``SegResNet``.

    Args:
        ups: to twice the resolution and half the channels, coarsest first.
        blocks: what follows after the finer level's features were added.
        head: from features at full resolution to logits.
    """

    def __init__(self, ups: nn.ModuleList, blocks: nn.ModuleList, head: nn.Module) -> None:
        super().__init__()
        self.ups = ups
        self.blocks = blocks
        self.head = head

    def forward(self, levels: list[Tensor]) -> Tensor:
        """Return logits for the features of all levels, finest first."""
        features = levels[-1]
        for index, (up, block) in enumerate(zip(self.ups, self.blocks)):  # noqa: B905 - TorchScript has no strict
            features = block(up(features) + levels[len(levels) - 2 - index])
        logits: Tensor = self.head(features)
        return logits
