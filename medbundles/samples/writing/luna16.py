"""LUNA16's tables, written from the records of synthetic scans."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from medbundles.io.atomic import write_csv

SUBSETS = 10
ANNOTATION_COLUMNS = ("seriesuid", "coordX", "coordY", "coordZ", "diameter_mm")
MALIGNANCY_COLUMNS = (
    *ANNOTATION_COLUMNS, "mal_bool", "mal_details",
    "bboxLowX", "bboxLowY", "bboxLowZ", "bboxHighX", "bboxHighY", "bboxHighZ", "len_mal_details",
)  # fmt: skip
TYPE_COLUMNS = (*ANNOTATION_COLUMNS, "type")
# A nodule counts as malignant when so many readers rated it so high, as in the public table.
MALIGNANT_READERS, MALIGNANT_RATING = 2, 4


def subset_name(number: int) -> str:
    """Return the folder of a scan: ``subset0`` to ``subset9`` in turn."""
    return f"subset{number % SUBSETS}"


def is_malignant(ratings: Iterable[int]) -> bool:
    """Tell whether at least two readers rated a nodule 4 or 5."""
    return sum(rating >= MALIGNANT_RATING for rating in ratings) >= MALIGNANT_READERS


def annotation_rows(records: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one row for every nodule with the columns of both tables, by series UID."""
    rows = []
    for record in sorted(records, key=lambda item: str(item["seriesuid"])):
        for nodule in record["nodules"]:
            row = {"seriesuid": record["seriesuid"], "diameter_mm": nodule["diameter_mm"]}
            row |= dict(zip(ANNOTATION_COLUMNS[1:4], nodule["center_lps_mm"], strict=True))
            row |= dict(zip(MALIGNANCY_COLUMNS[7:10], nodule["lower_lps_mm"], strict=True))
            row |= dict(zip(MALIGNANCY_COLUMNS[10:13], nodule["upper_lps_mm"], strict=True))
            ratings = nodule["malignancy"]
            row |= {
                "mal_bool": is_malignant(ratings), "mal_details": str(ratings), "len_mal_details": len(ratings),
                "type": nodule["type"],
            }  # fmt: skip
            rows.append(row)
    return rows


def write_tables(folder: Path, records: Iterable[dict[str, Any]]) -> None:
    """Write ``annotations.csv``, ``annotations_with_malignancy.csv`` and, which LUNA16 has not, the nodules' types."""
    rows = annotation_rows(records)
    short = [{name: row[name] for name in ANNOTATION_COLUMNS} for row in rows]
    write_csv(folder / "annotations.csv", short, ANNOTATION_COLUMNS)
    known = [{name: row[name] for name in MALIGNANCY_COLUMNS} for row in rows]
    write_csv(folder / "annotations_with_malignancy.csv", known, MALIGNANCY_COLUMNS)
    types = [{name: row[name] for name in TYPE_COLUMNS} for row in rows]
    write_csv(folder / "annotations_with_type.csv", types, TYPE_COLUMNS)
