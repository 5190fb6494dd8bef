"""Volumes on voxels of another size: the same axes, the same center, one small matrix an axis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from medbundles.errors import ConfigurationError
from medbundles.io.grids import Affine

Box: TypeAlias = tuple[slice, ...]
Spacing: TypeAlias = float | Sequence[float]
# Edges closer to each other than this share are the same: what rounding of stored affines leaves.
SAME_EDGE = 1e-3


@dataclass(frozen=True)
class SpacedGrid:
    """Voxels of a wanted size over the field of view of other ones.

    Both fields of view have the same center and directions, so that world coordinates agree whatever way the axes
    point. An axis whose edge is the wanted one already keeps its voxels.

    Attributes:
        shape: voxels of the volume.
        edges: their edges in mm.
        spacing_mm: wanted edge, or one for each axis.

    Raises:
        ConfigurationError: an edge that is not above 0, or another number of them than of axes.
    """

    shape: tuple[int, ...]
    edges: tuple[float, ...]
    spacing_mm: Spacing

    def __post_init__(self) -> None:
        refuse_wrong_spacing(self.spacing_mm, len(self.shape))

    @property
    def new_shape(self) -> tuple[int, ...]:
        """Voxels of the wanted edges, as many as cover the field of view."""
        return tuple(
            count if _same(edge, wanted) else max(1, math.ceil(count * edge / wanted - SAME_EDGE))
            for count, edge, wanted in zip(self.shape, self.edges, self._wanted, strict=True)
        )

    @property
    def new_edges(self) -> tuple[float, ...]:
        """Edges in mm after :meth:`forth`."""
        pairs = zip(self.edges, self._wanted, strict=True)
        return tuple(edge if _same(edge, wanted) else wanted for edge, wanted in pairs)

    def forth(self, volumes: Tensor, box: Box | None = None) -> Tensor:
        """Return volumes ``(B, C, H, W, D)`` of this grid on the new voxels, float32.

        Args:
            volumes: of the whole grid, or of a box of it, outside of which everything is 0.
            box: that box; what comes back is then :meth:`new_box` of the new voxels.
        """
        sides = zip(self.shape, self.edges, self.new_shape, self.new_edges, strict=True)
        return _resampled(volumes, _cut([axis_weights(*side) for side in sides], self._new(box), box))

    def back(self, volumes: Tensor, box: Box | None = None) -> Tensor:
        """Return volumes ``(B, C, h, w, d)`` of the new voxels on this grid, float32.

        Args:
            volumes: of all new voxels, or of :meth:`new_box`.
            box: the box of this grid that is wanted then.
        """
        sides = zip(self.new_shape, self.new_edges, self.shape, self.edges, strict=True)
        return _resampled(volumes, _cut([axis_weights(*side) for side in sides], box, self._new(box)))

    def new_box(self, box: Box) -> Box:
        """Return the new voxels that :meth:`back` makes a box of this grid from."""
        found = []
        sides = zip(box, self.shape, self.edges, self.new_shape, self.new_edges, strict=True)
        for part, count, edge, new_count, new_edge in sides:
            if count == new_count and edge == new_edge:
                found.append(part)
                continue
            reach = max(edge / new_edge - 1, 0.0) / 2  # of what a larger voxel is the mean
            first, last = (
                (end - (count - 1) / 2) * edge / new_edge + (new_count - 1) / 2 for end in (part.start, part.stop - 1)
            )
            found.append(slice(max(math.floor(first - reach), 0), min(math.ceil(last + reach) + 1, new_count)))
        return tuple(found)

    def affine(self, affine: Affine) -> Affine:
        """Return the affine of the new voxels, given this grid's (voxel to world, 4x4)."""
        wanted = affine.copy()
        for axis, (edge, new) in enumerate(zip(self.edges, self.new_edges, strict=True)):
            wanted[:3, axis] *= new / edge
        for axis, (count, new) in enumerate(zip(self.shape, self.new_shape, strict=True)):
            wanted[:3, 3] += affine[:3, axis] * (count - 1) / 2 - wanted[:3, axis] * (new - 1) / 2
        return wanted

    def _new(self, box: Box | None) -> Box | None:
        return None if box is None else self.new_box(box)

    @property
    def _wanted(self) -> tuple[float, ...]:
        return edges_of(self.spacing_mm, len(self.shape))


def edges_of(spacing_mm: Spacing, axes: int = 3) -> tuple[float, ...]:
    """Return one edge for each axis."""
    return tuple(map(float, spacing_mm)) if isinstance(spacing_mm, Sequence) else (float(spacing_mm),) * axes


def refuse_wrong_spacing(spacing_mm: Spacing, axes: int = 3) -> None:
    """Refuse what is no size of voxels.

    Raises:
        ConfigurationError: an edge that is not above 0, or another number of them than of axes.
    """
    edges = edges_of(spacing_mm, axes)
    if len(edges) != axes or not all(0 < edge < math.inf for edge in edges):
        raise ConfigurationError(f"spacing_mm is an edge above 0 or {axes} of them, found {spacing_mm}")


def _same(edge: float, wanted: float) -> bool:
    return abs(edge - wanted) < SAME_EDGE * wanted


def axis_weights(count: int, edge: float, new_count: int, new_edge: float) -> Tensor | None:
    """Return how the voxels along an axis make the new ones, ``(new_count, count)``, rows of sum 1; None: they are.

    Linear interpolation, averaged over what the new voxels are larger: of twice the edge they are the mean of the two
    that they cover, and noise does not remain as it is. What rises linearly stays exactly in its place. Beyond the
    ends the last voxels count.
    """
    if count == new_count and edge == new_edge:
        return None
    places = torch.arange(count, dtype=torch.float64)
    new_places = (torch.arange(new_count, dtype=torch.float64) - (new_count - 1) / 2) * (new_edge / edge)
    new_places = (new_places + (count - 1) / 2).clamp(0, count - 1)
    distance = new_places[:, None] - places[None]
    reach = max(new_edge / edge - 1, 0.0)
    if reach > SAME_EDGE:
        weights = _below_triangle(distance + reach / 2) - _below_triangle(distance - reach / 2)
    else:
        weights = (1 - distance.abs()).clamp(min=0)
    return (weights / weights.sum(dim=1, keepdim=True)).to(torch.float32)


def _below_triangle(upper: Tensor) -> Tensor:
    """Return the area to the left of ``upper`` under the triangle from -1 to 1 of height 1."""
    side = (1 - upper.abs().clamp(max=1)) ** 2 / 2
    return torch.where(upper < 0, side, 1 - side)


def _cut(matrices: Sequence[Tensor | None], rows: Box | None, columns: Box | None) -> list[Tensor | None]:
    """Return the parts of matrices that lead from one box to another."""
    if rows is None or columns is None:
        return list(matrices)
    parts = zip(matrices, rows, columns, strict=True)
    return [None if matrix is None else matrix[row, column] for matrix, row, column in parts]


def _resampled(volumes: Tensor, weights: Sequence[Tensor | None]) -> Tensor:
    """Apply one matrix an axis to ``(B, C, H, W, D)``, those that leave fewest voxels first."""
    volumes = volumes.to(torch.float32)
    matrices = [(axis, matrix) for axis, matrix in enumerate(weights) if matrix is not None]
    for axis, matrix in sorted(matrices, key=lambda pair: len(pair[1]) / pair[1].shape[1]):
        moved = volumes.movedim(axis + 2, -1) @ matrix.T.to(volumes.device)
        volumes = moved.movedim(-1, axis + 2)
    return volumes
