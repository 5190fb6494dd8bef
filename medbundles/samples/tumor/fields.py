"""Smooth random fields."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage
from torch.nn import functional

Floats = npt.NDArray[np.floating[Any]]
Shape = tuple[int, int, int]

# Points of the coarse grid for each width, enough for linear interpolation in between.
POINTS_PER_WIDTH = 2.0


def smooth_field(generator: np.random.Generator, shape: Sequence[int], width: float) -> npt.NDArray[np.float32]:
    """Return Gaussian noise of standard deviation 1 that is smooth over a width, in voxels.

    Args:
        generator: random numbers.
        shape: of the result.
        width: standard deviation of the Gaussian that smooths it; below 1 the noise is left as it is.
    """
    if width < 1:
        return generator.normal(size=shape).astype(np.float32)
    step = max(1.0, width / POINTS_PER_WIDTH)
    size = [int(np.ceil(extent / step)) + 2 for extent in shape]
    coarse = ndimage.gaussian_filter(generator.normal(size=size).astype(np.float32), width / step, mode="wrap")
    coarse /= max(float(coarse.std()), 1e-6)
    # Interpolated by torch, which is ten times as fast as SciPy here; a little more than the shape, cut to it.
    wanted = [round(extent * step) for extent in size]
    fine = functional.interpolate(torch.from_numpy(coarse)[None, None], wanted, mode="trilinear", align_corners=False)
    starts = [
        int(generator.integers(0, max(1, whole - extent + 1))) for whole, extent in zip(wanted, shape, strict=True)
    ]
    cut = tuple(slice(start, start + extent) for start, extent in zip(starts, shape, strict=True))
    return np.ascontiguousarray(fine[0, 0].numpy()[cut])


def at_places(volumes: Sequence[Floats], index: Floats, border: bool = False) -> list[npt.NDArray[np.float32]]:
    """Return volumes ``(X, Y, Z)`` at places ``(3, ...)`` in voxels, trilinear.

    Args:
        volumes: on one grid.
        index: places.
        border: whether a place outside has the value of the nearest voxel; else it is 0.
    """
    stacked = torch.from_numpy(np.stack([np.asarray(volume, np.float32) for volume in volumes]))[None]
    size = np.array(stacked.shape[2:], np.float32).reshape(3, *[1] * (index.ndim - 1))
    # Torch wants places from -1 to 1, the last axis first.
    scaled = torch.from_numpy((2 * index / (size - 1) - 1).astype(np.float32))
    grid = scaled.flip(0).movedim(0, -1).reshape(1, 1, 1, -1, 3)
    found = functional.grid_sample(stacked, grid, padding_mode="border" if border else "zeros", align_corners=True)
    return [part.numpy().reshape(index.shape[1:]) for part in found[0]]


def doubled(coarse: Floats, shape: Sequence[int]) -> npt.NDArray[np.float32]:
    """Return values ``(C, ...)`` of every other voxel at all voxels, linear in between.

    Args:
        coarse: first value at the first voxel, and none missing at the end.
        shape: of the voxels.
    """
    wanted = [2 * extent - 1 for extent in coarse.shape[1:]]
    values = torch.from_numpy(np.asarray(coarse, np.float32))[None]
    fine = functional.interpolate(values, wanted, mode="trilinear", align_corners=True)[0].numpy()
    return np.ascontiguousarray(fine[:, : shape[0], : shape[1], : shape[2]])


def octaves(generator: np.random.Generator, shape: Sequence[int], widest: float, count: int = 3) -> Floats:
    """Return the sum of smooth fields of halving widths and heights, of standard deviation about 1."""
    total = sum(smooth_field(generator, shape, widest / 2**number) * 0.6**number for number in range(count))
    return np.asarray(total / np.sqrt(sum(0.36**number for number in range(count))), np.float32)


def step(values: Floats, width: float) -> Floats:
    """Return 0 far below zero, 1 far above, with a soft edge of a width."""
    return np.asarray(1.0 / (1.0 + np.exp(np.clip(-values / width, -30, 30))), np.float32)


def drawn(generator: np.random.Generator, low: float, high: float) -> float:
    """Return a number between two."""
    return float(generator.uniform(low, high))
