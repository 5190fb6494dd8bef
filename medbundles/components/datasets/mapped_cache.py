"""Preprocessed records as memory-mapped arrays.

MONAI's ``PersistentDataset`` pickles whole items and reads them whole: a 64x64x7 crop out of a chest CT would cost
150 MB of reading. Here every array lies in a ``.npy`` file that is mapped, so a crop touches only its own pages.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import re
import shutil
import sys
import time
import uuid
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from mmap import ACCESS_COPY, mmap
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from monai.data import MetaTensor
from rich.console import Console
from rich.progress import Progress
from torch.utils.data import get_worker_info

from medbundles.components.datasets.reading_journal import case_of, naming
from medbundles.components.datasets.transform_key import transform_key
from medbundles.components.distributed import is_writer
from medbundles.errors import EnvironmentFailure, Finding
from medbundles.io.datalist import FILE_KEYS
from medbundles.io.hashing import sha256_data
from medbundles.io.sealed import read_sealed, write_sealed
from medbundles.io.user_cache import user_cache
from medbundles.io.workers import start_worker

Item = dict[str, Any]
CONTENT_NAME = "content.json"
# Part of an entry's name: raise it when an entry is written in another form, those of other forms are not found then.
ENTRY_FORMAT = 2
MOST_LAYOUTS = 4096
TEMPORARY = re.compile(r"\.[0-9a-f]{32}")
# No scan takes a day to prepare: an unfinished entry that old belongs to a process that was killed.
ABANDONED_S = 24 * 3600

logger = logging.getLogger(__name__)


class StaleEntry(Exception):
    """An entry of the cache is incomplete or damaged (TRN006); it is built again."""


def cache_directory(cache: str | os.PathLike[str] | None) -> Path:
    """Return where preprocessed arrays are kept.

    Args:
        cache: a folder, or ``auto``/``None`` for the environment variable ``MEDBUNDLES_CACHE`` or else the user's
            cache folder of the operating system.
    """
    if cache in (None, "auto"):
        return user_cache("volumes")
    return Path(str(cache))


class MappedCache:
    """A folder of preprocessed records, keyed by their files, the transforms and the code.

    What a transform reads of a record besides its files it has to name in an attribute ``record_keys``: those entries
    are part of the key, too.

    Args:
        directory: where the entries lie; shared by runs and bundles.
        transform: the deterministic part of the preprocessing, ``record -> item``.
    """

    def __init__(self, directory: str | os.PathLike[str] | None, transform: Callable[[Item], Item]) -> None:
        self.directory = cache_directory(directory)
        self.transform = transform
        self._key = transform_key(transform)
        steps = getattr(transform, "transforms", (transform,))
        self._record_keys = sorted({key for step in steps for key in getattr(step, "record_keys", ())})

    def entry(self, record: Item) -> Path:
        """Return the folder of a record's entry; it changes with a file, an argument, the code or what is read."""
        files = [(str(path), os.stat(path).st_size, os.stat(path).st_mtime_ns) for path in files_of(record)]  # noqa: PTH116
        read = [{key: record[key] for key in self._record_keys if key in record}] if self._record_keys else []
        return self.directory / sha256_data([ENTRY_FORMAT, self._key, files, *read])[:32]

    def build(self, records: Sequence[Item], workers: int = 0, title: str = "preprocessing") -> list[Path]:
        """Make or verify the entries of all records; a line on the standard error stream says so where one is made.

        Args:
            records: records of a data list.
            workers: processes to use; 0 works in this one.
            title: what the line and, on a terminal, the progress bar say.

        Returns:
            The folder of each record's entry, in order.
        """
        entries = [self.entry(record) for record in records]
        missing = [record for record, entry in zip(records, entries, strict=True) if not self._is_good(entry)]
        if missing:
            self._remove_abandoned()
            with _announced(f"{title} {len(missing)} of {len(records)} scan(s) into {self.directory}"):
                self._write_all(missing, workers, title)
        return entries

    def _write_all(self, missing: Sequence[Item], workers: int, title: str) -> None:
        shown = _speaks() and sys.stderr.isatty()
        with Progress(console=Console(stderr=True), transient=True, disable=not shown) as progress:
            task = progress.add_task(title, total=len(missing))
            if workers > 1 and len(missing) > 1:
                context = multiprocessing.get_context("spawn")
                count = min(workers, len(missing))
                with ProcessPoolExecutor(count, mp_context=context, initializer=start_worker) as pool:
                    records = {pool.submit(self.write, record): record for record in missing}
                    try:
                        for future in as_completed(records):
                            self._finish(future, records, workers)
                            progress.advance(task)
                    except BaseException:
                        # Whoever stops, or is refused, waits for the scans under way and not for all of them.
                        pool.shutdown(cancel_futures=True)
                        raise
            else:
                # Trainings that start together, one a core, share the work: each begins somewhere else and leaves out
                # what another has made by then.
                first = os.getpid() % len(missing)
                for record in [*missing[first:], *missing[:first]]:
                    if not self.entry(record).exists():
                        self.write(record)
                    progress.advance(task)

    def _remove_abandoned(self) -> None:
        before = time.time() - ABANDONED_S
        for path in self.directory.glob(".*"):
            # Another process may be finishing it right now.
            with suppress(FileNotFoundError):
                if TEMPORARY.fullmatch(path.name) and path.stat().st_mtime < before:
                    shutil.rmtree(path, ignore_errors=True)

    @staticmethod
    def _finish(future: Future[Path], records: dict[Future[Path], Item], workers: int) -> None:
        """Raise what a record's preparation raised, and name the records that a dying process may have had."""
        try:
            future.result()
        except BrokenProcessPool as error:
            broken = [record for each, record in records.items() if isinstance(each.exception(), BrokenProcessPool)]
            cases = ", ".join(case_of(record) for record in broken[:workers])
            message = f"a process that prepared scans died; it had one of the cases {cases}"
            fix = "memory may have run out: take fewer workers"
            raise EnvironmentFailure(findings=[Finding("TRN008", "error", message, fix)]) from error

    def _is_good(self, entry: Path) -> bool:
        if not entry.exists():
            return False
        try:
            verify_entry(entry)
        except StaleEntry as problem:
            logger.warning("warning[TRN006] cache entry %s: %s; it is built again", entry.name, problem)
            shutil.rmtree(entry, ignore_errors=True)
            return False
        return True

    def write(self, record: Item) -> Path:
        """Preprocess one record and store it; the entry appears whole or not at all."""
        entry = self.entry(record)
        with naming(case_of(record)):
            item = self.transform(dict(record))
        temporary = self.directory / f".{uuid.uuid4().hex}"
        temporary.mkdir(parents=True)
        try:
            write_entry(temporary, item)
            try:
                temporary.rename(entry)
            except OSError:
                # Another process finished the same entry first; both hold the same bytes.
                if not entry.exists():
                    raise
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return entry


