"""One LIDC-IDRI series: read from its slices, the readers' outlines joined, written as NIfTI; runs in a worker."""

from __future__ import annotations

import statistics
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from medbundles.checks.lidc import LidcCase
from medbundles.checks.lidc_outlines import keep_placeable, slice_numbers
from medbundles.errors import DataError, Finding
from medbundles.io import dicom, dicom_grid, dicom_volume, lidc
from medbundles.io.dicom_volume import PADDING_HU, read_series
from medbundles.io.grids import Affine, flip_lps, to_world, voxel_volume_mm3
from medbundles.io.hashing import sha256_file
from medbundles.io.images import Volume
from medbundles.io.lidc import MarkKind, Reading, read_reading
from medbundles.prepare import reader_consensus
from medbundles.prepare._nodule_case import NoduleResult, PaintedNodules, convert_volume
from medbundles.prepare.reader_consensus import AgreedNodule, ReaderNodule, agree, equivalent_diameter_mm

# The rule of LUNA16's table of malignancies: two readers at least rate it 4 (moderately suspicious) or 5.
SUSPICIOUS_RATING = 4
SUSPICIOUS_READERS = 2
# Points of different readers nearer than this mean one thing: it is the size up to which readers set a point only.
SAME_MARK_MM = 3.0


@dataclass(frozen=True)
class LidcJob:
    """What one worker needs to know.

    Attributes:
        case: the series, its slices and its XML.
        minimum_readers: how many readers have to agree on a voxel.
        output: the prepared folder.
        allow: fault codes that are taken as warnings.
    """

    case: LidcCase
    minimum_readers: int
    output: Path
    allow: tuple[str, ...] = ()


def convert_series(job: LidcJob) -> NoduleResult:
    """Write image and mask of one series, unless an earlier run has done exactly that.

    A series that must not be used comes back with error findings and without files.
    """
    series = job.case.series
    try:
        volume, padded = read_series(series.slices)
        # What lies outside was said, and allowed, before anything was written.
        reading, _ = keep_placeable(read_reading(job.case.xml), series)
    except DataError as error:
        return NoduleResult.refused(series.series_uid, error.findings)
    paint = partial(paint_consensus, reading=reading, slices=slice_numbers(series), minimum_readers=job.minimum_readers)
    return convert_volume(
        series.series_uid,
        series.slices[0].path.name,
        volume,
        paint,
        output=job.output,
        allow=job.allow,
        depends_on=[sha256_file(job.case.xml), job.minimum_readers],
        code=(sys.modules[__name__], dicom, dicom_grid, dicom_volume, lidc, reader_consensus),
        findings=_padding_note(padded, series.slices[0].path.name),
    )


def _padding_note(share: float, file: str) -> list[Finding]:
    if not share:
        return []
    message = f"{100 * share:.1f} % of the voxels are the scanner's padding: set to {PADDING_HU} HU"
    return [Finding("DCM013", "note", message, file=file)]


def paint_consensus(volume: Volume, reading: Reading, slices: dict[str, int], minimum_readers: int) -> PaintedNodules:
    """Return the mask of what enough readers agree on, and what they disagree on.

    Args:
        volume: the scan.
        reading: outlines and marks that all lie in it.
        slices: the place of each slice in the volume by its UID.
        minimum_readers: how many readers have to agree on a voxel.
    """
    label = np.zeros(volume.array.shape, dtype=np.uint8)
    own = [
        reader_consensus.outline_voxels(nodule, slices, number)
        for number, reader in enumerate(reading.readers)
        for nodule in reader.nodules
    ]
    nodules, excluded, covered = [], [], np.zeros((0, 3), dtype=np.int64)
    notes = _shrunk_notes(own, reading)
    for found in agree(own, minimum_readers):
        if len(found.consensus):
            label[tuple(found.consensus.T)] = 1
            nodules.append(describe_nodule(found, volume.affine))
            covered = np.concatenate([covered, found.union])
        else:
            excluded.append(describe_excluded(found, volume.affine, minimum_readers))
            if found.readers >= minimum_readers:
                message = f"{found.readers} readers outline a nodule, but no voxel has {minimum_readers}: excluded"
                notes.append(Finding("LUN008", "note", message, file=reading.path.name))
    marks = describe_marks(reading, slices, volume.affine, {tuple(voxel) for voxel in covered.tolist()})
    excluded += marks
    origins = {f"{reason} (excluded)": n for reason, n in sorted(Counter(e["reason"] for e in excluded).items())}
    return PaintedNodules(label, tuple(nodules), origins, tuple(notes), tuple(excluded))


