"""The one way this package writes a file: complete under its name, or not at all."""

from __future__ import annotations

import csv
import errno
import json
import os
import re
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from medbundles.errors import EnvironmentFailure, Finding, OutputConflict

# File size limits (EFBIG) are how a quota looks to a process; to the user it is a full disk as well.
DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
TEMPORARY = re.compile(r"\.[0-9a-f]{8}-.+")


@contextmanager
def atomic_path(path: str | os.PathLike[str], overwrite: bool = True) -> Iterator[Path]:
    """Yield a temporary path in the target's folder; rename it to ``path`` when the block succeeds.

    The temporary file keeps the target's suffixes, so writers that look at them work. Data is flushed to the disk
    before the rename, so a crash leaves either the previous file or the new one.

    Args:
        path: where the finished file shall be.
        overwrite: whether an existing file may be replaced.

    Raises:
        OutputConflict: ``path`` exists and ``overwrite`` is false.
        EnvironmentFailure: the disk is full or a size limit was reached (TRN001); nothing half-written is left.
    """
    target = Path(path)
    if target.exists() and not overwrite:
        raise OutputConflict(f"{target} exists; choose another folder or pass --overwrite true")
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{uuid.uuid4().hex[:8]}-{target.name}")
    try:
        yield temporary
        with temporary.open("rb+") as handle:
            os.fsync(handle.fileno())
        os.replace(temporary, target)  # noqa: PTH105 - the atomic call itself
    except OSError as error:
        if error.errno in DISK_FULL:
            message, fix = f"no space left to write {target}", "free some space and start again"
            raise EnvironmentFailure(findings=[Finding("TRN001", "error", message, fix, file=target.name)]) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


def remove_leftovers(folder: str | os.PathLike[str]) -> None:
    """Remove what a killed process left half-written in a folder and its sub-folders; nobody else may write there."""
    for pattern in (".*-*", "*/.*-*"):
        for path in Path(folder).glob(pattern):
            if TEMPORARY.fullmatch(path.name) and path.is_file():
                path.unlink(missing_ok=True)


def write_text(path: str | os.PathLike[str], text: str, overwrite: bool = True) -> None:
    """Write ``text`` (UTF-8) atomically."""
    with atomic_path(path, overwrite) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | os.PathLike[str], content: Any, overwrite: bool = True) -> None:
    """Write ``content`` as readable JSON atomically; NaN and infinity are refused."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n", overwrite)


def write_csv(
    path: str | os.PathLike[str],
    rows: Iterable[Mapping[str, Any]],
    columns: Sequence[str],
    overwrite: bool = True,
) -> None:
    """Write a table with a header line atomically.

    Args:
        path: where the table shall be.
        rows: one mapping a row; a missing column becomes an empty field.
        columns: the header, in order.
        overwrite: whether an existing file may be replaced.
    """
    with atomic_path(path, overwrite) as temporary, temporary.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, fieldnames=list(columns), restval="", extrasaction="raise")
        writer.writeheader()
        writer.writerows(rows)
