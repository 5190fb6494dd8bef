"""One LUNA16 scan: read, checked, its nodules painted, written as NIfTI; runs in a worker process."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medbundles.errors import DataError, Finding
from medbundles.io.images import Volume, flip_lps, read_volume, to_index
from medbundles.io.luna16 import Annotation
from medbundles.prepare import nodule_masks
from medbundles.prepare._nodule_case import NoduleResult, PaintedNodules, convert_volume


@dataclass(frozen=True)
class CaseJob:
    """What one worker needs to know.

    Attributes:
        case: the case's name (the series).
        path: the ``.mhd`` file.
        annotations: its nodules.
        mask_rule: a key of :data:`medbundles.prepare.nodule_masks.MASK_RULES`.
        output: the prepared folder.
        allow: fault codes that are taken as warnings.
        excluded: what counts neither way in it; None where the source has no such table.
    """

    case: str
    path: Path
    annotations: tuple[Annotation, ...]
    mask_rule: str
    output: Path
    allow: tuple[str, ...] = ()
    excluded: tuple[dict[str, Any], ...] | None = None


def convert_case(job: CaseJob) -> NoduleResult:
    """Write image and mask of one scan, unless an earlier run has done exactly that.

    A scan that must not be used comes back with error findings and without files.
    """
    try:
        volume = read_volume(job.path)
    except DataError as error:
        return NoduleResult.refused(job.case, error.findings)

    def paint(scan: Volume) -> PaintedNodules:
        label, origins, notes = paint_nodules(scan, job.annotations, job.mask_rule)
        nodules = tuple(_entry(row) for row in job.annotations)
        return PaintedNodules(label, nodules, origins, tuple(notes), job.excluded)

    return convert_volume(
        job.case,
        job.path.name,
        volume,
        paint,
        output=job.output,
        allow=job.allow,
        depends_on=[[asdict(row) for row in job.annotations], job.excluded, job.mask_rule],
        code=(sys.modules[__name__], nodule_masks),
    )


def paint_nodules(
    volume: Volume, annotations: Sequence[Annotation], mask_rule: str
) -> tuple[npt.NDArray[np.uint8], dict[str, int], list[Finding]]:
    """Return the label map ``(H, W, D)``, how the masks came about, and a note for each fallback (LUN008)."""
    label = np.zeros(volume.array.shape, dtype=np.uint8)
    origins: Counter[str] = Counter()
    notes = []
    for row in annotations:
        center = to_index(volume.affine, flip_lps(row.center_lps_mm))
        mask = nodule_masks.mask_nodule(volume.array, volume.affine, center, row.diameter_mm, mask_rule)
        mask.paint(label)
        origins[mask.origin] += 1
        if mask.origin == "center voxel":
            message = f"row {row.row}: {row.diameter_mm:.1f} mm, between voxel centers: its center voxel was kept"
            notes.append(Finding("LUN008", "note", message, case=row.series, file=row.file))
        elif mask.origin == "sphere" and mask_rule != "sphere":
            message = f"row {row.row}: nothing at the center stands out from the lung: its sphere was kept"
            notes.append(Finding("LUN008", "note", message, case=row.series, file=row.file))
    return label, {f"masks by {name}": origins[name] for name in sorted(origins)}, notes


def _entry(row: Annotation) -> dict[str, Any]:
    center = list(row.center_lps_mm)
    kind = {"type": row.type} if row.type else {}
    return {"center_lps_mm": center, "diameter_mm": row.diameter_mm, "malignant": row.malignant, **kind}
