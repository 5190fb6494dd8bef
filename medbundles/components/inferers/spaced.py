"""A network that works on voxels of one size, applied to images of any."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from monai.data.meta_tensor import MetaTensor
from monai.inferers.inferer import Inferer
from torch import Tensor
from torch.nn import functional

from medbundles.errors import ConfigurationError
from medbundles.io.grids import spacing_of

# A logit so low that its sigmoid is 0 for every purpose.
NOTHING = -20.0
# Voxels around the brain that are taken along, so that its border is interpolated as elsewhere.
MARGIN = 2


class SpacedInferer(Inferer):
    """Bring the brain to cubic voxels, let another inferer work there, and bring its logits back to the image's voxels.

    Both grids cover the same extent, so that no voxel moves. Outside of the brain's box is ``outside_value``.

    Args:
        inferer: gets ``(1, C, h, w, d)`` with voxels of ``spacing_mm`` and returns ``(1, K, h, w, d)``.
        spacing_mm: edge of the network's voxels, to the nearest whole number of them along each axis.
        outside_value: result where no contrast has a value.

    Raises:
        ConfigurationError: an edge that is not above 0.
    """

    def __init__(self, inferer: Inferer, spacing_mm: float, outside_value: float = NOTHING) -> None:
        super().__init__()
        if not spacing_mm > 0:
            raise ConfigurationError(f"spacing_mm is an edge above 0, found {spacing_mm}")
        self.inferer = inferer
        self.spacing_mm = spacing_mm
        self.outside_value = outside_value

    def __call__(self, inputs: Tensor, network: Callable[..., Any], *args: Any, **kwargs: Any) -> Tensor:
        """Return logits ``(B, K, H, W, D)`` on the grid of the images ``(B, C, H, W, D)``.

        Args:
            inputs: images, 0 outside of the brain; the affines of a ``MetaTensor`` say how large their voxels are, of
                others they are taken for cubes of 1 mm.
            network: passed to the inferer.
            *args: likewise.
            **kwargs: likewise.
        """
        images = inputs.as_tensor() if isinstance(inputs, MetaTensor) else inputs
        results = [
            self._image(image, edges, lambda small: self.inferer(small, network, *args, **kwargs))
            for image, edges in zip(images, _edges(inputs), strict=True)
        ]
        stacked = torch.stack(results)
        return MetaTensor(stacked).copy_meta_from(inputs) if isinstance(inputs, MetaTensor) else stacked

    def _image(self, image: Tensor, edges: Sequence[float], infer: Callable[[Tensor], Tensor]) -> Tensor:
        box = _box(image)
        part = image[(slice(None), *box)]
        size = [
            max(1, round(count * edge / self.spacing_mm)) for count, edge in zip(part.shape[1:], edges, strict=True)
        ]
        logits = infer(_resized(part[None], size))
        logits = logits.as_tensor() if isinstance(logits, MetaTensor) else logits
        back = _resized(logits, part.shape[1:])[0]
        if part.shape == image.shape:
            return back
        result = back.new_full((len(back), *image.shape[1:]), self.outside_value)
        result[(slice(None), *box)] = back
        return result


def _edges(inputs: Tensor) -> list[tuple[float, float, float]]:
    if not isinstance(inputs, MetaTensor):
        return [(1.0, 1.0, 1.0)] * len(inputs)
    affines = inputs.affine if inputs.affine.ndim == 3 else inputs.affine.expand(len(inputs), 4, 4)
    return [spacing_of(affine.cpu().numpy()) for affine in affines]


def _box(image: Tensor) -> tuple[slice, ...]:
    """Return the box of what is not 0 with a margin, or the whole image where all of it is 0."""
    inside = (image != 0).any(dim=0)
    box = []
    for axis, whole in enumerate(inside.shape):
        others = tuple(other for other in range(inside.ndim) if other != axis)
        found = inside.any(dim=others).nonzero()
        if not len(found):
            return tuple(slice(0, size) for size in inside.shape)
        box.append(slice(max(int(found[0]) - MARGIN, 0), min(int(found[-1]) + 1 + MARGIN, whole)))
    return tuple(box)


def _resized(volumes: Tensor, size: Sequence[int]) -> Tensor:
    """Return ``(B, C, ...)`` with another number of voxels over the same extent, trilinear.

    Where that makes voxels more than twice as large, whole groups of them are averaged first, so that noise does not
    remain as it is.
    """
    target = tuple(int(count) for count in size)
    if tuple(volumes.shape[2:]) == target:
        return volumes
    coarser = [max(1, whole // count) for whole, count in zip(volumes.shape[2:], target, strict=True)]
    if any(factor > 1 for factor in coarser):
        between = [
            count * factor if factor > 1 else whole
            for whole, count, factor in zip(volumes.shape[2:], target, coarser, strict=True)
        ]
        fine = functional.interpolate(volumes, between, mode="trilinear", align_corners=False)
        volumes = functional.avg_pool3d(fine, coarser)
        if tuple(volumes.shape[2:]) == target:
            return volumes
    return functional.interpolate(volumes, target, mode="trilinear", align_corners=False)
