"""Small training samples drawn from large volumes."""

from __future__ import annotations

from functools import cached_property
from typing import Any, NamedTuple

from monai.transforms import Compose

from medbundles.components.datasets.mapped_cache import read_entry
from medbundles.components.datasets.mapped_dataset import MappedDataset
from medbundles.errors import DataError, Finding


class Draw(NamedTuple):
    """What a sampler asks for: which record, which kind of sample, which of the record's sites, and the random seed."""

    record: int
    kind: str
    site: int
    seed: int


class SiteDataset(MappedDataset):
    """Samples around sites (e.g. nodules), in the background, or of whole slices.

    Every sample depends on its :class:`Draw` alone: neither the number of workers nor what was drawn before changes
    it. That mends MONAI's random transforms, whose private generators no checkpoint restores.

    The cached part of ``transform`` must leave a list ``sites`` in the item (see
    :class:`medbundles.components.transforms.FindSitesd`); the random part finds the drawn ``kind`` and ``site`` in it.

    Args:
        data: records of a data list.
        transform: deterministic transforms, then random ones.
        cache_dir: see :func:`medbundles.components.datasets.mapped_cache.cache_directory`.
        cache_workers: processes that fill the cache; 0 uses this one.
    """

    @cached_property
    def sites(self) -> list[tuple[int, int]]:
        """Every site as ``(record, site of this record)``.

        Raises:
            DataError: not a single site in any record (NII011).
        """
        counts = [len(read_entry(entry).get("sites", [])) for entry in self.entries]
        sites = [(record, site) for record, count in enumerate(counts) for site in range(count)]
        if not sites:
            message = f"the labels of all {len(counts)} training records are empty"
            raise DataError(findings=[Finding("NII011", "error", message, "check the label files of the data list")])
        return sites

    def __getitem__(self, index: Any) -> Any:
        """Return the sample of a :class:`Draw`, or the whole record of an integer index."""
        if not isinstance(index, Draw):
            return super().__getitem__(index)
        item = read_entry(self.entries[index.record], self.data[index.record])
        item |= {"kind": index.kind, "site": index.site}
        if isinstance(self.transform, Compose):
            self.transform.set_random_state(seed=index.seed)
        return self.finish(item)
