"""The generator of Vox2Vox: an encoder and decoder of strided convolutions around a dense bottleneck."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from medbundles.errors import ConfigurationError

NEGATIVE_SLOPE = 0.3
LEVELS = 4
BOTTLENECK_BLOCKS = 4
# Images are padded to multiples of what four halvings take, and at least to two of it: instance normalization needs
# more than one voxel at the coarsest level.
MULTIPLE = 2**LEVELS
SMALLEST = 2 * MULTIPLE


class Vox2VoxGenerator(nn.Module):
    """Turn contrasts into regions: four strided convolutions down, a dense bottleneck, transposed convolutions up.

    Every 4^3 convolution of stride 2 is padded by 1 on either side, so that a coarse voxel lies in the middle of the
    eight fine ones it stands for. Blocks of the bottleneck have 3^3 convolutions: an even kernel of stride 1 cannot lie
    in the middle of a voxel, and in the reference implementation the image drifts half a voxel in each block. There,
    the input must also be a multiple of 16 and dropout stays on at inference; here any size is padded and cut off
    again, and dropout is a matter of ``train`` and ``eval``.

    Source: Cirillo et al., Vox2Vox: 3D-GAN for brain tumour segmentation, arXiv 2003.13653, 2020 (``features`` 64, and
    bottleneck blocks as wide as the level they lie at; half of that here).

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output, one for each region.
        features: channels of the first level; the next ones have 2, 4 and 8 times as many.
        dropout: share of the bottleneck's features that training leaves out.

    Raises:
        ConfigurationError: no channels, or a dropout outside of [0, 1).
    """

    def __init__(self, in_channels: int = 4, out_channels: int = 3, features: int = 16, dropout: float = 0.2) -> None:
        super().__init__()
        if min(in_channels, out_channels, features) < 1 or not 0.0 <= dropout < 1.0:
            found = f"{in_channels}, {out_channels}, {features} and {dropout}"
            raise ConfigurationError(
                f"in_channels, out_channels and features are at least 1 and dropout lies in [0, 1), found {found}"
            )
        widths = [features * 2**level for level in range(LEVELS)]
        inputs = [in_channels, *widths[:-1]]
        # As in pix2pix the first level is not normalized: it would take away how bright a contrast is.
        self.down = nn.ModuleList(_down(inputs[level], widths[level], normalized=level > 0) for level in range(LEVELS))
        growth = max(1, widths[-1] // 2)
        starts = [widths[-1] + growth * block for block in range(BOTTLENECK_BLOCKS + 1)]
        self.bottleneck = nn.ModuleList(_bottleneck(start, growth, dropout) for start in starts[:-1])
        # From the coarsest level up; each takes what comes from below and, but for the first, the skip of its level.
        below = [starts[-1], *(2 * width for width in widths[-2:0:-1])]
        self.up = nn.ModuleList(_up(wide, width) for wide, width in zip(below, widths[-2::-1], strict=True))
        self.out = nn.ConvTranspose3d(2 * widths[0], out_channels, kernel_size=4, stride=2, padding=1)
        self.apply(_start)

    def forward(self, image: Tensor) -> Tensor:
        """Return logits ``(B, out_channels, H, W, D)`` for an image ``(B, in_channels, H, W, D)`` of any size."""
        padding = _padding(list(image.shape[2:]))
        features = functional.pad(image, padding)
        skips: list[Tensor] = []
        for down in self.down:
            features = down(features)
            skips.append(features)
        for block in self.bottleneck:
            features = torch.cat([features, block(features)], dim=1)
        for level, up in enumerate(self.up):
            features = torch.cat([up(features), skips[len(skips) - 2 - level]], dim=1)
        logits: Tensor = self.out(features)
        height, width, depth = image.shape[2], image.shape[3], image.shape[4]
        logits = logits[:, :, padding[4] : padding[4] + height]
        return logits[:, :, :, padding[2] : padding[2] + width, padding[0] : padding[0] + depth]


def _padding(sizes: list[int], multiple: int = MULTIPLE, smallest: int = SMALLEST) -> list[int]:
    """Return the voxels to add before and after each axis, the last axis first."""
    padding: list[int] = []
    for axis in range(len(sizes)):
        size = sizes[len(sizes) - 1 - axis]
        wanted = max(smallest, (size + multiple - 1) // multiple * multiple)
        before = (wanted - size) // 2
        padding.append(before)
        padding.append(wanted - size - before)
    return padding


def _down(in_channels: int, out_channels: int, normalized: bool) -> nn.Sequential:
    convolution = nn.Conv3d(in_channels, out_channels, kernel_size=4, stride=2, padding=1, bias=not normalized)
    norm = [nn.InstanceNorm3d(out_channels, affine=True)] if normalized else []
    return nn.Sequential(convolution, *norm, nn.LeakyReLU(NEGATIVE_SLOPE))


def _bottleneck(in_channels: int, out_channels: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv3d(in_channels, out_channels, kernel_size=3, padding=1, bias=False),
        nn.InstanceNorm3d(out_channels, affine=True),
        nn.LeakyReLU(NEGATIVE_SLOPE),
        nn.Dropout(dropout),
    )


def _up(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.ConvTranspose3d(in_channels, out_channels, kernel_size=4, stride=2, padding=1, bias=False),
        nn.InstanceNorm3d(out_channels, affine=True),
        nn.LeakyReLU(NEGATIVE_SLOPE),
    )


def _start(module: nn.Module) -> None:
    """Set initial weights that keep a signal's variance (He et al., ICCV 2015)."""
    if isinstance(module, nn.Conv3d):
        nn.init.kaiming_normal_(module.weight, a=NEGATIVE_SLOPE)
    elif isinstance(module, nn.ConvTranspose3d):
        # Of its 64 weights 8 meet in a voxel of the output.
        nn.init.normal_(module.weight, std=(8 * module.weight.shape[0]) ** -0.5)
    else:
        return
    if module.bias is not None:
        nn.init.zeros_(module.bias)
