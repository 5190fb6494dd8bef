"""MONAI's BasicUNet for regression: without normalization, and started so that it learns without it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from monai.networks.nets import BasicUNet
from torch import nn

NEGATIVE_SLOPE = 0.1
# MONAI's type says a norm is always there; its layers leave it out for None.
NO_NORM: Any = None


class PlainUNet(BasicUNet):
    """``BasicUNet`` that keeps what its input says of absolute intensities.

    Instance normalization gives every window another scale, which shows as seams between them and hides how bright a
    window is; batch normalization of a few blocks does the same in training. The reference system has none either.
    MONAI's initial weights halve a signal at every layer without it: these keep its variance (He et al., ICCV 2015).

    Args:
        spatial_dims: 2 or 3.
        in_channels: channels of the input ``(B, in_channels, H, W[, D])``, sizes multiples of 16.
        out_channels: channels of the output, same spatial size.
        features: six numbers of channels: five levels, and the last layer at full resolution.
        upsample: ``deconv``, or ``nontrainable`` for interpolation.
    """

    def __init__(
        self,
        spatial_dims: int = 3,
        in_channels: int = 1,
        out_channels: int = 1,
        features: Sequence[int] = (16, 16, 32, 64, 128, 16),
        upsample: str = "deconv",
    ) -> None:
        super().__init__(
            spatial_dims=spatial_dims,
            in_channels=in_channels,
            out_channels=out_channels,
            features=features,
            act=("leakyrelu", {"negative_slope": NEGATIVE_SLOPE, "inplace": True}),
            norm=NO_NORM,
            upsample=upsample,
        )
        self.apply(_start)
        with torch.no_grad():  # the untrained network says about 0, the mean of what it shall say
            self.final_conv.weight.mul_(0.1)


def _start(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.Conv3d):
        nn.init.kaiming_normal_(module.weight, a=NEGATIVE_SLOPE)
    elif isinstance(module, nn.ConvTranspose2d | nn.ConvTranspose3d):
        # Its kernels do not overlap: each output voxel is fed by one input voxel.
        nn.init.normal_(module.weight, std=module.weight.shape[0] ** -0.5)
    else:
        return
    if module.bias is not None:
        nn.init.zeros_(module.bias)