@contextmanager
def _announced(what: str) -> Iterator[None]:
    """Say what begins, and when it is done how long it took; among several processes one speaks."""
    if not _speaks():
        yield
        return
    started = time.perf_counter()
    print(f"{what} ...", file=sys.stderr, flush=True)
    yield
    print(f"... done in {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)


def _speaks() -> bool:
    worker = get_worker_info()
    return is_writer() and (worker is None or worker.id == 0)


def files_of(record: Item) -> list[str]:
    """Return the image, label and mask files that a record names; null stands for an absent contrast."""
    found: list[str] = []
    for key in FILE_KEYS:
        value = record.get(key)
        found += [value] if isinstance(value, str) else [file for file in value or [] if file is not None]
    return found


def write_entry(folder: Path, item: Item) -> None:
    """Store an item: arrays as ``KEY.npy`` (first spatial axis fastest), everything else in ``content.json``."""
    content: dict[str, Any] = {"arrays": {}, "values": {}}
    for key, value in item.items():
        if isinstance(value, torch.Tensor | np.ndarray):
            affine = value.affine.tolist() if isinstance(value, MetaTensor) else None
            array = np.asarray(value.detach().cpu() if isinstance(value, torch.Tensor) else value)
            # Slices along the last axis become contiguous, which is how they are read.
            array = np.asfortranarray(array)
            np.save(folder / f"{key}.npy", array)
            content["arrays"][key] = {
                "affine": affine,
                "bytes": (folder / f"{key}.npy").stat().st_size,
                "crc32": _crc32(folder / f"{key}.npy"),
            }
        elif not key.endswith(("_meta_dict", "_transforms")):
            content["values"][key] = value
    write_sealed(folder / CONTENT_NAME, content)


def verify_entry(folder: Path) -> None:
    """Check an entry against its recorded sizes and checksums.

    Raises:
        StaleEntry: with what is wrong.
    """
    try:
        content = read_sealed(folder / CONTENT_NAME)
    except (OSError, ValueError) as error:
        raise StaleEntry(f"{CONTENT_NAME} is missing or damaged") from error
    for key, expected in content["arrays"].items():
        path = folder / f"{key}.npy"
        found = path.stat().st_size if path.exists() else 0
        if found != expected["bytes"]:
            raise StaleEntry(f"{path.name} has {found} bytes instead of {expected['bytes']}")
        if _crc32(path) != expected["crc32"]:
            raise StaleEntry(f"{path.name} has another checksum than when it was written")


def read_entry(folder: Path, record: Item | None = None) -> Item:
    """Return the item of an entry; arrays are mapped, not read, and changes to them never reach the file.

    Args:
        folder: the entry.
        record: what the data list says now: an entry is known by its files alone, and its case may have been renamed.
    """
    layout = _layout_of(folder, (folder / CONTENT_NAME).stat().st_mtime_ns)
    said_now = {key: value for key, value in (record or {}).items() if key not in layout.arrays}
    item: Item = _copied(layout.values | said_now)
    for key, array in layout.arrays.items():
        tensor = torch.from_numpy(array.map(folder / f"{key}.npy"))
        if array.affine is not None:
            meta = {"case": str(item.get("case", folder.name))}
            tensor = MetaTensor(tensor, affine=torch.tensor(array.affine, dtype=torch.float64), meta=meta)
        item[key] = tensor
    return item


def _copied(value: Any) -> Any:
    """Copy what JSON can hold; for every sample, so without deepcopy's memory of what it has met."""
    if isinstance(value, dict):
        return {key: _copied(one) for key, one in value.items()}
    return [_copied(one) for one in value] if isinstance(value, list) else value


@dataclass(frozen=True)
class _Array:
    """Where an array lies in its ``.npy`` file."""

    shape: tuple[int, ...]
    order: Literal["C", "F"]
    dtype: np.dtype[Any]
    offset: int
    affine: list[list[float]] | None

    def map(self, path: Path) -> npt.NDArray[Any]:
        with path.open("rb") as handle:
            content = mmap(handle.fileno(), 0, access=ACCESS_COPY)
        return np.ndarray(self.shape, self.dtype, content, self.offset, order=self.order)


@dataclass(frozen=True)
class _Layout:
    """What does not change of an entry: its plain values and where its arrays lie."""

    values: Item
    arrays: dict[str, _Array]


@lru_cache(maxsize=MOST_LAYOUTS)
def _layout_of(folder: Path, written_ns: int) -> _Layout:
    """Read an entry's layout once a process: parsing it again for every sample would cost more than the crop."""
    content = read_sealed(folder / CONTENT_NAME)
    return _Layout(
        content["values"],
        {key: _layout(folder / f"{key}.npy", each["affine"]) for key, each in content["arrays"].items()},
    )


def _layout(path: Path, affine: list[list[float]] | None) -> _Array:
    found: np.memmap[Any, Any] = np.load(path, mmap_mode="r")
    return _Array(found.shape, "F" if found.flags.f_contiguous else "C", found.dtype, found.offset, affine)


def _crc32(path: Path) -> int:
    checksum = 0
    with path.open("rb") as handle:
        while chunk := handle.read(1 << 22):
            checksum = zlib.crc32(chunk, checksum)
    return checksum
