"""Training on what a network says at coarser levels, too, without changing the network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from monai.networks.layers.simplelayers import SkipConnection
from monai.networks.nets import DynUNet
from torch import Tensor, nn

from medbundles.components.networks.headed_unet import HeadedUNet
from medbundles.components.networks.squeeze_excitation_unet import SqueezeExcitationUNet
from medbundles.errors import ConfigurationError


class DeepSupervision(nn.Module):
    """A network with heads on its decoder's coarser levels, for training alone (Dou et al., MedIA 41, 2017).

    The heads are convolutions of size 1 that listen to what the decoder's blocks hand on. The network itself stays as
    it is: what is saved of it holds no heads, and what infers with it computes none. MONAI's ``DynUNet`` has heads of
    its own, which become part of its weights and, enlarged to the image's size, cost memory: they stay off.

    Args:
        network: ``SqueezeExcitationUNet``, ``DynUNet`` or ``HeadedUNet``.
        out_channels: of its logits.
        levels: coarser levels that are supervised, next to the finest first; 0 leaves the network alone.

    Raises:
        ConfigurationError: a network of another kind, more levels than its decoder has, or fewer than 0.
    """

    def __init__(self, network: nn.Module, out_channels: int, levels: int = 2) -> None:
        super().__init__()
        self.network = network
        self.levels = levels
        blocks = decoder_blocks(network)[::-1][1:] if levels else []  # finest first, without the one that makes logits
        if not 0 <= levels <= len(blocks):
            raise ConfigurationError(f"supervised levels are 0 to {len(blocks)} for this network, found {levels}")
        self.heads = nn.ModuleList()
        self._heard: dict[int, Tensor] = {}
        for place, (block, width, spatial_dims) in enumerate(blocks[:levels]):
            convolution = nn.Conv3d if spatial_dims == 3 else nn.Conv2d
            self.heads.append(convolution(width, out_channels, 1))
            block.register_forward_hook(self._listener(place))

    def forward(self, image: Tensor) -> Tensor | list[Tensor]:
        """Return logits ``(B, K, H, W, D)``; in training a list of them, finest first, each level half as large."""
        logits: Tensor = self.network(image)
        if not (self.training and self.levels):
            self._heard.clear()
            return logits
        coarser = [head(self._heard.pop(place)) for place, head in enumerate(self.heads)]
        return [logits, *coarser]

    def _listener(self, place: int) -> Callable[..., None]:
        def listen(module: nn.Module, inputs: Any, output: Tensor) -> None:
            if self.training and module.training:
                self._heard[place] = output

        return listen


def decoder_blocks(network: nn.Module) -> list[tuple[nn.Module, int, int]]:
    """Return the blocks of a network's decoder, coarsest first, with their channels and spatial dimensions.

    Raises:
        ConfigurationError: a network whose decoder is not known here.
    """
    if isinstance(network, SqueezeExcitationUNet):
        return [_described(block) for block in network.decoder]
    if isinstance(network, DynUNet):
        return [_described(block) for block in network.upsamples]
    if isinstance(network, HeadedUNet):
        return [_described(block) for block in _ascending(network.unet.model)]
    known = "SqueezeExcitationUNet, DynUNet, HeadedUNet"
    raise ConfigurationError(f"{type(network).__name__} cannot be supervised at several levels, only {known} can")


def _ascending(block: Any) -> Sequence[nn.Module]:
    found: list[nn.Module] = []
    while isinstance(block, nn.Sequential) and isinstance(block[1], SkipConnection):
        found.insert(0, block[2])
        block = block[1].submodule
    return found


def _described(block: nn.Module) -> tuple[nn.Module, int, int]:
    """Return a block, the channels of what it gives, and 2 or 3."""
    kinds = (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d)
    last: Any = [module for module in block.modules() if isinstance(module, kinds)][-1]
    return block, int(last.out_channels), last.weight.ndim - 2


def of_all_levels(loss: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Any, Tensor], Tensor]:
    """Return a loss on the logits of several levels: halved weights from level to level, which sum to 1.

    Targets ``(B, 1, H, W, D)`` of whole numbers are brought to coarser levels by their nearest voxels.
    """

    def summed(logits: Tensor | Sequence[Tensor], target: Tensor) -> Tensor:
        if isinstance(logits, Tensor):
            return loss(logits, target)
        weights = [0.5**level for level in range(len(logits))]
        total = torch.zeros((), device=target.device)
        for weight, each in zip(weights, logits, strict=True):
            smaller = target
            if each.shape[2:] != target.shape[2:]:
                smaller = nn.functional.interpolate(target.float(), size=each.shape[2:], mode="nearest-exact")
            total = total + weight / sum(weights) * loss(each, smaller.to(target.dtype))
        return total

    return summed
