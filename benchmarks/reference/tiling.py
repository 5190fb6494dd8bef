"""How the reference system of T1w synthesis lays its blocks over a brain and joins them (DeepAnat)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

BLOCK = 64
MARGIN = 3
# Starts beyond the fewest that cover an axis.
MORE_STARTS = 5


def starts(length: int) -> list[int]:
    """Return the first voxels of the blocks along an axis of a brain's box."""
    count = math.ceil(length / BLOCK) + MORE_STARTS
    return [round(float(start)) for start in np.linspace(0, max(length - BLOCK, 0), count)]


def predict(image: Tensor, box: Sequence[slice], network: Callable[[Tensor], Tensor]) -> tuple[Tensor, int]:
    """Return the averaged output ``(1, H, W, D)`` of a volume ``(C, H, W, D)`` and how many blocks it took.

    Three voxels of each block's faces are left out where they do not lie on the box's own.
    """
    total = torch.zeros(1, *image.shape[1:])
    counts = torch.zeros(1, *image.shape[1:])
    places = [[part.start + start for start in starts(part.stop - part.start)] for part in box]
    blocks = [(x, y, z) for x in places[0] for y in places[1] for z in places[2]]
    for corner in blocks:
        outer = tuple(slice(start, start + BLOCK) for start in corner)
        output = network(image[(slice(None), *outer)][None])[0]
        inner = [
            slice(0 if start == part.start else MARGIN, BLOCK if start + BLOCK >= part.stop else BLOCK - MARGIN)
            for start, part in zip(corner, box, strict=True)
        ]
        kept = tuple(slice(start + part.start, start + part.stop) for start, part in zip(corner, inner, strict=True))
        total[(slice(None), *kept)] += output[(slice(None), *inner)]
        counts[(slice(None), *kept)] += 1
    return total / counts.clamp(min=1), len(blocks)
