"""Going on when memory runs out: smaller batches, then tiles."""

from __future__ import annotations

import itertools
import logging

import torch

from medbundles.components.inferers.backends import Runner
from medbundles.components.out_of_memory import is_out_of_memory, memory_failure
from medbundles.errors import Finding

logger = logging.getLogger(__name__)

# Tiles overlap by what a U-Net of four levels sees to each side, so that their seams do not show.
OVERLAP = 64
# A network that cannot run on this has no memory at all.
SMALLEST_TILE = 128


class ShrinkingRunner:
    """Runs a network on batches ``(n, C, h, w)``; when memory runs out it halves the batch, then the image.

    What fitted once is remembered for the batches that follow. Every step is announced as TRN004.

    Args:
        run: the network, ``(n, C, h, w) -> (n, K, h, w)``.
        divisible: tile sizes are multiples of this.
        tiles: whether an image may be taken apart; windows ``(n, C, h, w, d)`` may not.
    """

    def __init__(self, run: Runner, divisible: int = 16, tiles: bool = True) -> None:
        self.run = run
        self.tiles = tiles
        self.divisible = divisible
        self.most_slices: int | None = None
        self.largest_tile: int | None = None

    def __call__(self, batch: torch.Tensor) -> torch.Tensor:
        """Return the network's output for the batch.

        Raises:
            EnvironmentFailure: the smallest tile does not fit either (TRN004).
        """
        largest = max(batch.shape[-2:])
        if self.most_slices and len(batch) > self.most_slices:
            return torch.cat([self(part) for part in torch.split(batch, self.most_slices)])
        if self.largest_tile and largest > self.largest_tile:
            return self._tiled(batch, self.largest_tile)
        try:
            output: torch.Tensor = self.run(batch)
            return output
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            self._shrink(batch, error)
        # Outside of the except block: the traceback would keep the failed attempt's tensors alive.
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return self(batch)

    def _shrink(self, batch: torch.Tensor, error: BaseException) -> None:
        slices, largest = len(batch), max(batch.shape[-2:])
        if slices > 1:
            self.most_slices = slices // 2
            action = f"going on with batches of {self.most_slices}"
        elif largest > SMALLEST_TILE and self.tiles:
            self.largest_tile = max(SMALLEST_TILE, -(-largest // 2 // self.divisible) * self.divisible)
            action = f"going on with tiles of {self.largest_tile} x {self.largest_tile}"
        else:
            fix = "close other programs or choose another device or a smaller network"
            what = f"slice of {largest} pixels" if self.tiles else f"window of {_size(batch)} voxels"
            message = f"no memory for one {what}"
            raise memory_failure(message, batch.device, fix) from error
        what = f"slices of at most {largest} pixels a side" if self.tiles else f"windows of {_size(batch)} voxels"
        message = f"out of memory with {slices} {what}"
        logger.warning("%s", Finding("TRN004", "warning", message, action))

    def _tiled(self, batch: torch.Tensor, tile: int) -> torch.Tensor:
        """Run overlapping tiles and join them in the middle of their overlaps."""
        height, width = batch.shape[-2:]
        output: torch.Tensor | None = None
        for top, upper, lower in _tiles(height, tile):
            for left, first, last in _tiles(width, tile):
                part = self(batch[..., top : top + tile, left : left + tile])
                if output is None:
                    output = part.new_empty((*part.shape[:2], height, width))
                output[..., upper:lower, first:last] = part[..., upper - top : lower - top, first - left : last - left]
        assert output is not None  # an image has at least one tile
        return output


def _size(batch: torch.Tensor) -> str:
    return " x ".join(map(str, batch.shape[2:]))


def _tiles(size: int, tile: int) -> list[tuple[int, int, int]]:
    """Return ``(start, first kept, end of kept)`` of the tiles along an axis."""
    if size <= tile:
        return [(0, 0, size)]
    step = tile - OVERLAP
    starts = [*range(0, size - tile, step), size - tile]
    seams = [0, *[(start + previous + tile) // 2 for previous, start in itertools.pairwise(starts)], size]
    return list(zip(starts, seams[:-1], seams[1:], strict=True))
