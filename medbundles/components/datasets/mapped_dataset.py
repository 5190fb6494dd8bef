"""Whole records from the memory-mapped cache."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from monai.transforms import Compose, RandomizableTrait

from medbundles.components.datasets.case_dataset import CaseDataset
from medbundles.components.datasets.mapped_cache import Item, MappedCache, read_entry


class MappedDataset(CaseDataset):
    """Like MONAI's ``PersistentDataset``, with memory-mapped arrays: whole records, e.g. scans for validation.

    The transforms before the first random one run once and are cached; the rest runs at every access.

    Args:
        data: records of a data list.
        transform: a ``Compose`` of deterministic transforms, then random ones.
        cache_dir: see :func:`medbundles.components.datasets.mapped_cache.cache_directory`.
        cache_workers: processes that fill the cache; 0 uses this one.
    """

    def __init__(
        self,
        data: Sequence[Item],
        transform: Compose,
        cache_dir: str | os.PathLike[str] | None = "auto",
        cache_workers: int = 0,
    ) -> None:
        deterministic, rest = split_transforms(transform)
        super().__init__(data=data, transform=rest)
        self.cache = MappedCache(cache_dir, deterministic)
        self.cache_workers = cache_workers

    @cached_property
    def entries(self) -> list[Path]:
        """The folder of each record's arrays; the cache is filled when this is first asked for."""
        return self.cache.build(list(self.data), self.cache_workers)

    def _item(self, index: int) -> Item:
        item = self.finish(read_entry(self.entries[index], self.data[index]))
        # Annotations stay in the record: they are of any number and may hold null, and no batch is made of that.
        return {key: value for key, value in item.items() if not _is_annotation(value)}

    def finish(self, item: Item) -> Item:
        """Apply the transforms that are not cached."""
        finished: Item = self.transform(item)
        return finished


def _is_annotation(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(entry, dict) for entry in value)


def split_transforms(transform: Compose) -> tuple[Compose, Compose]:
    """Split a ``Compose`` before its first random transform."""
    flat: list[Callable[[Any], Any]] = list(transform.flatten().transforms)
    first = next((i for i, one in enumerate(flat) if isinstance(one, RandomizableTrait)), len(flat))
    return Compose(flat[:first]), Compose(flat[first:])
