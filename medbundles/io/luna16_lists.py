"""LUNA16's further tables: findings that count neither way, and candidates that others computed."""

from __future__ import annotations

import csv
from collections.abc import Collection
from pathlib import Path
from typing import Any

from medbundles.errors import DataError, Finding
from medbundles.io.hard_negatives import GIVEN, HardNegative
from medbundles.io.luna16 import CENTER_COLUMNS, DIAMETER_COLUMN, SERIES_COLUMN
from medbundles.io.tables import parse_number, read_table

EXCLUDED = "annotations_excluded.csv"
# The second list has fewer nodules without a candidate and replaces the first.
CANDIDATES = ("candidates_V2.csv", "candidates.csv")
CLASS_COLUMN = "class"


def find_list(source: Path, *names: str) -> Path | None:
    """Return the first of these tables in ``source`` or one level below."""
    paths = (path for name in names for path in (source / name, *sorted(source.glob(f"*/{name}"))))
    return next((path for path in paths if path.is_file()), None)


def read_excluded(path: Path) -> tuple[dict[str, list[dict[str, Any]]], list[Finding]]:
    """Read ``annotations_excluded.csv``: what readers marked and the challenge counts neither way.

    Its diameters of irrelevant findings are -1: they come back as None.

    Returns:
        By series, entries as the data list has them (``center_lps_mm``, ``diameter_mm``, ``reason``), and a finding
        for each row that could not be read (LUN006).

    Raises:
        DataError: no table, or a column is missing (LUN006).
    """
    table = read_table(path, (SERIES_COLUMN, *CENTER_COLUMNS))
    found: dict[str, list[dict[str, Any]]] = {}
    findings = []
    for row in table.rows:
        center = [parse_number(row.values[column]) for column in CENTER_COLUMNS]
        wrong = [column for column, value in zip(CENTER_COLUMNS, center, strict=True) if value is None]
        findings += [table.fault(row, column, "a number in mm") for column in wrong]
        if not wrong:
            diameter = parse_number(row.values.get(DIAMETER_COLUMN, ""))
            sized = diameter if diameter is not None and diameter > 0 else None
            entry = {"center_lps_mm": center, "diameter_mm": sized, "reason": "excluded by the challenge"}
            found.setdefault(row.values[SERIES_COLUMN], []).append(entry)
    return found, findings


def read_candidates(path: Path, series: Collection[str]) -> list[HardNegative]:
    """Read the candidates of class 0, what only looks like a nodule, of these series.

    The lists have three quarters of a million rows, so they are read line by line.

    Raises:
        DataError: a column is missing, or a field of these series is no number (LUN006), the first ten rows of them.
    """
    places: list[HardNegative] = []
    findings: list[Finding] = []
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        columns = reader.fieldnames or ()
        absent = [name for name in (SERIES_COLUMN, *CENTER_COLUMNS, CLASS_COLUMN) if name not in columns]
        if absent:
            message = f'row 1, column "{absent[0]}" is missing; the header has {", ".join(columns)}'
            raise DataError(findings=[Finding("LUN006", "error", message, "add the column", file=path.name)])
        for number, row in enumerate(reader, start=2):
            if row[SERIES_COLUMN] not in series or row[CLASS_COLUMN] not in {"0", "0.0"}:
                continue
            x, y, z = (parse_number(row[column] or "") for column in CENTER_COLUMNS)
            if x is None or y is None or z is None:
                message = f"row {number}: the center {row[CENTER_COLUMNS[0]]!r} ... is no position in mm"
                findings.append(Finding("LUN006", "error", message, "correct the table", file=path.name))
                continue
            places.append(HardNegative(row[SERIES_COLUMN], (x, y, z), None, GIVEN))
    if findings:
        raise DataError(findings=findings[:10])
    return places
