"""Grids of scans, and the template's maps at their places."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from medbundles.samples.head.template import Template

Floats = npt.NDArray[np.floating[Any]]
Affine = npt.NDArray[np.float64]

# The diffusion volumes' center lies so far above the template's origin, so that the whole brain is covered.
CENTER_MM = (0.0, -18.0, 8.0)


def grid(
    axes: str,
    spacing_mm: tuple[float, float, float],
    extent_mm: tuple[float, float, float],
    tilt_degrees: float,
    center_mm: tuple[float, float, float] = CENTER_MM,
) -> tuple[Affine, tuple[int, int, int]]:
    """Return a scan's affine and size.

    Args:
        axes: codes of the array's axes, such as ``PIR``.
        spacing_mm: voxels along the array's axes.
        extent_mm: field of view along x, y and z.
        tilt_degrees: about the x axis.
        center_mm: the middle of the field of view.
    """
    direction = np.zeros((3, 3))
    size = []
    for column, code in enumerate(axes):
        row, sign = next(
            (row, 1 if code == pair[0] else -1) for row, pair in enumerate(("RL", "AP", "SI")) if code in pair
        )
        direction[row, column] = sign
        size.append(round(extent_mm[row] / spacing_mm[column]))
    angle = np.deg2rad(tilt_degrees)
    turn = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ direction @ np.diag(spacing_mm)
    affine[:3, 3] = np.array(center_mm) - affine[:3, :3] @ ((np.array(size) - 1) / 2)
    return affine, (size[0], size[1], size[2])


def places_of(affine: Affine, size: tuple[int, int, int]) -> Floats:
    """Return where a grid's voxels lie in the world, ``(3, voxels)`` mm."""
    index = np.indices(size, dtype=np.float32).reshape(3, -1)
    return np.asarray(affine[:3, :3].astype(np.float32) @ index + affine[:3, 3:].astype(np.float32))


def sampled(template: Template, names: tuple[str, ...], where: Floats) -> dict[str, Floats]:
    """Return a template's maps at places of its world ``(3, n)``."""
    inverse = np.linalg.inv(template.affine)
    index = (inverse[:3, :3] @ where + inverse[:3, 3:]).astype(np.float32)
    fill = {"outside_mm": float(template.outside_mm.max())}
    return {
        name: ndimage.map_coordinates(getattr(template, name), index, order=1, cval=fill.get(name, 0.0))
        for name in names
    }
