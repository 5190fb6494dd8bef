"""The layout of LUNA16: ``subset0..9/SERIES.mhd`` beside tables of annotations."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from medbundles.errors import DataError, Finding
from medbundles.io.tables import Table, TableRow, parse_flag, parse_number, read_table

ANNOTATIONS = "annotations.csv"
ANNOTATIONS_WITH_MALIGNANCY = "annotations_with_malignancy.csv"
# Not one of LUNA16's: who knows the nodules' types adds them.
ANNOTATIONS_WITH_TYPE = "annotations_with_type.csv"
SERIES_COLUMN = "seriesuid"
CENTER_COLUMNS = ("coordX", "coordY", "coordZ")
DIAMETER_COLUMN = "diameter_mm"
MALIGNANCY_COLUMNS = ("mal_bool", "malignant")
TYPE_COLUMN = "type"
REQUIRED_COLUMNS = (SERIES_COLUMN, *CENTER_COLUMNS, DIAMETER_COLUMN)
SUBSET_NAME = re.compile(r"subset(\d+)", re.IGNORECASE)


@dataclass(frozen=True)
class Scan:
    """One CT of the collection.

    Attributes:
        series: series instance UID, the file's stem.
        path: the ``.mhd`` file.
        subset: number of the official subset folder, if it lies in one.
    """

    series: str
    path: Path
    subset: int | None


@dataclass(frozen=True)
class Annotation:
    """One nodule as the readers marked it.

    Attributes:
        series: series instance UID of its scan.
        center_lps_mm: center in LPS mm, as the table has it.
        diameter_mm: diameter in mm.
        malignant: the readers' verdict, if the table has one.
        type: solid, part-solid or ground-glass, if the table has a column ``type``.
        file: name of its table.
        row: its row in that table.
    """

    series: str
    center_lps_mm: tuple[float, float, float]
    diameter_mm: float
    malignant: bool | None
    file: str
    row: int
    type: str | None = None


def find_scans(source: Path) -> list[Scan]:
    """Return the scans in ``source`` itself and in its ``subset*`` folders, sorted by series.

    Raises:
        DataError: the folder is missing or holds no ``.mhd`` (TRN011).
    """
    fix = f"--source is the folder that holds subset0/*.mhd and {ANNOTATIONS}"
    if not source.is_dir():
        raise DataError(findings=[Finding("TRN011", "error", f"no folder {source.name}", fix)])
    folders = [source, *(path for path in source.iterdir() if path.is_dir() and SUBSET_NAME.match(path.name))]
    scans = [Scan(path.stem, path, subset_number(path.parent)) for f in folders for path in f.glob("*.[mM][hH][dD]")]
    if not scans:
        message = f"no .mhd file in {source.name} or its subset* folders"
        raise DataError(findings=[Finding("TRN011", "error", message, fix)])
    return sorted(scans, key=lambda scan: (scan.series, str(scan.path)))


def is_luna16(source: Path) -> bool:
    """Tell whether a folder is laid out like LUNA16: ``subset*`` folders, or ``.mhd`` files beside a table."""
    if not source.is_dir():
        return False
    if any(path.is_dir() and SUBSET_NAME.fullmatch(path.name) for path in source.iterdir()):
        return True
    return bool(find_tables(source)) and any(source.glob("*.[mM][hH][dD]"))


def subset_number(folder: Path) -> int | None:
    """Return the number of a ``subsetN`` folder."""
    match = SUBSET_NAME.fullmatch(folder.name)
    return int(match.group(1)) if match else None


def find_subsets(source: Path) -> set[int]:
    """Return the numbers of the subset folders that exist, empty ones included."""
    numbers = {subset_number(path) for path in source.iterdir() if path.is_dir()}
    return {number for number in numbers if number is not None}


def find_tables(source: Path) -> list[Path]:
    """Return the tables of annotations in ``source`` or one level below, the ones with more than places first."""
    found = []
    for name in (ANNOTATIONS_WITH_MALIGNANCY, ANNOTATIONS_WITH_TYPE, ANNOTATIONS):
        candidates = [source / name, *sorted(source.glob(f"*/{name}"))]
        found += [path for path in candidates if path.is_file()][:1]
    return found


def read_annotations(path: Path) -> tuple[list[Annotation], list[Finding]]:
    """Read one table of annotations.

    Returns:
        The rows that could be read, and a finding for each that could not (LUN006, row and column named).

    Raises:
        DataError: the file cannot be read as a table or lacks a column (LUN006).
    """
    table = read_table(path, REQUIRED_COLUMNS)
    malignancy = next((name for name in MALIGNANCY_COLUMNS if name in table.columns), None)
    annotations: list[Annotation] = []
    findings: list[Finding] = []
    for row in table.rows:
        faults = _faults(table, row)
        findings += faults
        if not faults:
            annotations.append(_annotation(table, row, malignancy))
    return annotations, findings


def _faults(table: Table, row: TableRow) -> list[Finding]:
    faults = [] if row.values[SERIES_COLUMN] else [table.fault(row, SERIES_COLUMN, "a series UID")]
    wrong = [name for name in (*CENTER_COLUMNS, DIAMETER_COLUMN) if parse_number(row.values[name]) is None]
    return faults + [table.fault(row, name, "a number in mm") for name in wrong]


def _annotation(table: Table, row: TableRow, malignancy: str | None) -> Annotation:
    x, y, z, diameter = (parse_number(row.values[name]) or 0.0 for name in (*CENTER_COLUMNS, DIAMETER_COLUMN))
    malignant = parse_flag(row.values[malignancy]) if malignancy else None
    kind = row.values.get(TYPE_COLUMN) or None
    return Annotation(row.values[SERIES_COLUMN], (x, y, z), diameter, malignant, table.name, row.line, kind)
