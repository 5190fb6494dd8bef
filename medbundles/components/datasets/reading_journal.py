"""Which case each loader worker reads, so that what happens to one can be told of its case (TRN008)."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from weakref import WeakSet

import torch
from torch.utils.data import get_worker_info

from medbundles.components.out_of_memory import is_out_of_memory, reason_in_words
from medbundles.errors import DataError, Finding, MedbundlesError, causes, origin, reason_of

# Rows of the table; workers of a higher number share them.
MOST_WORKERS = 256
PATIENCE = 2.0
# What code raises that is wrong whatever it reads: a traceback helps, the case is only mentioned.
MISTAKES = (AttributeError, AssertionError, ImportError, NameError, NotImplementedError, TypeError)


class ReadingJournal:
    """Remembers, in memory that loader workers share, the last case each of them began to read.

    A worker that is killed cannot say anything any more; its entry stays.

    Args:
        records: records of a data list.
    """

    def __init__(self, records: Sequence[Any]) -> None:
        self.records = records
        self._rows = torch.full((MOST_WORKERS, 2), -1, dtype=torch.int64).share_memory_()
        _journals.add(self)

    @contextmanager
    def reading(self, index: int) -> Iterator[None]:
        """Note that a record is being read; whatever fails meanwhile names its case.

        Raises:
            DataError: the record cannot be read or transformed (TRN008).
            MemoryError: there was no memory for it.
        """
        worker = get_worker_info()
        if worker is not None:
            self._rows[worker.id % MOST_WORKERS] = torch.tensor([os.getpid(), index])
        with naming(case_of(self.records[index])):
            yield

    def last_read(self) -> list[tuple[int, str]]:
        """Return the processes that have read something, each with the last case it began."""
        return [(process, case_of(self.records[index])) for process, index in self._rows.tolist() if index >= 0]


_journals: WeakSet[ReadingJournal] = WeakSet()


def last_read(processes: Collection[int]) -> list[str]:
    """Return the cases that loader workers of this program, by their process numbers, read last."""
    return sorted({case for journal in _journals for process, case in journal.last_read() if process in processes})


def last_read_by_the_dead(patience: float = PATIENCE) -> list[str]:
    """Return the cases that loader workers read last that live no more.

    Args:
        patience: seconds to wait for one: its line may be cut a moment before it is gone.
    """
    deadline = time.monotonic() + patience
    while True:
        living = {child.pid for child in multiprocessing.active_children()}
        cases = {case for journal in _journals for process, case in journal.last_read() if process not in living}
        if cases or time.monotonic() > deadline:
            return sorted(cases)
        time.sleep(0.02)


def case_of(record: Any) -> str:
    """Return the name of a record's case."""
    return str(record.get("case", "unknown")) if hasattr(record, "get") else "unknown"


@contextmanager
def naming(case: str) -> Iterator[None]:
    """Let whatever fails in the block name the case.

    Raises:
        MedbundlesError: a refusal, with the case where it named none.
        MemoryError: there was no memory.
        DataError: anything else but an obvious mistake in the code, which is passed on with a note (TRN008).
    """
    try:
        yield
    except Exception as error:
        ours = next((cause for cause in causes(error) if isinstance(cause, MedbundlesError)), None)
        if ours is not None:
            findings = [found if found.case else replace(found, case=case) for found in ours.findings]
            raise type(ours)(ours.message, findings) from error
        if is_out_of_memory(error):
            raise MemoryError(f"case {case}: {reason_in_words(error)}") from error
        first = origin(error)
        if isinstance(first, MISTAKES):
            error.add_note(f"while case {case} was read")
            raise
        message = f"cannot be read or transformed: {type(first).__name__}: {reason_of(error)}"
        fix = "check its files with `medbundles check`, or leave it out of the data list"
        raise DataError(findings=[Finding("TRN008", "error", message, fix, case=case)]) from error
