"""Whether the readers' outlines lie on the slices of their series (LUN009)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from medbundles.checks.dicom import CheckedSeries
from medbundles.checks.nifti import allow_option
from medbundles.errors import Finding
from medbundles.io.dicom_grid import heights_of
from medbundles.io.lidc import Outline, OutlinedNodule, Points, Reader, Reading

# The XML writes heights with one decimal at least; half a slice off is another slice.
HEIGHT_TOLERANCE_SLICES = 0.5
Pair = tuple[OutlinedNodule, Outline]


def slice_numbers(series: CheckedSeries) -> dict[str, int]:
    """Return the place of each slice in the volume by its UID, copies that were left out included."""
    numbers = {header.sop_uid: place for place, header in enumerate(series.slices)}
    return numbers | {copy: numbers[kept] for copy, kept in series.dropped.items()}


def keep_placeable(reading: Reading, series: CheckedSeries) -> tuple[Reading, list[Finding]]:
    """Return the outlines and marks that lie in the series' volume, and what is wrong with the others.

    The slice is found by its UID; the height that the XML notes only warns, because some readers' programs wrote it
    with another sign or origin.

    Args:
        reading: of the readers.
        series: with its slices.
    """
    if reading.series_uid != series.series_uid:
        message = f"the XML names series {reading.series_uid}, the slices are of series {series.series_uid}"
        return reading, [Finding("LUN009", "error", message, "use the XML of this series", file=reading.path.name)]
    numbers = slice_numbers(series)
    readers = tuple(_of_reader(reader, numbers, series) for reader in reading.readers)
    kept = replace(reading, readers=readers)
    named = [
        (nodule, outline) for reader in reading.readers for nodule in reader.nodules for outline in nodule.outlines
    ]
    lost = [pair for pair in named if pair[1].sop_uid not in numbers]
    outside = [pair for pair in named if not _inside(pair[1].points, series)]
    findings = _lost(lost, reading, series) + _outside(outside, reading, series) + _heights(kept, series, numbers)
    marks = [mark for reader in reading.readers for mark in reader.marks]
    return kept, findings + _marks_lost(len(marks) - sum(len(reader.marks) for reader in readers), reading)


def _of_reader(reader: Reader, numbers: Mapping[str, int], series: CheckedSeries) -> Reader:
    nodules = [
        replace(
            nodule, outlines=tuple(o for o in nodule.outlines if o.sop_uid in numbers and _inside(o.points, series))
        )
        for nodule in reader.nodules
    ]
    marks = [mark for mark in reader.marks if mark.sop_uid in numbers and _inside((mark.point,), series)]
    return Reader(tuple(nodule for nodule in nodules if nodule.outlines), tuple(marks))


def _inside(points: Points, series: CheckedSeries) -> bool:
    columns, rows = series.slices[0].shape
    return all(0 <= column < columns and 0 <= row < rows for column, row in points)


def _lost(pairs: Sequence[Pair], reading: Reading, series: CheckedSeries) -> list[Finding]:
    if not pairs:
        return []
    nodule, outline = pairs[0]
    message = (
        f"{len(pairs)} outlines lie on slices that series {series.series_uid} does not have: nodule {nodule.name} at "
        f"{outline.z_mm:g} mm, slice {outline.sop_uid}, for instance (the XML names series {reading.series_uid})"
    )
    fix = f"copy the whole series, or leave those outlines out with {allow_option('LUN009')}"
    return [Finding("LUN009", "error", message, fix, file=reading.path.name, allowable=True)]


def _outside(pairs: Sequence[Pair], reading: Reading, series: CheckedSeries) -> list[Finding]:
    if not pairs:
        return []
    nodule, outline = pairs[0]
    far = max(outline.points, key=lambda point: max(map(abs, point)))
    message = (
        f"{len(pairs)} outlines leave their slice: nodule {nodule.name} at {outline.z_mm:g} mm reaches pixel {far}, "
        f"the slices of series {series.series_uid} have {series.slices[0].shape} (the XML names series "
        f"{reading.series_uid})"
    )
    fix = f"use the XML of this series, or leave those outlines out with {allow_option('LUN009')}"
    return [Finding("LUN009", "error", message, fix, file=reading.path.name, allowable=True)]


def _heights(reading: Reading, series: CheckedSeries, numbers: Mapping[str, int]) -> list[Finding]:
    """Warn of outlines whose noted height is not their slice's; single slices have no distance to compare with."""
    heights = [float((header.position_lps_mm or (0, 0, 0))[2]) for header in series.slices]
    limit = HEIGHT_TOLERANCE_SLICES * float(np.median(np.diff(heights_of(series.slices))))
    outlines = [o for reader in reading.readers for nodule in reader.nodules for o in nodule.outlines]
    wrong = [o for o in outlines if abs(o.z_mm - heights[numbers[o.sop_uid]]) > limit]
    if not wrong:
        return []
    found, expected = wrong[0].z_mm, heights[numbers[wrong[0].sop_uid]]
    message = (
        f"{len(wrong)} outlines note another height than their slice has ({found:g} instead of {expected:g} mm, for "
        "instance): the slice's UID counts"
    )
    return [Finding("LUN009", "warning", message, "look at the mask", file=reading.path.name)]


def _marks_lost(count: int, reading: Reading) -> list[Finding]:
    if not count:
        return []
    message = f"{count} points (nodules below 3 mm, non-nodules) lie on slices that are not there: left out"
    return [Finding("LUN009", "note", message, file=reading.path.name)]
