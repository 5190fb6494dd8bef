"""2D networks over the slices of a volume in three planes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.networks.blocks import ResidualUnit
from torch import Tensor, nn

HEAD_FEATURES = 16


class ThreePlanes(nn.Module):
    """A 2D network for each plane; the answer is the mean of theirs, or what a small 3D network makes of them.

    The 3D network adds to the mean and starts with adding nothing.

    Args:
        planes: three modules from slices ``(N, contrasts, h, w)`` and their presence ``(N, contrasts)`` to logits.
            In RAS volumes the first one gets sagittal, the second coronal, the third axial slices.
        regions: number of regions.
        with_head: whether there is a 3D network on top.
    """

    def __init__(self, planes: Sequence[nn.Module], regions: int, with_head: bool = False) -> None:
        super().__init__()
        self.planes = nn.ModuleList(planes)
        self.head = _head(len(planes) * regions, regions) if with_head else None

    def forward(self, image: Tensor, presence: Tensor) -> Tensor:
        """Return logits ``(B, regions, H, W, D)``.

        Args:
            image: ``(B, contrasts, H, W, D)``.
            presence: ``(B, contrasts)`` of whole volumes: a slice without a contrast's tissue is no absence.
        """
        answers: list[Tensor] = []
        for index, plane in enumerate(self.planes):
            axis = index + 2
            slices = image.movedim(axis, 1)
            of_slices = presence.unsqueeze(1).expand(-1, slices.shape[1], -1)
            logits = plane(slices.flatten(0, 1), of_slices.flatten(0, 1))
            answers.append(logits.unflatten(0, (slices.shape[0], slices.shape[1])).movedim(1, axis))
        mean = torch.stack(answers).mean(dim=0)
        if self.head is not None:
            mean = mean + self.head(torch.cat(answers, dim=1))
        return mean

    def voices(self) -> list[nn.Module]:
        """Return the modules whose last convolution gives logits."""
        found: list[nn.Module] = []
        for plane in self.planes:
            found.extend(plane.voices())  # type: ignore[operator]  # a fusion of contrasts
        return found


def _head(channels: int, regions: int) -> nn.Module:
    norm = ("instance", {"affine": True})
    last = nn.Conv3d(HEAD_FEATURES, regions, kernel_size=1)
    nn.init.zeros_(last.weight)
    assert last.bias is not None
    nn.init.zeros_(last.bias)
    return nn.Sequential(ResidualUnit(3, channels, HEAD_FEATURES, norm=norm), last)
