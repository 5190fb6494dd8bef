"""Small training samples drawn from large volumes."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from monai.transforms import Compose

from medbundles.components.datasets.mapped_cache import Item, read_entry
from medbundles.components.datasets.mapped_dataset import MappedDataset
from medbundles.components.datasets.seeded_transforms import SeededTransforms
from medbundles.errors import DataError, Finding
from medbundles.io.grids import flip_lps, to_index
from medbundles.io.hard_negatives import HardNegative, by_case, read_hard_negatives

logger = logging.getLogger(__name__)

# Kinds of samples: around a site; anywhere in the tissue; at a place that only looks like a site; a whole slice.
SITE, BACKGROUND, HARD_NEGATIVE, FULL_SLICE = KINDS = ("site", "background", "hard_negative", "full_slice")


class Draw(NamedTuple):
    """What a sampler asks for: a record, a kind of sample, which of the record's sites or places, the random seed."""

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
        hard_negatives: table of places that look like a site and are none
            (:func:`medbundles.io.hard_negatives.hard_negatives_path`); None: there is none. It is not part of what is
            cached, so a new table costs nothing.
    """

    def __init__(
        self,
        data: Sequence[Item],
        transform: Compose,
        cache_dir: str | os.PathLike[str] | None = "auto",
        cache_workers: int = 0,
        hard_negatives: str | os.PathLike[str] | None = None,
    ) -> None:
        super().__init__(data, transform, cache_dir, cache_workers)
        self._seeded = SeededTransforms(self.transform)
        self._table = hard_negatives
        self._places = by_case(read_hard_negatives(hard_negatives)) if hard_negatives else {}

    @cached_property
    def hard_negatives(self) -> list[tuple[int, int]]:
        """Every hard negative as ``(record, place of this record)``; cases of other parts of the list are left out."""
        places = [(index, place) for index in range(len(self.data)) for place in range(len(self._places_of(index)))]
        if self._table and not places:
            logger.warning("no hard negative of these cases in %s: background takes their share", self._table)
        return places

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
        with self.journal.reading(index.record):
            return self._sample(index)

    def _sample(self, index: Draw) -> Any:
        item = read_entry(self.entries[index.record], self.data[index.record])
        item |= {"kind": index.kind, "site": index.site}
        if index.kind == HARD_NEGATIVE:
            center = flip_lps(self._places_of(index.record)[index.site].center_lps_mm)
            item["place"] = np.rint(to_index(np.asarray(item["image"].affine), center)).astype(int).tolist()
        return self._seeded(item, index.seed)

    def _places_of(self, record: int) -> list[HardNegative]:
        return self._places.get(str(self.data[record].get("case", "")), [])
