"""The data list: which images belong to which case, subject and fold."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

from medbundles.errors import DataError, Finding
from medbundles.io.atomic import write_json

DATALIST_NAME = "datalist.json"
Record = dict[str, Any]
Part = Literal["training", "validation", "testing"]


def read_datalist(dataset_dir: str | os.PathLike[str]) -> dict[str, list[Record]]:
    """Read ``datalist.json`` of a prepared folder.

    Args:
        dataset_dir: the folder that holds ``datalist.json``, or the file itself (its folder is then the root).

    Returns:
        ``{"training": [...], "testing": [...]}``; every record as in the file, paths still relative.

    Raises:
        DataError: the file is missing, is not JSON or has no records (TRN011).
    """
    path = Path(dataset_dir)
    path = path if path.suffix == ".json" else path / DATALIST_NAME
    fix = "make it with `medbundles prepare`, or by hand as docs/how_to/own_data.md shows"
    if not path.is_file():
        raise DataError(findings=[Finding("TRN011", "error", f"no data list at {path}", fix)])
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(findings=[Finding("TRN011", "error", f"not JSON: {error}", fix, file=path.name)]) from error
    parts = {key: content.get(key, []) for key in ("training", "testing")} if isinstance(content, dict) else {}
    if not any(parts.values()):
        message = 'neither "training" nor "testing" holds a record'
        raise DataError(findings=[Finding("TRN011", "error", message, fix, file=path.name)])
    return parts


def write_datalist(dataset_dir: str | os.PathLike[str], training: Sequence[Record], testing: Sequence[Record]) -> None:
    """Write ``datalist.json`` (paths in the records are relative to ``dataset_dir``)."""
    write_json(Path(dataset_dir) / DATALIST_NAME, {"training": list(training), "testing": list(testing)})


def records(dataset_dir: str | os.PathLike[str], part: Part, fold: int = 0) -> list[Record]:
    """Return the records of one part with absolute paths.

    ``training`` and ``validation`` are the records of the list's ``training`` whose ``fold`` differs from and equals
    the given one; ``testing`` never takes part in training.

    Args:
        dataset_dir: a prepared folder.
        part: which records.
        fold: the fold that validates.

    Raises:
        DataError: no data list, or no record in this part (TRN011).
    """
    root = Path(dataset_dir)
    root = root.parent if root.suffix == ".json" else root
    lists = read_datalist(dataset_dir)
    if part == "testing":
        chosen: Iterable[Record] = lists["testing"]
    else:
        chosen = (r for r in lists["training"] if (int(r.get("fold", 0)) == fold) == (part == "validation"))
    found = [_absolute(record, root) for record in chosen]
    if not found:
        folds = sorted({int(record.get("fold", 0)) for record in lists["training"]})
        message = f'no record for {part} with fold {fold} (folds in "training": {folds})'
        raise DataError(findings=[Finding("TRN011", "error", message, "choose another --fold", file=DATALIST_NAME)])
    return found


def _absolute(record: Record, root: Path) -> Record:
    resolved = dict(record)
    for key in ("image", "label"):
        value = record.get(key)
        if isinstance(value, str):
            resolved[key] = str(root / value)
        elif isinstance(value, list):
            resolved[key] = [str(root / item) for item in value]
    first = resolved["image"] if isinstance(resolved["image"], str) else resolved["image"][0]
    resolved.setdefault("case", Path(first).name.split(".nii")[0])
    resolved.setdefault("subject", resolved["case"])
    return resolved
