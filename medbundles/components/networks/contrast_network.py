"""A segmentation network for several contrasts, any of which may be absent."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from medbundles.components.networks.backbone import Arguments
from medbundles.components.networks.backbones import BACKBONES, find_backbone
from medbundles.components.networks.contrast_presence import presence_of
from medbundles.components.networks.equal_cost import equal_cost_arguments
from medbundles.components.networks.fast_layers import with_fast_layers
from medbundles.components.networks.fusions import build_fusion
from medbundles.components.networks.network_choices import FUSIONS, VIEWS, Fusion, View, refuse_unknown
from medbundles.components.networks.three_plane import ThreePlanes
from medbundles.errors import MISFITS, ConfigurationError, reason_of

__all__ = ["BACKBONES", "ContrastNetwork"]


class ContrastNetwork(nn.Module):
    """One of four backbones, with contrasts fused at the input, at every level of features, or at the decision.

    A contrast is absent where its channel is 0 everywhere; what the network has learned of it then has no influence.
    Images of any size: they are padded with zeros at their far ends to what the backbone needs.

    Attributes:
        scriptable: false for ``SwinUNETR``, which is exported as ONNX only, for blocks of one size.

    Args:
        backbone: ``UNet``, ``BasicUNet``, ``SegResNet`` or ``SwinUNETR`` (MONAI's, or built from their parts).
        in_channels: number of contrasts.
        out_channels: number of regions.
        fusion: ``input`` stacks the contrasts as channels of one network; ``feature`` gives each its own encoder,
            passes the features of each to all others at every level and joins them for one decoder; ``decision`` gives
            each a network of its own and joins the logits by learned weights.
        view: ``3d``; ``three_plane`` for three 2D networks over axial, coronal and sagittal slices, averaged;
            ``three_plane_3d`` for a small 3D network on top of those.
        equal_cost: whether what ``feature`` and ``decision`` have once for each contrast is made narrower until the
            whole costs as many multiplications as ``input`` with the given widths; false keeps the given widths.
        arguments: of the backbone, such as ``{"channels": [16, 32, 64, 128]}`` or ``{"init_filters": 8}``; the others
            keep their defaults (``BACKBONES[name].defaults``).

    Raises:
        ConfigurationError: an unknown backbone, fusion, view or argument; values that no network can be built from; or
            no widths with which the cost is equal.
        EnvironmentFailure: ``SwinUNETR`` without the extra ``swin``.
    """

    def __init__(
        self,
        backbone: str,
        in_channels: int,
        out_channels: int,
        fusion: Fusion = "input",
        view: View = "3d",
        equal_cost: bool = True,
        arguments: Arguments | None = None,
    ) -> None:
        super().__init__()
        refuse_unknown("fusion", fusion, FUSIONS)
        refuse_unknown("view", view, VIEWS)
        family = find_backbone(backbone)
        complete = family.complete(arguments)
        dims = 3 if view == "3d" else 2
        self.in_channels = in_channels
        self.scriptable = family.scriptable
        try:
            if min(in_channels, out_channels, *family.channels(complete)) < 1:
                raise ValueError("every number of channels must be at least 1")
            self.multiple = family.multiple(complete)
            path = equal_cost_arguments(family, fusion, dims, in_channels, out_channels, complete, equal_cost)
            shape = (family, fusion, dims, in_channels, out_channels, complete, path)
            if view == "3d":
                network = build_fusion(*shape)
            else:
                planes = [build_fusion(*shape) for _ in range(3)]
                network = ThreePlanes(planes, out_channels, with_head=view == "three_plane_3d")
            self.network = with_fast_layers(network)
        except MISFITS as error:
            message = f"network {backbone} cannot be built from {complete}: {reason_of(error)}"
            raise ConfigurationError(message) from error

    def forward(self, image: Tensor) -> Tensor:
        """Return logits ``(B, out_channels, H, W, D)`` for an image ``(B, in_channels, H, W, D)``.

        Raises:
            ValueError: another number of channels.
        """
        if image.shape[1] != self.in_channels:
            raise ValueError(f"expected {self.in_channels} contrasts, found {image.shape[1]} channels")
        height, width, depth = image.shape[2], image.shape[3], image.shape[4]
        presence = presence_of(image)
        size = self.multiple
        far_ends = [0, -depth % size, 0, -width % size, 0, -height % size]
        logits: Tensor = self.network(functional.pad(image, far_ends), presence)
        return logits[:, :, :height, :width, :depth]

    @torch.jit.unused
    def voices(self) -> list[nn.Module]:
        """Return the modules whose last convolution gives logits: several where answers are joined."""
        found: list[nn.Module] = self.network.voices()  # type: ignore[operator]  # a fusion, or three planes of it
        return found
