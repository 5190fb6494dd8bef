"""A network that works on voxels of one size, applied to images of any."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from monai.data.meta_tensor import MetaTensor
from monai.inferers.inferer import Inferer
from torch import Tensor

from medbundles.components.spaced_grid import SpacedGrid, Spacing, refuse_wrong_spacing
from medbundles.io.grids import spacing_of

# A logit so low that its sigmoid is 0 for every purpose.
NOTHING = -20.0
# Voxels around the brain that are taken along, so that its border is interpolated as elsewhere.
MARGIN = 2


class SpacedInferer(Inferer):
    """Bring the brain to voxels of one size, let another inferer work there, and bring its logits back to the image's.

    Both grids have the same center and directions, so that no voxel moves
    (:class:`medbundles.components.spaced_grid.SpacedGrid`). Where no contrast has a value the result is
    ``outside_value``; nothing is computed outside of the brain's box. Images whose voxels have that size are not
    interpolated.

    Args:
        inferer: gets ``(1, C, h, w, d)`` with voxels of ``spacing_mm`` and returns ``(1, K, h, w, d)``.
        spacing_mm: edge of the network's voxels, or three.
        outside_value: result where no contrast has a value; None: 0 means nothing special, the whole image is seen.

    Raises:
        ConfigurationError: an edge that is not above 0.
    """

    def __init__(self, inferer: Inferer, spacing_mm: Spacing, outside_value: float | None = NOTHING) -> None:
        super().__init__()
        refuse_wrong_spacing(spacing_mm)
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
        stacked = results[0][None] if len(results) == 1 else torch.stack(results)
        return MetaTensor(stacked).copy_meta_from(inputs) if isinstance(inputs, MetaTensor) else stacked

    def _image(self, image: Tensor, edges: tuple[float, ...], infer: Callable[[Tensor], Tensor]) -> Tensor:
        inside = (image != 0).any(dim=0)
        if self.outside_value is None:
            inside = torch.ones_like(inside)
        box = _box(inside)
        # The whole image's new voxels, of which those of the box are computed: a mask more or less moves none.
        grid = SpacedGrid(tuple(inside.shape), edges, self.spacing_mm)
        logits = infer(grid.forth(image[(slice(None), *box)][None], box).contiguous())
        logits = logits.as_tensor() if isinstance(logits, MetaTensor) else logits
        back = grid.back(logits, box)[0]
        if self.outside_value is None:
            return back
        result = back.new_full((len(back), *image.shape[1:]), self.outside_value)
        result[(slice(None), *box)] = torch.where(inside[box].to(back.device), back, self.outside_value)
        return result


def _edges(inputs: Tensor) -> list[tuple[float, float, float]]:
    if not isinstance(inputs, MetaTensor):
        return [(1.0, 1.0, 1.0)] * len(inputs)
    affines = inputs.affine if inputs.affine.ndim == 3 else inputs.affine.expand(len(inputs), 4, 4)
    return [spacing_of(affine.cpu().numpy()) for affine in affines]


def _box(inside: Tensor) -> tuple[slice, ...]:
    """Return the box of a mask with a margin, or the whole image where the mask is empty."""
    box = []
    for axis, whole in enumerate(inside.shape):
        found = inside.any(dim=tuple({0, 1, 2} - {axis})).nonzero()
        if not len(found):
            return tuple(slice(0, size) for size in inside.shape)
        box.append(slice(max(int(found[0]) - MARGIN, 0), min(int(found[-1]) + 1 + MARGIN, whole)))
    return tuple(box)
