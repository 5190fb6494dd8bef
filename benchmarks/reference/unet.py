"""A fair baseline: the lung-nodule network of the reference system, rebuilt from its published description.

"Deep Learning with PyTorch" (Stevens, Antiga, Viehmann), chapter 13: batch norm on the input, a 2D U-Net of widths
16-32-64 with 3x3 convolutions, ReLU, batch norm, average pooling and transposed convolutions; 118,271 parameters with
seven input channels. It exists to be measured against; nothing else uses it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

WIDTHS = (16, 32, 64)


class ReferenceUNet(nn.Module):
    """Batch norm of the input and a U-Net 16-32-64.

    Args:
        in_channels: slices given as channels.
        out_channels: maps returned.
        sigmoid: return probabilities, as the reference does; false returns logits.
    """

    def __init__(self, in_channels: int = 7, out_channels: int = 1, sigmoid: bool = True) -> None:
        super().__init__()
        self.normalization = nn.BatchNorm2d(in_channels)
        self.encoders = nn.ModuleList(_block(i, o) for i, o in zip((in_channels, *WIDTHS), WIDTHS, strict=False))
        self.pool = nn.AvgPool2d(2)
        upward = list(zip(WIDTHS[:0:-1], WIDTHS[-2::-1], strict=True))
        self.upsamplers = nn.ModuleList(nn.ConvTranspose2d(i, o, kernel_size=2, stride=2) for i, o in upward)
        self.decoders = nn.ModuleList(_block(2 * o, o) for _, o in upward)
        self.last = nn.Conv2d(WIDTHS[0], out_channels, kernel_size=1)
        self.activation = nn.Sigmoid() if sigmoid else nn.Identity()
        self.apply(_initialize)

    def forward(self, image: Tensor) -> Tensor:
        """Return maps ``(B, out_channels, H, W)`` for ``(B, in_channels, H, W)`` in HU; H and W divisible by 4."""
        features = self.normalization(image)
        skips: list[Tensor] = []
        for level, encoder in enumerate(self.encoders):
            features = encoder(self.pool(features) if level else features)
            skips.append(features)
        skips.pop()
        for upsampler, decoder in zip(self.upsamplers, self.decoders, strict=True):
            features = decoder(torch.cat([upsampler(features), skips.pop()], dim=1))
        result: Tensor = self.activation(self.last(features))
        return result


def _block(in_channels: int, out_channels: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (in_channels, out_channels):
        convolution = nn.Conv2d(channels, out_channels, kernel_size=3, padding=1)
        layers += [convolution, nn.ReLU(inplace=True), nn.BatchNorm2d(out_channels)]
    return nn.Sequential(*layers)


def _initialize(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        if module.bias is not None:
            nn.init.normal_(module.bias, std=1e-2)
