"""MONAI's BasicUNet: two convolutions a level, the first at full resolution."""

from __future__ import annotations

from typing import Any

from monai.networks.nets import BasicUNet
from torch import Tensor, nn

from medbundles.components.networks.backbone import Arguments, Backbone

LEVELS = 5


class BasicUNetBackbone(Backbone):
    """MONAI's ``BasicUNet``, the classical 3D U-Net."""

    name = "BasicUNet"
    defaults = {"features": (16, 16, 32, 64, 128, 16), "upsample": "deconv"}  # noqa: RUF012
    width_name = "features"

    def multiple(self, arguments: Arguments) -> int:
        """Return 2 to the number of times it pools."""
        return int(2 ** (LEVELS - 1))

    def channels(self, arguments: Arguments) -> list[int]:
        """Return the channels of every level."""
        return list(arguments["features"][:LEVELS])

    def whole(self, spatial_dims: int, in_channels: int, out_channels: int, arguments: Arguments) -> nn.Module:
        """Return the whole network."""
        return BasicUNet(spatial_dims, in_channels, out_channels, **arguments)

    def stages(self, spatial_dims: int, arguments: Arguments) -> list[nn.Module]:
        """Return the convolutions of the descending half, for one channel."""
        whole: Any = self.whole(spatial_dims, 1, 1, arguments)
        return [whole.conv_0, whole.down_1, whole.down_2, whole.down_3, whole.down_4]

    def decoder(self, spatial_dims: int, out_channels: int, arguments: Arguments) -> nn.Module:
        """Return the ascending half."""
        whole: Any = self.whole(spatial_dims, 1, out_channels, arguments)
        return BasicUNetDecoder([whole.upcat_4, whole.upcat_3, whole.upcat_2, whole.upcat_1], whole.final_conv)


class BasicUNetDecoder(nn.Module):
    """The ascending half of ``BasicUNet``.

    Args:
        ups: blocks, coarsest first; each takes features from below and those of the finer level.
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
            features = up(features, levels[len(levels) - 2 - index])
        logits: Tensor = self.head(features)
        return logits
