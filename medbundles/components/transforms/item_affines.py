"""Random affine transforms, one for every item of a batch, composed in pixels about the center."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

# Pixels: float32 sampling coordinates are exact to about this, also in 512-pixel images.
ROUNDING = 1e-3


@dataclass(frozen=True)
class ItemAffines:
    """Where in the input the pixels of each output lie: ``input = center + matrix @ (output - center) + offset``.

    Attributes:
        matrix: ``(B, N, N)`` in array-axis order, from output to input pixels: flip, then scale, then rotation.
        offset: ``(B, N)`` in input pixels: what the output's center shows lies this far from the input's center.
    """

    matrix: Tensor
    offset: Tensor

    @classmethod
    def draw(
        cls,
        items: int,
        size: Sequence[int],
        *,
        flip: float,
        flip_axes: Sequence[int],
        offset: float,
        scale: float,
        rotation: float,
        rotation_axis: int | None,
    ) -> ItemAffines:
        """Draw from torch's global CPU generator; the same numbers are consumed whatever the arguments are.

        Args:
            items: number of items B.
            size: spatial size that ``offset`` is a fraction of.
            flip: probability of a flip along each of ``flip_axes``.
            flip_axes: array axes that may be flipped.
            offset: largest shift as a fraction of ``size``.
            scale: objects grow or shrink by a factor in ``[1 - scale, 1 + scale]``.
            rotation: largest angle in degrees, both ways.
            rotation_axis: the axis to rotate about in 3D; None in 2D.
        """
        axes = len(size)
        flips, angle = torch.rand(items, axes), 2.0 * torch.rand(items) - 1.0
        growth, shift = 2.0 * torch.rand(items) - 1.0, 2.0 * torch.rand(items, axes) - 1.0
        allowed = torch.tensor([axis in flip_axes for axis in range(axes)])
        signs = torch.where((flips < flip) & allowed, -1.0, 1.0)
        turn = rotation_matrices(angle * math.radians(rotation), axes, rotation_axis)
        factors = signs / (1.0 + scale * growth)[:, None]
        return cls(turn * factors[:, None, :], offset * torch.tensor(size, dtype=torch.float32) * shift)

    def kept_inside(self, input_size: Sequence[int], output_size: Sequence[int]) -> ItemAffines:
        """Return transforms whose whole output lies inside the input.

        The field of view is narrowed (objects appear larger) where the turned output would not fit at all; the offset
        is then limited to the room that is left.
        """
        into, out = (torch.tensor(values, dtype=torch.float32) for values in (input_size, output_size))
        half = (out - 1.0) / 2.0
        # The centered crop of an odd difference starts half a pixel off the exact center. An axis that is not cut has
        # no room to keep inside of.
        available = (into - 1.0) / 2.0 - 0.5 * ((into - out) % 2) - ROUNDING
        available[into == out] = math.inf
        narrowing = (available / self._half_extent(half).clamp(min=ROUNDING)).amin(1).clamp(max=1.0)
        matrix = self.matrix * narrowing[:, None, None]
        room = (available - replace(self, matrix=matrix)._half_extent(half)).clamp(min=0.0)
        return ItemAffines(matrix, torch.maximum(torch.minimum(self.offset, room), -room))

    def _half_extent(self, half: Tensor) -> Tensor:
        return (self.matrix.abs() * half).sum(2)


def rotation_matrices(angle: Tensor, axes: int, about: int | None) -> Tensor:
    """Return sampling matrices ``(B, N, N)`` that turn objects in the plane of the two axes other than ``about``.

    Args:
        angle: ``(B,)`` radians; positive turns like ``torch.rot90`` from the lower axis towards the higher.
        axes: 2 or 3.
        about: the axis to turn about; None in 2D.
    """
    first, second = [axis for axis in range(axes) if axis != about]
    matrix = torch.eye(axes).repeat(len(angle), 1, 1)
    matrix[:, first, first] = matrix[:, second, second] = angle.cos()
    matrix[:, second, first] = -angle.sin()
    matrix[:, first, second] = angle.sin()
    return matrix


def center_start(size: Sequence[int], target: Sequence[int]) -> list[int]:
    """Return where a centered crop begins, in whole pixels."""
    return [(s - t) // 2 for s, t in zip(size, target, strict=True)]


def affine_grid(affines: ItemAffines, size: Sequence[int], target: Sequence[int]) -> Tensor:
    """Return the sampling grid ``(B, *target, N)`` for ``grid_sample(..., align_corners=False)``.

    Args:
        affines: the transforms, in pixels.
        size: spatial size of the input.
        target: spatial size of the output.
    """
    into, out = (torch.tensor(values, dtype=torch.float32) for values in (size, target))
    # Whole-pixel start: the identity is then exactly the center crop, for odd differences too.
    center = torch.tensor(center_start(size, target), dtype=torch.float32) + (out - 1.0) / 2.0
    # torch's coordinates run from -1 to 1 between the outer edges of the first and last pixel, last axis first.
    linear = affines.matrix * (2.0 / into)[:, None] * (out / 2.0)[None, :]
    constant = (2.0 * (center + affines.offset) + 1.0) / into - 1.0
    theta = torch.cat([linear.flip(1, 2), constant.flip(1)[:, :, None]], dim=2)
    return functional.affine_grid(theta, [len(theta), 1, *target], align_corners=False)
