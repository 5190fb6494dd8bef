"""Batches of training samples in a declared mixture."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import numpy as np
from torch.utils.data import Sampler

from medbundles.components.datasets.site_dataset import (
    BACKGROUND,
    FULL_SLICE,
    HARD_NEGATIVE,
    KINDS,
    SITE,
    Draw,
    SiteDataset,
)
from medbundles.components.distributed import rank, world_size
from medbundles.errors import ConfigurationError

# Whole slices have another size than the others, so they come in batches of their own.
CROPS = (SITE, BACKGROUND, HARD_NEGATIVE)


class MixedSiteSampler(Sampler[list[Draw]]):
    """Yield batches of :class:`Draw`; every epoch is a function of ``(seed, epoch)`` alone.

    Where the dataset knows no hard negatives their share goes to the background. Sites are visited in a random order
    without repetition until all have been seen; records likewise. In distributed training every process draws the same
    epoch and takes each ``world_size``-th batch.

    Args:
        dataset: where the samples come from.
        batch_size: crops in a batch.
        samples_per_epoch: samples of all kinds in an epoch, over all processes.
        sampling: share of each kind, ``{"site": .45, "background": .3, "hard_negative": .24, "full_slice": .01}``;
            scaled to sum 1.
        full_slice_batch_size: whole slices in a batch; 1 unless all scans have the same size.
        seed: seed of the run.

    Raises:
        ConfigurationError: an unknown kind, a negative share, or no share at all.
    """

    def __init__(
        self,
        dataset: SiteDataset,
        batch_size: int,
        samples_per_epoch: int,
        sampling: Mapping[str, float],
        full_slice_batch_size: int = 1,
        seed: int = 0,
    ) -> None:
        unknown = sorted(set(sampling) - set(KINDS))
        if unknown or min(sampling.values(), default=-1) < 0 or sum(sampling.values()) <= 0:
            raise ConfigurationError(f"sampling needs non-negative shares of {', '.join(KINDS)}; got {dict(sampling)}")
        if min(batch_size, samples_per_epoch, full_slice_batch_size) < 1:
            raise ConfigurationError("batch_size, samples_per_epoch and full_slice_batch_size must be at least 1")
        self.dataset = dataset
        self.batch_sizes = dict.fromkeys(CROPS, batch_size) | {FULL_SLICE: full_slice_batch_size}
        total = sum(sampling.values())
        self.counts = {kind: round(samples_per_epoch * sampling.get(kind, 0.0) / total) for kind in KINDS}
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration yields."""
        self.epoch = epoch

    def __len__(self) -> int:
        """Return the number of batches of this process in an epoch."""
        crops = math.ceil(sum(self.counts[kind] for kind in CROPS) / self.batch_sizes[SITE])
        slices = math.ceil(self.counts[FULL_SLICE] / self.batch_sizes[FULL_SLICE])
        return max((crops + slices) // world_size(), 1)

    def __iter__(self) -> Iterator[list[Draw]]:
        """Yield this process's batches of the epoch."""
        generator = np.random.default_rng([self.seed, self.epoch])
        crops = [draw for kind in CROPS for draw in self._draws(kind, generator)]
        generator.shuffle(crops)
        groups = (crops, SITE), (self._draws(FULL_SLICE, generator), FULL_SLICE)
        batches = [
            draws[start : start + self.batch_sizes[kind]]
            for draws, kind in groups
            for start in range(0, len(draws), self.batch_sizes[kind])
        ]
        order = generator.permutation(len(batches))
        # The same number for every process, or they would wait for each other forever; too few are drawn again.
        shared = np.resize(order, len(self) * world_size())
        yield from (batches[index] for index in shared[rank() :: world_size()])

    def _draws(self, kind: str, generator: np.random.Generator) -> list[Draw]:
        """Return the epoch's draws of one kind: shuffled rounds through all sites or records."""
        if kind == HARD_NEGATIVE and not self.dataset.hard_negatives:
            kind, count = BACKGROUND, self.counts[HARD_NEGATIVE]
        else:
            count = self.counts[kind]
        if not count:
            return []  # a bundle without sites has none to ask for
        pool = self._pool(kind)
        rounds = [generator.permutation(len(pool)) for _ in range(math.ceil(count / len(pool)))]
        chosen = np.concatenate(rounds)[:count]
        seeds = generator.integers(0, 2**32 - 1, size=count)
        return [
            Draw(pool[int(index)][0], kind, pool[int(index)][1], int(seed))
            for index, seed in zip(chosen, seeds, strict=True)
        ]

    def _pool(self, kind: str) -> list[tuple[int, int]]:
        if kind == SITE:
            return self.dataset.sites
        if kind == HARD_NEGATIVE:
            return self.dataset.hard_negatives
        return [(record, -1) for record in range(len(self.dataset.entries))]
