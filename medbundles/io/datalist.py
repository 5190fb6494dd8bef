"""The data list: which images belong to which case, subject and fold."""

from __future__ import annotations

import json
import logging
import math
import os
import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, overload

from medbundles.errors import DataError, Finding
from medbundles.io.atomic import write_json
from medbundles.io.grids import case_name

DATALIST_NAME = "datalist.json"
PARTS = ("training", "testing")
# The names of the images of every record, in their order; a list without them has records that say so themselves.
CHANNELS_KEY = "channels"
# What of a record is a path, or a list of paths.
FILE_KEYS = ("image", "label", "mask")
Record = dict[str, Any]
Part = Literal["training", "validation", "testing"]

logger = logging.getLogger(__name__)


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
    content = content if isinstance(content, dict) else {}
    parts = {key: content.get(key, []) for key in PARTS}
    wrong = _misnamed(content) + _malformed(parts)
    malformed = [Finding("TRN011", "error", text, fix, file=path.name) for text in wrong]
    if malformed:
        raise DataError(findings=malformed)
    if not any(parts.values()):
        message = 'neither "training" nor "testing" holds a record'
        raise DataError(findings=[Finding("TRN011", "error", message, fix, file=path.name)])
    return parts


def _misnamed(content: dict[str, Any]) -> list[str]:
    """Return what is said of records under another name than a part's: ``"test"`` would be left out in silence."""
    return [
        f'records under "{name}", expected "training" (its folds say who validates) or "testing"'
        for name, entries in content.items()
        if name not in PARTS and isinstance(entries, list) and any(isinstance(entry, dict) for entry in entries)
    ]


def _malformed(parts: dict[str, Any]) -> list[str]:
    """Return what keeps records from being read: anything but a path, or a list of paths and null, under ``image``."""
    texts = []
    for part, entries in parts.items():
        if not isinstance(entries, list):
            texts.append(f'"{part}" is no list of records')
            continue
        for number, record in enumerate(entries, start=1):
            image = record.get("image") if isinstance(record, dict) else None
            # null in a list stands for an absent contrast; who may do without is for the checks to say (NII008).
            paths = [item for item in image if item is not None] if isinstance(image, list) else [image]
            if not paths or not all(isinstance(item, str) and item for item in paths):
                texts.append(f'record {number} of "{part}" has no "image" that is a path or a list of paths')
                continue
            texts += [f'record {number} of "{part}": {wrong}' for wrong in _wrong_values(record)]
    return texts


def _wrong_values(record: Record) -> list[str]:
    """Return what a record says besides its image that cannot be meant."""
    texts = []
    if not re.fullmatch(r"-?[0-9]+", str(record.get("fold", 0))):
        texts.append(f"fold {record['fold']!r} is no number")
    labels = record["label"] if isinstance(record.get("label"), list) else [record.get("label") or ""]
    if not all(isinstance(label, str) for label in labels):
        texts.append(f"label {record['label']!r} is no path")
    texts += [
        f"{key} {record[key]!r} is no text"
        for key in ("case", "subject")
        if key in record and not (isinstance(record[key], str) and record[key])
    ]
    # Python reads NaN where JSON has none; caches and records that repeat the field could not be written.
    return texts + [f"{key} holds NaN or an infinite number" for key, value in record.items() if _is_nonfinite(value)]


def _is_nonfinite(value: Any) -> bool:
    if isinstance(value, dict | list):
        return any(map(_is_nonfinite, value.values() if isinstance(value, dict) else value))
    return isinstance(value, float) and not math.isfinite(value)


def write_datalist(
    dataset_dir: str | os.PathLike[str],
    training: Sequence[Record],
    testing: Sequence[Record],
    channels: Sequence[str] = (),
) -> None:
    """Write ``datalist.json`` (paths in the records are relative to ``dataset_dir``).

    Args:
        dataset_dir: the prepared folder.
        training: its records, each with a fold.
        testing: records that never take part in training.
        channels: names of every record's images in their order, where several belong to one record.
    """
    named = {CHANNELS_KEY: list(channels)} if channels else {}
    write_json(Path(dataset_dir) / DATALIST_NAME, {**named, "training": list(training), "testing": list(testing)})


def listed_channels(dataset_dir: str | os.PathLike[str]) -> list[str] | None:
    """Return the names of a data list's channels in the order of each record's images; None where it names none."""
    path = Path(dataset_dir)
    path = path if path.suffix == ".json" else path / DATALIST_NAME
    content = json.loads(path.read_text(encoding="utf-8-sig"))
    names = content.get(CHANNELS_KEY) if isinstance(content, dict) else None
    return [str(name) for name in names] if isinstance(names, list) else None


