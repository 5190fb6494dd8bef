"""What can be wrong with a LUNA16 folder, seen from its headers and tables alone (LUN001 to LUN007)."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from medbundles.checks.nifti import check_axes, check_geometry
from medbundles.checks.verdict import has_errors, severity
from medbundles.errors import DataError, Finding, Level
from medbundles.io.hard_negatives import HardNegative
from medbundles.io.headers import ImageHeader, choose_affine, read_header
from medbundles.io.images import flip_lps, to_index
from medbundles.io.luna16 import ANNOTATIONS, Annotation, Scan, find_scans, find_subsets, find_tables, read_annotations
from medbundles.io.luna16_lists import EXCLUDED, find_list, read_excluded

# LIDC readers marked nodules of 3 to 30 mm and LUNA16's largest is 32.3 mm: beyond 60 mm it is a mass, or no diameter.
LARGEST_DIAMETER_MM = 60.0
# More than this share of centers outside their volumes is a systematic mistake, not a slip of the pen.
OUTSIDE_SHARE = 0.05
# A center may lie on the outer face of the outermost voxel; the rest is rounding in the table.
FACE_TOLERANCE_VOXELS = 0.5 + 1e-3
OFFICIAL_COUNTS = (89, 89, 89, 89, 89, 89, 89, 89, 88, 88)
OFFICIAL_ROOT = "1.3.6.1.4.1.14519.5.2.1.6279.6001."


@dataclass(frozen=True)
class Luna16Source:
    """What a LUNA16 folder holds and what is wrong with it.

    Attributes:
        scans: the scans that can be read, sorted by series, each series once.
        headers: their headers by series.
        annotations: the usable annotations by series: inside their volume, no duplicates, in the tables' order.
        findings: everything the checks had to say, errors first.
        excluded: by series, what counts neither as nodule nor as its absence; None without such a table.
    """

    scans: tuple[Scan, ...]
    headers: Mapping[str, ImageHeader]
    annotations: Mapping[str, tuple[Annotation, ...]]
    findings: tuple[Finding, ...]
    excluded: Mapping[str, list[dict[str, Any]]] | None = None


def inspect_luna16(source: Path) -> Luna16Source:
    """Check headers and tables of a LUNA16 folder; no voxel is read.

    Raises:
        DataError: there is no such folder, or no scan in it (TRN011). Anything else becomes a finding.
    """
    scans = find_scans(source)
    headers, findings = _read_headers(scans)
    annotations, table_findings = _read_tables(source)
    excluded, excluded_findings = _read_excluded(source)
    findings += [*table_findings, *excluded_findings]
    findings += check_complete(scans, annotations, find_subsets(source))
    findings += check_on_disk(scans, annotations)
    annotations, diameter_findings = check_diameters(annotations)
    annotations, outside_findings = check_inside(annotations, headers)
    annotations, duplicate_findings = merge_duplicates(annotations)
    findings += [*diameter_findings, *outside_findings, *duplicate_findings]
    unique = {scan.series: scan for scan in reversed(scans) if scan.series in headers}
    by_series: dict[str, list[Annotation]] = defaultdict(list)
    for annotation in annotations:
        by_series[annotation.series].append(annotation)
    return Luna16Source(
        scans=tuple(unique[series] for series in sorted(unique)),
        headers=headers,
        annotations={series: tuple(rows) for series, rows in by_series.items()},
        findings=tuple(sorted(findings, key=severity)),
        excluded=excluded,
    )


def check_luna16(source: Path) -> list[Finding]:
    """Return the findings of :func:`inspect_luna16` (what ``medbundles check`` shows for a raw folder)."""
    return list(inspect_luna16(source).findings)


def _read_headers(scans: Sequence[Scan]) -> tuple[dict[str, ImageHeader], list[Finding]]:
    headers: dict[str, ImageHeader] = {}
    findings: list[Finding] = []
    for series, count in Counter(scan.series for scan in scans).items():
        if count > 1:
            message = f"the series lies in {count} folders: it could end up in training and test at once"
            fix = "delete all copies but one"
            findings.append(Finding("NII014", "error", message, fix, series, f"{series}.mhd"))
    for scan in scans:
        try:
            header = read_header(scan.path)
            faults = check_geometry(header) + check_axes(header)
        except DataError as error:
            faults = list(error.findings)
        findings += [replace(fault, case=scan.series) for fault in faults]
        if not has_errors(faults):
            headers[scan.series] = header
    return headers, findings


def _read_tables(source: Path) -> tuple[list[Annotation], list[Finding]]:
    """Join the tables: rows of the plain one that the one with malignancies lacks are kept without a verdict."""
    joined: list[Annotation] = []
    findings: list[Finding] = []
    paths = find_tables(source)
    if not paths:
        message = f"row 1: no {ANNOTATIONS} (or annotations_with_malignancy.csv) in {source.name} or a folder of it"
        findings.append(Finding("LUN006", "error", message, "copy the table there", file=ANNOTATIONS))
    for path in paths:
        try:
            rows, faults = read_annotations(path)
        except DataError as error:
            findings += error.findings
            continue
        findings += faults
        known: dict[str, list[Annotation]] = defaultdict(list)
        for annotation in joined:
            known[annotation.series].append(annotation)
        same = {row: next((other for other in known[row.series] if _same_nodule(row, other)), None) for row in rows}
        typed = {other: row.type for row, other in same.items() if other is not None and row.type}
        joined = [replace(row, type=row.type or typed.get(row)) for row in joined]
        joined += [row for row in rows if same[row] is None]
    return joined, findings


def _read_excluded(source: Path) -> tuple[dict[str, list[dict[str, Any]]] | None, list[Finding]]:
    path = find_list(source, EXCLUDED)
    if path is None:
        return None, []
    try:
        return read_excluded(path)
    except DataError as error:
        return None, list(error.findings)


def check_diameters(annotations: Sequence[Annotation]) -> tuple[list[Annotation], list[Finding]]:
    """LUN005: refuse rows whose diameter is not one of a nodule; return the others."""
    kept, findings = [], []
    for row in annotations:
        if 0 < row.diameter_mm <= LARGEST_DIAMETER_MM:
            kept.append(row)
            continue
        message = f"row {row.row}: diameter {row.diameter_mm:g} mm, expected 0 to {LARGEST_DIAMETER_MM:g} mm"
        fix = "correct the row, or leave it out with --allow \"['LUN005']\""
        findings.append(Finding("LUN005", "error", message, fix, row.series, row.file, allowable=True))
    return kept, findings


def check_inside(
    annotations: Sequence[Annotation], headers: Mapping[str, ImageHeader]
) -> tuple[list[Annotation], list[Finding]]:
    """LUN002: refuse cases with a center outside their volume; return the annotations inside."""
    kept, findings, looked_at = [], [], 0
    for row in annotations:
        header = headers.get(row.series)
        if header is None:
            continue
        looked_at += 1
        index = to_index(choose_affine(header), flip_lps(row.center_lps_mm))
        size = np.array(header.grid_shape)
        if bool(((index >= -FACE_TOLERANCE_VOXELS) & (index <= size - 1 + FACE_TOLERANCE_VOXELS)).all()):
            kept.append(row)
            continue
        found = ", ".join(f"{value:.1f}" for value in index)
        message = f"row {row.row}: the center is voxel ({found}) of a volume of {header.grid_shape} voxels"
        fix = "correct the row, or leave it out with --allow \"['LUN002']\""
        findings.append(Finding("LUN002", "error", message, fix, row.series, row.file, allowable=True))
    if looked_at and len(findings) / looked_at > OUTSIDE_SHARE:
        message = f"{len(findings)} of {looked_at} centers lie outside: voxel instead of world coordinates?"
        fix = "the table must hold world coordinates in LPS mm"
        findings.append(Finding("LUN002", "error", message, fix, allowable=True))
    return kept, findings


def check_candidates(
    places: Sequence[HardNegative], headers: Mapping[str, ImageHeader], file: str
) -> tuple[list[HardNegative], list[Finding]]:
    """LUN002: leave candidates outside their volume out; refuse a table most likely in other coordinates.

    Args:
        places: candidates of the scans that there are.
        headers: of each series.
        file: the table's name.
    """
    by_series: dict[str, list[HardNegative]] = defaultdict(list)
    for place in places:
        by_series[place.case].append(place)
    kept: list[HardNegative] = []
    for series, rows in by_series.items():
        header = headers[series]
        index = to_index(choose_affine(header), flip_lps([row.center_lps_mm for row in rows]))
        upper = np.array(header.grid_shape) - 1 + FACE_TOLERANCE_VOXELS
        inside = np.flatnonzero(((index >= -FACE_TOLERANCE_VOXELS) & (index <= upper)).all(axis=1))
        kept += [rows[number] for number in inside.tolist()]
    outside = len(places) - len(kept)
    if not outside:
        return kept, []
    message = f"{outside} of {len(places)} candidates lie outside their volume and were left out"
    if outside / len(places) <= OUTSIDE_SHARE:
        return kept, [Finding("LUN002", "warning", message, "look at these rows", file=file)]
    fix = "the table must hold world coordinates in LPS mm; or leave the rows out with --allow \"['LUN002']\""
    return kept, [Finding("LUN002", "error", f"{message}: voxel coordinates?", fix, file=file, allowable=True)]


def merge_duplicates(annotations: Sequence[Annotation]) -> tuple[list[Annotation], list[Finding]]:
    """LUN003: merge rows of one nodule: the larger diameter and any verdict are kept, malignant wins."""
    kept: list[Annotation] = []
    places: dict[str, list[int]] = defaultdict(list)
    findings = []
    for row in annotations:
        place = next((place for place in places[row.series] if _same_nodule(row, kept[place])), None)
        if place is None:
            places[row.series].append(len(kept))
            kept.append(row)
            continue
        first = kept[place]
        verdicts = {verdict for verdict in (first.malignant, row.malignant) if verdict is not None}
        larger = max(first, row, key=lambda annotation: annotation.diameter_mm)
        kept[place] = replace(larger, row=first.row, malignant=any(verdicts) if verdicts else None)
        message = f"rows {first.row} and {row.row} mark the same nodule: merged"
        findings.append(Finding("LUN003", "note", message, case=row.series, file=row.file))
    return kept, findings


def check_on_disk(scans: Sequence[Scan], annotations: Sequence[Annotation]) -> list[Finding]:
    """LUN004: one warning for all annotations whose series is not there."""
    present = {scan.series for scan in scans}
    absent = [row for row in annotations if row.series not in present]
    if not absent:
        return []
    series = len({row.series for row in absent})
    message = f"{len(absent)} annotations of {series} series that are not on disk were left out"
    return [Finding("LUN004", "warning", message, "copy the missing scans, if they were meant", file=absent[0].file)]


def check_complete(scans: Sequence[Scan], annotations: Sequence[Annotation], subsets: Collection[int]) -> list[Finding]:
    """LUN007: tell how much of the official ten subsets is there.

    A warning when something is evidently missing (a folder, an annotated series, part of the original), else a note:
    a small data set in the same layout is complete in itself.
    """
    counts = Counter(scan.subset for scan in scans if scan.subset is not None)
    if not counts or tuple(counts[number] for number in range(len(OFFICIAL_COUNTS))) == OFFICIAL_COUNTS:
        return []
    present = {scan.series for scan in scans}
    absent = any(row.series not in present for row in annotations) or not set(range(10)) <= set(subsets)
    official = any(scan.series.startswith(OFFICIAL_ROOT) for scan in scans)
    listed = ", ".join(
        f"subset{number} {counts[number]} of {expected}"
        for number, expected in enumerate(OFFICIAL_COUNTS)
        if counts[number] != expected
    )
    message = f"{sum(counts.values())} scans, expected {sum(OFFICIAL_COUNTS)} in the complete LUNA16 ({listed})"
    level: Level = "warning" if absent or official else "note"
    return [Finding("LUN007", level, message, "download the missing subsets, if they were meant")]


def _same_nodule(first: Annotation, second: Annotation) -> bool:
    """Tell whether each center lies inside the other's sphere; none of LUNA16's 1186 rows are that near."""
    distance = np.linalg.norm(np.subtract(first.center_lps_mm, second.center_lps_mm))
    return bool(distance <= min(first.diameter_mm, second.diameter_mm) / 2)
