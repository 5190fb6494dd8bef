"""The output folder of a preparation: held by one run, continued after a kill, complete or without a data list."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from medbundles.errors import Finding, OutputConflict
from medbundles.io.atomic import remove_leftovers, write_json
from medbundles.io.datalist import DATALIST_NAME
from medbundles.io.hashing import sha256_file
from medbundles.io.locks import LOCK_NAME, FolderLock

PROGRESS_FOLDER = ".prepare"


def refuse_existing(output: Path, overwrite: bool) -> None:
    """Refuse a folder that is finished already, or that something else filled.

    A folder that an interrupted preparation left is neither: it is continued.

    Raises:
        OutputConflict: the folder must not be written to without ``overwrite`` (TRN005).
    """
    if overwrite or not output.exists():
        return
    fix = "choose another --output or pass --overwrite"
    if not output.is_dir():
        raise OutputConflict(findings=[Finding("TRN005", "error", "the output is a file", fix, file=output.name)])
    entries = {path.name for path in output.iterdir()} - {LOCK_NAME}
    if DATALIST_NAME in entries:
        message = "the folder is prepared already"
        raise OutputConflict(findings=[Finding("TRN005", "error", message, fix, file=DATALIST_NAME)])
    if entries and PROGRESS_FOLDER not in entries:
        message = f"the folder holds other files, {min(entries)} for instance"
        raise OutputConflict(findings=[Finding("TRN005", "error", message, fix, file=output.name)])


class Workspace:
    """Hold an output folder while cases are written to it.

    On entering, what a killed run left half-written is removed, and so is the data list of an earlier preparation:
    a folder with a data list is complete.

    Args:
        output: the folder; made when it is missing.
        folders: what the cases' files lie in, made with it.
    """

    def __init__(self, output: Path, folders: Sequence[str] = ("images", "labels")) -> None:
        self.output = output
        self.folders = folders
        self._lock = FolderLock(output)

    def __enter__(self) -> Workspace:
        self._lock.acquire()
        (self.output / DATALIST_NAME).unlink(missing_ok=True)
        for name in (*self.folders, PROGRESS_FOLDER):
            (self.output / name).mkdir(parents=True, exist_ok=True)
        # The run that was killed may have written to other folders than this one does.
        remove_leftovers(self.output)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.release()

    def forget_others(self, cases: Iterable[str]) -> None:
        """Remove what an earlier preparation wrote for cases that are not among these."""
        kept = set(cases)
        for path in (self.output / PROGRESS_FOLDER).glob("*.json"):
            if path.stem not in kept:
                for name in json.loads(path.read_text(encoding="utf-8")).get("files", {}):
                    (self.output / name).unlink(missing_ok=True)
                path.unlink()


def finish_once(
    output: Path, case: str, key: str, make: Callable[[], tuple[dict[str, Any], Iterable[str]]]
) -> tuple[dict[str, Any], bool]:
    """Make a case's files, unless an earlier run has done exactly that.

    Files that an earlier preparation, with other options, wrote for the case and this one did not are removed.

    Args:
        output: the prepared folder.
        case: the case's name.
        key: hash of everything the case's files depend on.
        make: writes the files; returns what is to be known of the case as plain data, and the files' names.

    Returns:
        What is known of the case, and whether an earlier run had finished it.
    """
    stored = _load_finished(output, case, key)
    if stored is not None:
        return stored, True
    content, files = make()
    return _store_finished(output, case, {"key": key, **content}, files), False


def _load_finished(output: Path, case: str, key: str) -> dict[str, Any] | None:
    """Return what was stored for a finished case; ``None`` when the key differs or a file is missing or changed."""
    path = output / PROGRESS_FOLDER / f"{case}.json"
    if not path.is_file():
        return None
    stored: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if stored.get("key") != key:
        return None
    files = {output / name: sha for name, sha in stored["files"].items()}
    intact = all(file.is_file() and sha256_file(file) == sha for file, sha in files.items())
    return stored if intact else None


def _store_finished(output: Path, case: str, content: dict[str, Any], files: Iterable[str]) -> dict[str, Any]:
    """Store a finished case with the hashes of its files and return what was stored."""
    stored = {**content, "files": {name: sha256_file(output / name) for name in files}}
    path = output / PROGRESS_FOLDER / f"{case}.json"
    earlier = json.loads(path.read_text(encoding="utf-8")).get("files", {}) if path.is_file() else {}
    for name in set(earlier) - set(stored["files"]):
        (output / name).unlink(missing_ok=True)
    write_json(path, stored)
    return stored