def records(
    dataset_dir: str | os.PathLike[str],
    part: Part,
    fold: int = 0,
    channels: Sequence[str] | None = None,
    optional: bool = False,
) -> list[Record]:
    """Return the records of one part with absolute paths; ``None`` among the images stays for an absent one.

    ``training`` and ``validation`` are the records of the list's ``training`` whose ``fold`` differs from and equals
    the given one; ``testing`` never takes part in training.

    Args:
        dataset_dir: a prepared folder.
        part: which records.
        fold: the fold that validates.
        channels: which images to take and in what order, where the data list names its channels; None takes all.
        optional: whether a channel that the list does not name is absent (``None``) instead of an error.

    Raises:
        DataError: no data list, or no record in this part (TRN011); a channel that the list does not name, or none of
            all of them; another order than that of the volumes in a 4D image (NII008).
    """
    root = Path(dataset_dir)
    root = root.parent if root.suffix == ".json" else root
    lists = read_datalist(dataset_dir)
    places = _places_of(channels, listed_channels(dataset_dir), optional)
    if part == "testing":
        chosen: Iterable[Record] = lists["testing"]
    else:
        chosen = (r for r in lists["training"] if (int(r.get("fold", 0)) == fold) == (part == "validation"))
    found = [_with_images(_absolute(record, root), places) for record in chosen]
    if not found:
        folds = sorted({int(record.get("fold", 0)) for record in lists["training"]})
        message = f'no record for {part} with fold {fold} (folds in "training": {folds})'
        raise DataError(findings=[Finding("TRN011", "error", message, _fold_advice(part, folds), file=DATALIST_NAME)])
    return found


def _places_of(channels: Sequence[str] | None, listed: Sequence[str] | None, optional: bool) -> list[int | None] | None:
    """Return where the wanted channels stand among the listed ones; None where nothing is to be chosen."""
    if channels is None or listed is None:
        return None
    missing = [name for name in channels if name not in listed]
    if missing and not (optional and len(missing) < len(channels)):
        message = f"no channel {', '.join(missing)}; the data list has {', '.join(listed)}"
        fix = "choose some of these, or prepare the data with the channels you want"
        raise DataError(findings=[Finding("NII008", "error", message, fix, file=DATALIST_NAME)])
    return [listed.index(name) if name in listed else None for name in channels]


def _with_images(record: Record, places: Sequence[int | None] | None) -> Record:
    images = [record["image"]] if isinstance(record["image"], str) else record["image"]
    wanted = [place for place in places or () if place is not None]
    if places is None or not places or list(places) == list(range(len(images))):
        return record
    if len(images) == 1 < max(wanted) + 1 and list(places) != list(range(len(places))):
        message = "a 4D image holds all channels in the data list's order; some of them, or another order, are wanted"
        fix = "give one 3D file for each channel"
        raise DataError(findings=[Finding("NII008", "error", message, fix, case=str(record["case"]))])
    if max(wanted) >= len(images):
        return record  # a wrong number of images is for the checks to say (NII008)
    chosen = [None if place is None else images[place] for place in places]
    return record | {"image": chosen[0] if len(chosen) == 1 and chosen[0] is not None else chosen}


def _fold_advice(part: Part, folds: Sequence[int]) -> str:
    if part == "testing":
        return 'add records under "testing", or --part validation'
    if len(folds) > 1:
        return "choose another --fold"
    return 'give the records under "training" at least two different values of "fold": 0, 1, ...'


class Records(Sequence[Record]):
    """The records of one part of a data list, read when they are first needed.

    A configuration can be built (and its properties checked) where the data are absent: there are no records then,
    and a warning says so. A run is refused before that by the checks of its data.

    Args:
        dataset_dir: a prepared folder.
        part: which records, see :func:`records`.
        fold: the fold that validates.
        channels: which images of each record, see :func:`records`.
        optional: whether a channel that the list does not name is absent.
    """

    def __init__(
        self,
        dataset_dir: str | os.PathLike[str],
        part: Part,
        fold: int = 0,
        channels: Sequence[str] | None = None,
        optional: bool = False,
    ) -> None:
        self.dataset_dir = dataset_dir
        self.part = part
        self.fold = fold
        self.channels = channels
        self.optional = optional

    @cached_property
    def _records(self) -> list[Record]:
        try:
            return records(self.dataset_dir, self.part, self.fold, self.channels, self.optional)
        except DataError as error:
            logger.warning("%s", error)
            return []

    def __len__(self) -> int:
        """Return the number of records."""
        return len(self._records)

    @overload
    def __getitem__(self, index: int) -> Record: ...
    @overload
    def __getitem__(self, index: slice) -> list[Record]: ...
    def __getitem__(self, index: int | slice) -> Record | list[Record]:
        """Return one or several records."""
        return self._records[index]


def _absolute(record: Record, root: Path) -> Record:
    resolved = dict(record)
    for key in FILE_KEYS:
        value = record.get(key)
        if isinstance(value, str):
            resolved[key] = str(root / value)
        elif isinstance(value, list):
            resolved[key] = [None if item is None else str(root / item) for item in value]
    images = [resolved["image"]] if isinstance(resolved["image"], str) else resolved["image"]
    resolved.setdefault("case", case_name(next(image for image in images if image is not None)))
    resolved.setdefault("subject", resolved["case"])
    return resolved
