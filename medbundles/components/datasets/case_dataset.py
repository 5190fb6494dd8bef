"""A data set whose failures name their case."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from monai.data import Dataset

from medbundles.components.datasets.reading_journal import ReadingJournal

Item = dict[str, Any]


class CaseDataset(Dataset):
    """MONAI's ``Dataset``; a case that cannot be read, or whose loader worker dies, is named (TRN008).

    Args:
        data: records of a data list.
        transform: what is done to each.
    """

    def __init__(self, data: Sequence[Item], transform: Callable[[Any], Any] | None = None) -> None:
        super().__init__(data=data, transform=transform)
        self.journal = ReadingJournal(data)

    def _transform(self, index: int) -> Any:
        with self.journal.reading(index):
            return self._item(index)

    def _item(self, index: int) -> Any:
        return super()._transform(index)
