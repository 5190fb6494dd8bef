"""A residual U-Net whose blocks weigh their channels, as the Decathlon's second place used it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from monai.networks.blocks.squeeze_and_excitation import ChannelSELayer
from torch import Tensor, nn
from torch.nn import functional

from medbundles.errors import ConfigurationError

NEGATIVE_SLOPE = 0.3


class SqueezeExcitationUNet(nn.Module):
    """Encoder and decoder of residual blocks with squeeze-and-excitation; images of any size.

    Each block has two 3x3x3 convolutions with instance normalization and leaky ReLU, weighs its channels by what they
    hold on average over the image (Hu et al., CVPR 2018) and adds its input. Levels are joined by concatenation. An
    image whose size the halvings do not divide is filled up with zeros at its ends, and the result cut.

    The reference system has ``channels`` 32, 64, 128, 256, three levels down and a ratio of 16; its thresholded ReLU on
    what the network says, which kills gradients, is left out.

    Args:
        spatial_dims: 2 or 3.
        in_channels: of the image ``(B, in_channels, H, W[, D])``.
        out_channels: of the logits.
        channels: of each level, finest first.
        reduction: how many times fewer channels the squeezed description has, at least 4 of them.

    Raises:
        ConfigurationError: fewer than two levels, or a width or reduction below 1.
    """

    def __init__(
        self,
        spatial_dims: int = 3,
        in_channels: int = 1,
        out_channels: int = 2,
        channels: Sequence[int] = (32, 64, 128, 256),
        reduction: int = 16,
    ) -> None:
        super().__init__()
        if len(channels) < 2 or min(channels) < 1 or reduction < 1:
            raise ConfigurationError(
                f"expected two widths or more and a reduction from 1, found {channels}, {reduction}"
            )
        convolution = nn.Conv3d if spatial_dims == 3 else nn.Conv2d
        transposed = nn.ConvTranspose3d if spatial_dims == 3 else nn.ConvTranspose2d
        pairs = list(itertools.pairwise(channels))
        self.stem = convolution(in_channels, channels[0], 3, padding=1)
        self.encoder = nn.ModuleList(ResidualBlock(spatial_dims, fine, fine, reduction) for fine, _ in pairs)
        self.downs = nn.ModuleList(convolution(fine, coarse, 2, stride=2) for fine, coarse in pairs)
        self.bottom = ResidualBlock(spatial_dims, channels[-1], channels[-1], reduction)
        pairs.reverse()
        self.ups = nn.ModuleList(transposed(coarse, fine, 2, stride=2) for fine, coarse in pairs)
        self.decoder = nn.ModuleList(ResidualBlock(spatial_dims, 2 * fine, fine, reduction) for fine, _ in pairs)
        self.head = convolution(channels[0], out_channels, 1)
        self.multiple = 2 ** len(pairs)

    def forward(self, image: Tensor) -> Tensor:
        """Return logits ``(B, out_channels, H, W[, D])``."""
        features = self.stem(_filled_up(image, self.multiple))
        levels: list[Tensor] = []
        for block, down in zip(self.encoder, self.downs):  # noqa: B905  # TorchScript knows no strict
            features = block(features)
            levels.append(features)
            features = down(features)
        features = self.bottom(features)
        for up, block in zip(self.ups, self.decoder):  # noqa: B905
            features = block(torch.cat([levels.pop(), up(features)], dim=1))
        logits: Tensor = self.head(features)
        for axis in range(2, image.ndim):
            logits = logits.narrow(axis, 0, image.shape[axis])
        return logits


class ResidualBlock(nn.Module):
    """Two convolutions, weights for their channels, and the input added.

    Args:
        spatial_dims: 2 or 3.
        in_channels: of the input.
        out_channels: of the output; where they differ, a convolution of size 1 brings the input to them.
        reduction: of the squeezed description.
    """

    def __init__(self, spatial_dims: int, in_channels: int, out_channels: int, reduction: int) -> None:
        super().__init__()
        convolution = nn.Conv3d if spatial_dims == 3 else nn.Conv2d
        norm = nn.InstanceNorm3d if spatial_dims == 3 else nn.InstanceNorm2d
        self.layers = nn.Sequential(
            convolution(in_channels, out_channels, 3, padding=1, bias=False),
            norm(out_channels, affine=True),
            nn.LeakyReLU(NEGATIVE_SLOPE, inplace=True),
            convolution(out_channels, out_channels, 3, padding=1, bias=False),
            norm(out_channels, affine=True),
        )
        squeezed = min(out_channels, max(4, out_channels // reduction))
        self.weigh = ChannelSELayer(spatial_dims, out_channels, r=max(1, out_channels // squeezed))
        same = in_channels == out_channels
        self.shortcut = nn.Identity() if same else convolution(in_channels, out_channels, 1, bias=False)
        self.activation = nn.LeakyReLU(NEGATIVE_SLOPE)

    def forward(self, features: Tensor) -> Tensor:
        """Return features of the same size."""
        summed: Tensor = self.activation(self.weigh(self.layers(features)) + self.shortcut(features))
        return summed


def _filled_up(image: Tensor, multiple: int) -> Tensor:
    """Append zeros so that every size is a multiple."""
    pads: list[int] = []
    for axis in range(image.ndim - 1, 1, -1):  # PyTorch names the last axis first
        missing = multiple - 1 - (image.shape[axis] - 1) % multiple
        pads.append(0)
        pads.append(missing)
    return functional.pad(image, pads)