def _shrunk_notes(nodules: Sequence[ReaderNodule], reading: Reading) -> list[Finding]:
    shrunk = sum(nodule.shrunk for nodule in nodules)
    if not shrunk:
        return []
    message = f"{shrunk} outlined nodules enclose no voxel: their center voxel was kept"
    return [Finding("LUN008", "note", message, file=reading.path.name)]


def describe_nodule(nodule: AgreedNodule, affine: Affine) -> dict[str, Any]:
    """Return a nodule as the data list has it.

    ``diameter_mm`` is that of a sphere with the consensus' volume, ``malignancy`` the readers' median (1 to 5), and
    ``malignant`` the verdict of LUNA16's table: two readers at least rate it 4 or 5; None with fewer than two ratings.
    """
    ratings = nodule.malignancies
    suspicious = sum(rating >= SUSPICIOUS_RATING for rating in ratings) >= SUSPICIOUS_READERS
    return {
        "center_lps_mm": _center_lps(affine, nodule.consensus.mean(axis=0)),
        "diameter_mm": round(equivalent_diameter_mm(len(nodule.consensus), voxel_volume_mm3(affine)), 3),
        "malignant": suspicious if len(ratings) >= SUSPICIOUS_READERS else None,
        "malignancy": float(statistics.median(ratings)) if ratings else None,
        "readers": nodule.readers,
    }


def describe_excluded(nodule: AgreedNodule, affine: Affine, minimum_readers: int) -> dict[str, Any]:
    """Return a nodule on which too few readers agree, with the mean diameter of their own masks."""
    voxel = voxel_volume_mm3(affine)
    diameters = [equivalent_diameter_mm(len(member.voxels), voxel) for member in nodule.members]
    few = nodule.readers < minimum_readers
    return {
        "center_lps_mm": _center_lps(affine, nodule.union.mean(axis=0)),
        "diameter_mm": round(statistics.mean(diameters), 3),
        "reason": "too few readers" if few else "no common voxel",
        "readers": nodule.readers,
    }


def describe_marks(
    reading: Reading, slices: dict[str, int], affine: Affine, covered: set[tuple[int, ...]]
) -> list[dict[str, Any]]:
    """Return nodules below 3 mm and non-nodules, each once, without those that lie in a nodule of the mask.

    Args:
        reading: of the readers.
        slices: the place of each slice in the volume by its UID.
        affine: of the volume.
        covered: voxels of any reader of the nodules in the mask: others saw more there than a point.
    """
    found: list[tuple[MarkKind, int, list[float], set[int]]] = []
    for kind, reader, voxel in _marks(reading, slices):
        if voxel in covered:
            continue
        center = _center_lps(affine, np.array(voxel))
        near = [f for f in found if f[0] == kind and np.linalg.norm(np.subtract(f[2], center)) <= SAME_MARK_MM]
        if near:
            near[0][3].add(reader)
        else:
            found.append((kind, reader, center, {reader}))
    return [
        {"center_lps_mm": center, "diameter_mm": None, "reason": kind, "readers": len(readers)}
        for kind, _, center, readers in found
    ]


def _marks(reading: Reading, slices: dict[str, int]) -> Iterator[tuple[MarkKind, int, tuple[int, int, int]]]:
    for number, reader in enumerate(reading.readers):
        for mark in reader.marks:
            yield mark.kind, number, (*mark.point, slices[mark.sop_uid])


def _center_lps(affine: Affine, index: Any) -> list[float]:
    return [round(float(value), 4) for value in flip_lps(to_world(affine, index))]
