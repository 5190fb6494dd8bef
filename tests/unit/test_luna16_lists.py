"""LUNA16's further tables on their way into a prepared folder: excluded findings, candidates, types."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from luna_layout import rows_of, tiny_scans, write_luna

from medbundles.errors import DataError
from medbundles.io.datalist import read_datalist
from medbundles.io.hard_negatives import read_hard_negatives
from medbundles.prepare.luna16 import prepare

# A place inside of the first scan, LPS mm.
INSIDE = (-26.0, 27.75, -187.0)
POSITION = ("seriesuid", "coordX", "coordY", "coordZ")


def write(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_luna(tmp_path / "luna", tiny_scans(3))


@pytest.fixture
def first(source: Path) -> str:
    return sorted(path.stem for path in source.rglob("*.mhd"))[0]


def records_of(output: Path) -> dict[str, dict[str, Any]]:
    lists = read_datalist(output)
    return {record["case"]: record for record in lists["training"] + lists["testing"]}


def test_excluded_findings_reach_their_own_scan(source: Path, first: str, tmp_path: Path) -> None:
    rows = [
        dict(zip((*POSITION, "diameter_mm"), (first, 1.5, -2, 3, 6.25), strict=True)),
        dict(zip((*POSITION, "diameter_mm"), (first, 4, 5, 6, -1), strict=True)),
        dict(zip((*POSITION, "diameter_mm"), ("1.2.3.4", 4, 5, 6, -1), strict=True)),
    ]
    write(source / "annotations_excluded.csv", (*POSITION, "diameter_mm"), rows)
    prepare(source, tmp_path / "out", workers=1)
    records = records_of(tmp_path / "out")
    assert [(e["center_lps_mm"], e["diameter_mm"]) for e in records[first]["excluded"]] == [
        ([1.5, -2.0, 3.0], 6.25),
        ([4.0, 5.0, 6.0], None),
    ]
    assert all(record["excluded"] == [] for case, record in records.items() if case != first)


def test_without_the_table_nothing_is_excluded(source: Path, tmp_path: Path) -> None:
    prepare(source, tmp_path / "out", workers=1)
    assert not any("excluded" in record for record in records_of(tmp_path / "out").values())


def test_a_wrong_row_of_the_excluded_is_named(source: Path, first: str, tmp_path: Path) -> None:
    write(source / "annotations_excluded.csv", POSITION, [dict(zip(POSITION, (first, 1, "x", 3), strict=True))])
    with pytest.raises(DataError, match=r'LUN006.*annotations_excluded\.csv: row 2, column "coordY"'):
        prepare(source, tmp_path / "out", workers=1)


def candidate(series: str, *center: float, kind: str = "0") -> dict[str, Any]:
    return dict(zip((*POSITION, "class"), (series, *center, kind), strict=True))


def test_candidates_that_are_no_nodules_become_hard_negatives(source: Path, first: str, tmp_path: Path) -> None:
    rows = [candidate(first, *INSIDE), candidate(first, 7, 8, 9, kind="1"), candidate("1.2.3.4", 1, 2, 3)]
    write(source / "candidates.csv", (*POSITION, "class"), rows)
    prepare(source, tmp_path / "out", workers=1)
    (place,) = read_hard_negatives(tmp_path / "out" / "hard_negatives.csv")
    assert (place.case, place.center_lps_mm, place.source) == (first, INSIDE, "candidates")


def test_the_second_list_of_candidates_replaces_the_first(source: Path, first: str, tmp_path: Path) -> None:
    write(source / "candidates.csv", (*POSITION, "class"), [candidate(first, -25, 28, -187)])
    write(source / "candidates_V2.csv", (*POSITION, "class"), [candidate(first, *INSIDE)])
    prepare(source, tmp_path / "out", workers=1)
    assert [place.center_lps_mm for place in read_hard_negatives(tmp_path / "out" / "hard_negatives.csv")] == [INSIDE]


def test_candidates_in_other_coordinates_are_refused(source: Path, first: str, tmp_path: Path) -> None:
    write(source / "candidates.csv", (*POSITION, "class"), [candidate(first, 30, 40, 12), candidate(first, *INSIDE)])
    with pytest.raises(DataError, match=r"LUN002.*1 of 2 candidates lie outside"):
        prepare(source, tmp_path / "out", workers=1)


def test_allowed_candidates_outside_are_left_out_with_a_warning(source: Path, first: str, tmp_path: Path) -> None:
    write(source / "candidates.csv", (*POSITION, "class"), [candidate(first, 30, 40, 12), candidate(first, *INSIDE)])
    report = prepare(source, tmp_path / "out", workers=1, allow=["LUN002"])
    assert [place.center_lps_mm for place in read_hard_negatives(tmp_path / "out" / "hard_negatives.csv")] == [INSIDE]
    assert any(finding.code == "LUN002" and finding.level == "warning" for finding in report.findings)


@pytest.mark.parametrize(
    ("columns", "row", "said"),
    [
        (POSITION, {}, 'column "class" is missing'),
        ((*POSITION, "class"), {"coordX": "left"}, "row 2: the center 'left'"),
    ],
)
def test_a_list_of_candidates_that_cannot_be_read_is_refused(
    source: Path, first: str, tmp_path: Path, columns: Sequence[str], row: dict[str, str], said: str
) -> None:
    whole = candidate(first, 1, 1, 1) | row
    write(source / "candidates_V2.csv", columns, [{name: whole[name] for name in columns}])
    with pytest.raises(DataError, match=said):
        prepare(source, tmp_path / "out", workers=1)
    assert not (tmp_path / "out" / "datalist.json").exists()


def test_a_column_of_types_is_kept(source: Path, tmp_path: Path) -> None:
    rows = [dict(zip((*POSITION, "diameter_mm"), row, strict=False)) for row in rows_of(tiny_scans(3))]
    write(source / "annotations.csv", (*POSITION, "diameter_mm", "type"), [row | {"type": "solid"} for row in rows])
    prepare(source, tmp_path / "out", workers=1)
    nodules = [nodule for record in records_of(tmp_path / "out").values() for nodule in record["nodules"]]
    assert nodules
    assert {nodule["type"] for nodule in nodules} == {"solid"}
