"""The three ways to fuse contrasts, built from any backbone."""

from __future__ import annotations

from typing import get_args

from torch import nn

from medbundles.components.networks.backbone import Arguments, Backbone
from medbundles.components.networks.decision_fusion import DecisionFusion
from medbundles.components.networks.feature_fusion import FeatureFusion, FusionLevel
from medbundles.components.networks.input_fusion import InputFusion
from medbundles.components.networks.network_choices import Fusion


def build_fusion(
    backbone: Backbone,
    fusion: Fusion,
    spatial_dims: int,
    contrasts: int,
    regions: int,
    arguments: Arguments,
    path_arguments: Arguments,
) -> nn.Module:
    """Return a module from an image ``(B, contrasts, H, W[, D])`` and ``presence (B, contrasts)`` to logits.

    Args:
        backbone: the architecture.
        fusion: how contrasts are fused.
        spatial_dims: 2 or 3.
        contrasts: number of input channels.
        regions: number of output channels.
        arguments: complete ones, of the network that all contrasts share: the whole one in ``input``, the decoder in
            ``feature``.
        path_arguments: complete ones, of what each contrast has to itself: its encoder or its network.
    """
    assert fusion in get_args(Fusion)
    if fusion == "input":
        return InputFusion(backbone.whole(spatial_dims, contrasts, regions, arguments))
    if fusion == "decision":
        networks = [backbone.whole(spatial_dims, 1, regions, path_arguments) for _ in range(contrasts)]
        return DecisionFusion(networks, regions)
    encoders = [backbone.stages(spatial_dims, path_arguments) for _ in range(contrasts)]
    channels = backbone.channels(path_arguments)
    joined = backbone.channels(arguments)
    levels = [
        FusionLevel(
            spatial_dims,
            [encoder[index] for encoder in encoders],
            channels[index],
            joined[index],
            last=index == len(channels) - 1,
        )
        for index in range(len(channels))
    ]
    return FeatureFusion(levels, backbone.decoder(spatial_dims, regions, arguments))
