"""Fusion of contrasts at every level of features: an encoder for each, one decoder."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.networks.blocks import Convolution
from monai.networks.layers.factories import Conv
from torch import Tensor, nn

from medbundles.components.networks.contrast_presence import spread


class FeatureFusion(nn.Module):
    """An encoder for each contrast; at every level each receives the features of all, and the decoder their joint ones.

    Features of an absent contrast are set to 0 before they are passed on or joined, and those that are there are
    weighted up in return, as after dropout. Source of the idea: HyperDenseNet (Dolz et al., IEEE TMI 38, 2019), where
    all streams' features are stacked for every layer; here a convolution of kernel size 1 mixes them once a level.

    Args:
        levels: from fine to coarse.
        decoder: from the list of joined features, finest first, to logits.
    """

    def __init__(self, levels: Sequence[FusionLevel], decoder: nn.Module) -> None:
        super().__init__()
        self.levels = nn.ModuleList(levels)
        self.decoder = decoder

    def forward(self, image: Tensor, presence: Tensor) -> Tensor:
        """Return logits ``(B, regions, H, W[, D])``.

        Args:
            image: ``(B, contrasts, H, W[, D])``.
            presence: ``(B, contrasts)``, 1 or 0.
        """
        weights = presence * (presence.shape[1] / presence.sum(dim=1, keepdim=True))
        streams = list(image.split(1, dim=1))
        skips: list[Tensor] = []
        for level in self.levels:
            streams, joined = level(streams, weights)
            skips.append(joined)
        logits: Tensor = self.decoder(skips)
        return logits

    def voices(self) -> list[nn.Module]:
        """Return the modules whose last convolution gives logits."""
        return [self.decoder]


class FusionLevel(nn.Module):
    """One stage of all encoders, and what passes between them.

    Args:
        spatial_dims: 2 or 3.
        stages: this level's stage of each contrast's encoder.
        channels: of each stage's output.
        joined_channels: of what goes to the decoder.
        last: whether no level follows, so that nothing has to be passed on.
    """

    def __init__(
        self, spatial_dims: int, stages: Sequence[nn.Module], channels: int, joined_channels: int, last: bool
    ) -> None:
        super().__init__()
        self.stages = nn.ModuleList(stages)
        self.channels = channels
        everything = channels * len(stages)
        norm = ("instance", {"affine": True})
        self.join = Convolution(
            spatial_dims, everything, joined_channels, kernel_size=1, norm=norm, act="PRELU", bias=False
        )
        # All contrasts to all contrasts in one convolution.
        self.exchange = None if last else Conv[Conv.CONV, spatial_dims](everything, everything, kernel_size=1)

    def forward(self, streams: list[Tensor], weights: Tensor) -> tuple[list[Tensor], Tensor]:
        """Return each contrast's features for the next level, and the joined ones.

        Args:
            streams: for each contrast ``(B, C, H, W[, D])``.
            weights: ``(B, contrasts)``, 0 for an absent one.
        """
        features: list[Tensor] = []
        for index, stage in enumerate(self.stages):
            features.append(stage(streams[index]))
        everything = torch.cat(features, dim=1)
        per_channel = weights.unsqueeze(-1).expand(-1, -1, self.channels).flatten(1)
        everything = everything * spread(per_channel, everything)
        if self.exchange is not None:
            received = self.exchange(everything).split(self.channels, dim=1)
            features = [own + other for own, other in zip(features, received)]  # noqa: B905 - TorchScript has no strict
        return features, self.join(everything)
