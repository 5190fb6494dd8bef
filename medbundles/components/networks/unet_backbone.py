"""MONAI's UNet with residual units, with features up to the full resolution."""

from __future__ import annotations

import math
from typing import Any

import torch
from monai.networks.layers.simplelayers import SkipConnection
from torch import Tensor, nn

from medbundles.components.networks.backbone import Arguments, Backbone, scaled
from medbundles.components.networks.headed_unet import HeadedUNet


class UNetBackbone(Backbone):
    """:class:`HeadedUNet` with instance normalization: little is computed at full resolution, so it is the fastest."""

    name = "UNet"
    defaults = {"channels": (16, 32, 64, 128), "strides": (2, 2, 2), "num_res_units": 2, "features": 8}  # noqa: RUF012
    width_name = "channels"

    def with_width(self, arguments: Arguments, width: int) -> dict[str, Any]:
        """Scale the features at full resolution, too."""
        (features,) = scaled([arguments["features"]], width, self.width(arguments))
        return {**super().with_width(arguments, width), "features": features}

    def multiple(self, arguments: Arguments) -> int:
        """Return the product of the strides."""
        return math.prod(arguments["strides"])

    def channels(self, arguments: Arguments) -> list[int]:
        """Return the channels of every level."""
        return list(arguments["channels"])

    def whole(self, spatial_dims: int, in_channels: int, out_channels: int, arguments: Arguments) -> nn.Module:
        """Return the whole network."""
        norm = ("instance", {"affine": True})
        return HeadedUNet(spatial_dims, in_channels, out_channels, norm=norm, **arguments)

    def stages(self, spatial_dims: int, arguments: Arguments) -> list[nn.Module]:
        """Return the blocks of the descending half, for one channel."""
        return _taken_apart(self.whole(spatial_dims, 1, 1, arguments))[0]

    def decoder(self, spatial_dims: int, out_channels: int, arguments: Arguments) -> nn.Module:
        """Return the ascending half."""
        whole: Any = self.whole(spatial_dims, 1, out_channels, arguments)
        return UNetDecoder(_taken_apart(whole)[1], whole.head)


class UNetDecoder(nn.Module):
    """The ascending half of :class:`HeadedUNet`.

    Args:
        ups: blocks, coarsest first; each takes the finer level's features beside those from below.
        head: from features at full resolution to logits.
    """

    def __init__(self, ups: list[nn.Module], head: nn.Module) -> None:
        super().__init__()
        self.ups = nn.ModuleList(ups)
        self.head = head

    def forward(self, levels: list[Tensor]) -> Tensor:
        """Return logits for the features of all levels, finest first."""
        features = levels[-1]
        for index, up in enumerate(self.ups):
            features = up(torch.cat([levels[len(levels) - 2 - index], features], dim=1))
        logits: Tensor = self.head(features)
        return logits


def _taken_apart(network: Any) -> tuple[list[nn.Module], list[nn.Module]]:
    """Return the blocks down, finest first, and the blocks up, coarsest first, of MONAI's nested blocks."""
    downs: list[nn.Module] = []
    ups: list[nn.Module] = []
    block = network.unet.model
    while isinstance(block, nn.Sequential) and isinstance(block[1], SkipConnection):
        downs.append(block[0])
        ups.insert(0, block[2])
        block = block[1].submodule
    return [*downs, block], ups
