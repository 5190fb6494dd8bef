"""The cases of an inference: found once, checked once."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cached_property
from typing import overload

from medbundles.checks.cases import check_cases
from medbundles.errors import DataError, Finding
from medbundles.io.cases import find_cases
from medbundles.io.datalist import Record
from medbundles.io.headers import Geometry


class InferenceCases(Sequence[Record]):
    """The good cases of a folder, as a sequence of records for a data set; :meth:`check` goes to ``RunSession``.

    Nothing is looked at before the first use, so a configuration can be built where the data are absent.

    Args:
        dataset_dir: prepared folder or raw cases.
        channels: the network's contrasts, in order.
        modality: ``CT`` takes the values as HU.
        allow: fault codes to let pass.
        geometry: ``sform`` or ``qform`` where a NIfTI file's two disagree.
        skip_bad_cases: leave bad cases out instead of refusing all.
    """

    def __init__(
        self,
        dataset_dir: str | os.PathLike[str],
        channels: Sequence[str],
        modality: str | None = None,
        allow: Sequence[str] = (),
        geometry: Geometry | None = None,
        skip_bad_cases: bool = False,
    ) -> None:
        self.dataset_dir = dataset_dir
        self.channels = list(channels)
        self.modality = modality
        self.allow = list(allow)
        self.geometry: Geometry | None = geometry
        self.skip_bad_cases = skip_bad_cases

    @cached_property
    def _checked(self) -> tuple[list[Record], list[Finding]]:
        return check_cases(
            find_cases(self.dataset_dir, self.channels),
            channels=self.channels,
            modality=self.modality,
            allow=self.allow,
            geometry=self.geometry,
            skip_bad_cases=self.skip_bad_cases,
        )

    def check(self) -> list[Finding]:
        """Return every finding; errors are those of cases that are left out.

        Raises:
            DataError: a case is bad and none may be left out, or no good case is left.
        """
        return self._checked[1]

    def __len__(self) -> int:
        """Return the number of good cases; 0 where the folder cannot be used (a run is refused before)."""
        try:
            return len(self._checked[0])
        except DataError:
            return 0

    @overload
    def __getitem__(self, index: int) -> Record: ...
    @overload
    def __getitem__(self, index: slice) -> list[Record]: ...
    def __getitem__(self, index: int | slice) -> Record | list[Record]:
        """Return one or several good cases."""
        return self._checked[0][index]
