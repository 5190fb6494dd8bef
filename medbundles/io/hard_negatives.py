"""The table of places that look like a lesion and are none: ``hard_negatives.csv`` in a prepared folder."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from medbundles.errors import DataError, Finding
from medbundles.io.atomic import write_csv
from medbundles.io.tables import parse_number, read_table

TABLE_NAME = "hard_negatives.csv"
AXES = ("x", "y", "z")
COLUMNS = ("case", *(f"center_lps_{axis}_mm" for axis in AXES), "probability", "source")
# Where a place comes from: a list of candidates that others computed (LUNA16's), or a network's own mistakes.
GIVEN, MINED = "candidates", "mined"


@dataclass(frozen=True)
class HardNegative:
    """One place.

    Attributes:
        case: the case's name in the data list.
        center_lps_mm: where it is.
        probability: what a network said of it; None where it comes from elsewhere.
        source: ``candidates`` or ``mined``.
    """

    case: str
    center_lps_mm: tuple[float, float, float]
    probability: float | None = None
    source: str = MINED


def hard_negatives_path(setting: str | os.PathLike[str] | None, dataset_dir: str | os.PathLike[str]) -> Path | None:
    """Return the table that the key ``hard_negatives`` means.

    Args:
        setting: a path; ``auto``: the prepared folder's table, if it has one; None or ``none``: no table.
        dataset_dir: the prepared folder, or its data list.

    Raises:
        DataError: the named file is missing (TRN011).
    """
    if setting is None or str(setting).lower() in {"none", ""}:
        return None
    if str(setting) == "auto":
        path = default_table(dataset_dir)
        return path if path.is_file() else None
    path = Path(setting)
    if not path.is_file():
        fix = "make it with `medbundles mine`, or leave hard_negatives at auto"
        raise DataError(findings=[Finding("TRN011", "error", f"no table of hard negatives at {path}", fix)])
    return path


def default_table(dataset_dir: str | os.PathLike[str]) -> Path:
    """Return where a prepared folder (or the folder of a data list) keeps its table."""
    root = Path(dataset_dir)
    return (root.parent if root.suffix == ".json" else root) / TABLE_NAME


def read_hard_negatives(path: str | os.PathLike[str]) -> list[HardNegative]:
    """Read the table.

    Raises:
        DataError: a column is missing or a coordinate is no number (TRN011), all of them at once.
    """
    table = read_table(Path(path), COLUMNS[:4], "TRN011")
    findings, places = [], []
    for row in table.rows:
        center = [parse_number(row.values[column]) for column in COLUMNS[1:4]]
        findings += [
            table.fault(row, column, "a number in mm")
            for column, value in zip(COLUMNS[1:4], center, strict=True)
            if value is None
        ]
        x, y, z = (value or 0.0 for value in center)
        probability = parse_number(row.values.get("probability", ""))
        places.append(HardNegative(row.values["case"], (x, y, z), probability, row.values.get("source") or MINED))
    if findings:
        raise DataError(findings=findings)
    return places


def write_hard_negatives(path: str | os.PathLike[str], places: Iterable[HardNegative]) -> None:
    """Write the table, sorted by case and falling probability."""
    ordered = sorted(places, key=lambda place: (place.case, -(place.probability or 0.0), place.center_lps_mm))
    rows = (
        {
            "case": place.case,
            **{name: round(value, 3) for name, value in zip(COLUMNS[1:4], place.center_lps_mm, strict=True)},
            "probability": "" if place.probability is None else round(place.probability, 6),
            "source": place.source,
        }
        for place in ordered
    )
    write_csv(Path(path), rows, COLUMNS)


def by_case(places: Iterable[HardNegative]) -> dict[str, list[HardNegative]]:
    """Return the places of each case, in their order."""
    found: dict[str, list[HardNegative]] = defaultdict(list)
    for place in places:
        found[place.case].append(place)
    return dict(found)
