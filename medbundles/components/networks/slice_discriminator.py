"""A 2D network that judges the slices of 3D blocks, along all three axes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from medbundles.errors import ConfigurationError

AXES = (2, 3, 4)


class SliceDiscriminator(nn.Module):
    """Tells real from synthetic slices: sagittal, coronal and axial ones of a block, all by one 2D network.

    A 3D discriminator sees few blocks and costs much; slices are many. Which slices are judged is given from outside
    (:func:`select_slices`), so that the real and the synthetic block are judged at the same ones.

    Source: DeepAnat (Li et al., Medical Image Analysis 86, 2023), where all slices of a 64^3 block were judged, and the
    generator was also taught on empty ones that the discriminator had never seen.

    Args:
        network: takes ``(N, C, h, w)``; returns logits ``(N, ...)``, or a list of feature maps with the logits last
            (:class:`monai.networks.nets.PatchDiscriminator`). Batch normalization would let slices of one batch tell
            on each other; take instance normalization.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(
        self, volume: Tensor, slices: Sequence[Tensor], condition: Tensor | None = None
    ) -> tuple[list[Tensor], list[list[Tensor]]]:
        """Judge the chosen slices.

        Args:
            volume: ``(B, C, H, W, D)``, real or synthetic.
            slices: for each spatial axis which slices, ``(n, 2)``: item of the batch and index along the axis.
            condition: what the volume was made from, ``(B, C', H, W, D)``; its slices are judged together with the
                volume's. None judges the volume alone.

        Returns:
            logits, and the feature maps before them, each one tensor (or list) for every shape of slices: one for cubic
            blocks. Both are empty when no slice is chosen.

        Raises:
            ConfigurationError: not a 3D block, or not one list of slices for each axis.
        """
        if volume.ndim != 5 or len(slices) != len(AXES):
            found = f"{tuple(volume.shape)} and {len(slices)} list(s)"
            raise ConfigurationError(f"expected a block (B, C, H, W, D) and three lists of slices, found {found}")
        if condition is not None:
            volume = torch.cat([volume, condition.to(volume.dtype)], dim=1)
        logits: list[Tensor] = []
        features: list[list[Tensor]] = []
        for images in _by_shape(volume, slices):
            output = self.network(images)
            layers = list(output) if isinstance(output, list | tuple) else [output]
            logits.append(layers[-1])
            features.append(layers[:-1])
        return logits, features


def select_slices(
    mask: Tensor,
    minimum_share: float = 0.05,
    most_per_axis: int | None = None,
    generator: torch.Generator | None = None,
) -> list[Tensor]:
    """Choose the slices worth judging: those with tissue, and of them so many at random.

    Args:
        mask: where there is tissue, ``(B, 1, H, W, D)``, anything above 0.
        minimum_share: share of a slice that must be tissue.
        most_per_axis: slices of each item and axis; None takes all.
        generator: for the random choice; the default is torch's global one.

    Returns:
        for each spatial axis ``(n, 2)`` on the mask's device: item of the batch, index along the axis; ordered.
    """
    tissue = mask[:, 0] > 0
    chosen = []
    for axis in (1, 2, 3):
        others = [other for other in (1, 2, 3) if other != axis]
        wanted = tissue.float().mean(dim=others) >= max(minimum_share, torch.finfo(torch.float32).tiny)
        if most_per_axis is not None:
            wanted = _thinned(wanted, most_per_axis, generator)
        chosen.append(wanted.nonzero())
    return chosen


def _thinned(wanted: Tensor, most: int, generator: torch.Generator | None) -> Tensor:
    # Drawn on the CPU, so that every device chooses the same.
    order = torch.rand(wanted.shape, generator=generator).to(wanted.device).masked_fill(~wanted, -1.0)
    best = order.topk(min(most, wanted.shape[1]), dim=1).indices
    kept = torch.zeros_like(wanted).scatter_(1, best, True)
    return kept & wanted


def _by_shape(volume: Tensor, slices: Sequence[Tensor]) -> list[Tensor]:
    """Return the slices ``(N, C, h, w)``, those of the same shape in one batch."""
    batches: dict[tuple[int, ...], list[Tensor]] = {}
    for axis, chosen in zip(AXES, slices, strict=True):
        if len(chosen):
            images = volume.movedim(axis, 1)[chosen[:, 0], chosen[:, 1]]
            batches.setdefault(tuple(images.shape[1:]), []).append(images)
    return [torch.cat(parts) for parts in batches.values()]
