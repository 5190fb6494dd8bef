"""One LUNA16 scan: read, checked, its nodules painted, written as NIfTI; runs in a worker process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medbundles import __version__
from medbundles.checks import voxels
from medbundles.checks.nifti import check_finite, check_hounsfield
from medbundles.checks.verdict import apply_allow, has_errors
from medbundles.checks.voxels import VoxelFacts, measure
from medbundles.errors import DataError, Finding
from medbundles.io import images
from medbundles.io.hashing import sha256_data, sha256_file
from medbundles.io.headers import ImageHeader, read_header
from medbundles.io.images import Volume, flip_lps, read_volume, to_index, write_volume
from medbundles.io.luna16 import Annotation
from medbundles.prepare import fingerprint, nodule_masks
from medbundles.prepare._workspace import load_finished, store_finished

STORED_TYPE = np.int16


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
    """

    case: str
    path: Path
    annotations: tuple[Annotation, ...]
    mask_rule: str
    output: Path
    allow: tuple[str, ...] = ()


@dataclass(frozen=True)
class CaseResult:
    """What came of one scan.

    Attributes:
        case: the case's name.
        findings: what was repaired or refused.
        nodules: as the data list has them.
        fingerprint: the case's entry in ``fingerprint.json``; empty when it was refused.
        origins: how many masks came about in which way.
        reused: whether an earlier run had finished it.
    """

    case: str
    findings: tuple[Finding, ...]
    nodules: tuple[dict[str, Any], ...] = ()
    fingerprint: dict[str, Any] | None = None
    origins: dict[str, int] | None = None
    reused: bool = False


def convert_case(job: CaseJob) -> CaseResult:
    """Write image and mask of one scan, unless an earlier run has done exactly that.

    A scan that must not be used comes back with error findings and without files.
    """
    try:
        header, volume = read_header(job.path), read_volume(job.path)
    except DataError as error:
        return CaseResult(job.case, tuple(replace(finding, case=job.case) for finding in error.findings))
    facts = measure(volume.array, "CT")
    findings = [replace(finding, case=job.case) for finding in apply_allow(check_voxels(header, facts), job.allow)]
    if has_errors(findings):
        return CaseResult(job.case, tuple(findings))
    depends_on = [asdict(facts), volume.affine.tolist(), [asdict(row) for row in job.annotations]]
    key = sha256_data([depends_on, [finding.as_dict() for finding in findings], job.mask_rule, code_hash()])
    stored = load_finished(job.output, job.case, key)
    reused = stored is not None
    if stored is None:
        volume = Volume(to_int16(volume.array), volume.affine)
        content, files = _write(job, volume, findings)
        content["fingerprint"]["image_sha256"] = facts.content_sha256
        stored = store_finished(job.output, job.case, {"key": key, **content}, files)
    return CaseResult(
        case=job.case,
        findings=tuple(Finding(**finding) for finding in stored["findings"]),
        nodules=tuple(stored["nodules"]),
        fingerprint=stored["fingerprint"],
        origins=stored["origins"],
        reused=reused,
    )


def _write(job: CaseJob, volume: Volume, findings: Sequence[Finding]) -> tuple[dict[str, Any], list[str]]:
    label, origins, notes = paint_nodules(volume, job.annotations, job.mask_rule)
    names = [f"images/{job.case}.nii.gz", f"labels/{job.case}.nii.gz"]
    write_volume(job.output / names[0], volume.array, volume.affine)
    write_volume(job.output / names[1], label, volume.affine)
    regions = {"lungs": fingerprint.lung_sample(volume.array, volume.affine), "nodules": volume.array[label > 0]}
    content = {
        "nodules": [_entry(row) for row in job.annotations],
        "findings": [finding.as_dict() for finding in (*findings, *notes)],
        "origins": origins,
        "fingerprint": {
            "shape": list(volume.array.shape),
            "spacing_mm": [round(edge, 6) for edge in volume.spacing],
            "label_sha256": measure(label).content_sha256,
            "diameters_mm": [row.diameter_mm for row in job.annotations],
            "intensities": {name: fingerprint.describe_values(values) for name, values in regions.items()},
        },
    }
    return content, names


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
    return label, dict(sorted(origins.items())), notes


def check_voxels(header: ImageHeader, facts: VoxelFacts) -> list[Finding]:
    """Refuse voxels that are no numbers (NII002) or no HU (NII013); say when int16 cannot hold them."""
    findings = check_finite(facts, "train", header.name) + check_hounsfield(header, facts)
    limits = np.iinfo(STORED_TYPE)
    if facts.minimum < limits.min or facts.maximum > limits.max:
        message = f"values {facts.minimum:g} to {facts.maximum:g} were clipped to {limits.min}..{limits.max} HU"
        findings.append(Finding("NII013", "warning", message, file=header.name))
    return findings


def to_int16(array: npt.NDArray[Any]) -> npt.NDArray[np.int16]:
    """Return the voxels as int16 HU, rounded and clipped where they are not."""
    limits = np.iinfo(STORED_TYPE)
    if array.dtype.kind not in "iu":
        array = np.rint(array)
    clipped: npt.NDArray[np.int16] = np.clip(array, limits.min, limits.max).astype(STORED_TYPE, copy=False)
    return clipped


def code_hash() -> str:
    """Return a hash of the code that shapes a case's files, so that a newer version converts again."""
    modules = (images, voxels, nodule_masks, fingerprint)
    files = (Path(__file__), *(Path(str(module.__file__)) for module in modules))
    return sha256_data([__version__, *(sha256_file(file) for file in files)])


def _entry(row: Annotation) -> dict[str, Any]:
    center = list(row.center_lps_mm)
    return {"center_lps_mm": center, "diameter_mm": row.diameter_mm, "malignant": row.malignant}
