"""Swin UNETR: a transformer over shifted windows as encoder, convolutions as decoder."""

from __future__ import annotations

from typing import Any

from monai.networks.blocks import UnetOutBlock, UnetrBasicBlock, UnetrUpBlock
from monai.networks.nets.swin_unetr import PatchMerging, SwinTransformer
from torch import Tensor, nn

from medbundles.components.networks.backbone import Arguments, Backbone
from medbundles.io.packages import require_package

MOST_HEADS = 3  # of the first stage where no number is given, as in MONAI
STAGES = 4


class SwinUNETRBackbone(Backbone):
    """Swin UNETR (Hatamizadeh et al., arXiv 2201.01266), from MONAI's blocks.

    MONAI's own class takes only multiples of 12 features: too coarse to make one network a contrast cost the same.
    """

    name = "SwinUNETR"
    defaults = {"feature_size": 12, "depths": (2, 2, 2, 2), "num_heads": None, "window_size": 7}  # noqa: RUF012
    width_name = "feature_size"
    scriptable = False

    def multiple(self, arguments: Arguments) -> int:
        """Return 2 to the number of times it halves the resolution."""
        return int(2 ** (STAGES + 1))

    def channels(self, arguments: Arguments) -> list[int]:
        """Return the channels at full resolution, of the tokens and of the four stages of transformers."""
        width = int(arguments["feature_size"])
        return [width, *(width * 2**stage for stage in range(STAGES + 1))]

    def whole(self, spatial_dims: int, in_channels: int, out_channels: int, arguments: Arguments) -> nn.Module:
        """Return the whole network."""
        width = int(arguments["feature_size"])
        encoder = _transformer(spatial_dims, in_channels, arguments)
        first = _block(spatial_dims, in_channels, width)
        return SwinUNETR(encoder, first, self.decoder(spatial_dims, out_channels, arguments))

    def stages(self, spatial_dims: int, arguments: Arguments) -> list[nn.Module]:
        """Return the stages for one channel; unlike in the whole network tokens are made of the first one's features.

        So that features are passed between contrasts at full resolution, too.
        """
        width = int(arguments["feature_size"])
        swin: Any = _transformer(spatial_dims, width, arguments)
        layers = [swin.layers1[0], swin.layers2[0], swin.layers3[0], swin.layers4[0]]
        return [_block(spatial_dims, 1, width), swin.patch_embed, *layers]

    def decoder(self, spatial_dims: int, out_channels: int, arguments: Arguments) -> nn.Module:
        """Return the convolutions."""
        return SwinUNETRDecoder(spatial_dims, out_channels, int(arguments["feature_size"]))


class SwinUNETR(nn.Module):
    """Swin UNETR: MONAI's, with any number of features.

    Args:
        swinViT: the transformer.
        encoder1: convolutions at full resolution.
        decoder: from both to logits.

    Attributes:
        traces_one_size: its windows are counted by Python while it runs, so a trace holds for one size alone.
    """

    traces_one_size = True

    def __init__(self, swinViT: nn.Module, encoder1: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.swinViT = swinViT
        self.encoder1 = encoder1
        self.decoder = decoder

    def forward(self, image: Tensor) -> Tensor:
        """Return logits ``(B, out_channels, H, W[, D])``."""
        logits: Tensor = self.decoder([self.encoder1(image), *self.swinViT(image, True)])
        return logits


class SwinUNETRDecoder(nn.Module):
    """The convolutions of Swin UNETR, with MONAI's names.

    Args:
        spatial_dims: 2 or 3.
        out_channels: of the logits.
        width: features at full resolution.
    """

    def __init__(self, spatial_dims: int, out_channels: int, width: int) -> None:
        super().__init__()
        self.encoder2 = _block(spatial_dims, width, width)
        self.encoder3 = _block(spatial_dims, 2 * width, 2 * width)
        self.encoder4 = _block(spatial_dims, 4 * width, 4 * width)
        self.encoder10 = _block(spatial_dims, 16 * width, 16 * width)
        self.decoder5 = _up(spatial_dims, 16 * width, 8 * width)
        self.decoder4 = _up(spatial_dims, 8 * width, 4 * width)
        self.decoder3 = _up(spatial_dims, 4 * width, 2 * width)
        self.decoder2 = _up(spatial_dims, 2 * width, width)
        self.decoder1 = _up(spatial_dims, width, width)
        self.out = UnetOutBlock(spatial_dims, width, out_channels)

    def forward(self, levels: list[Tensor]) -> Tensor:
        """Return logits for the features of all levels, finest first."""
        features = self.decoder5(self.encoder10(levels[5]), levels[4])
        features = self.decoder4(features, self.encoder4(levels[3]))
        features = self.decoder3(features, self.encoder3(levels[2]))
        features = self.decoder2(features, self.encoder2(levels[1]))
        logits: Tensor = self.out(self.decoder1(features, levels[0]))
        return logits


def _transformer(spatial_dims: int, in_channels: int, arguments: Arguments) -> SwinTransformer:
    require_package("einops", "swin", "network SwinUNETR")
    width = int(arguments["feature_size"])
    most = max(heads for heads in range(1, MOST_HEADS + 1) if width % heads == 0)
    heads = arguments["num_heads"] or [most * 2**stage for stage in range(STAGES)]
    return SwinTransformer(
        in_chans=in_channels,
        embed_dim=width,
        window_size=[int(arguments["window_size"])] * spatial_dims,
        patch_size=[2] * spatial_dims,
        depths=arguments["depths"],
        num_heads=heads,
        downsample=PatchMerging,
        spatial_dims=spatial_dims,
    )


def _block(spatial_dims: int, in_channels: int, out_channels: int) -> nn.Module:
    return UnetrBasicBlock(spatial_dims, in_channels, out_channels, 3, 1, "instance", res_block=True)


def _up(spatial_dims: int, in_channels: int, out_channels: int) -> nn.Module:
    return UnetrUpBlock(spatial_dims, in_channels, out_channels, 3, 2, "instance", res_block=True)
