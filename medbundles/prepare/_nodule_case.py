"""What every source of lung nodules does with one scan: check its voxels, write image and mask once, describe both."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from medbundles.checks import voxels
from medbundles.checks.nifti import check_finite, check_hounsfield
from medbundles.checks.verdict import apply_allow, has_errors
from medbundles.checks.voxels import VoxelFacts, measure
from medbundles.errors import Finding
from medbundles.io.hashing import sha256_data
from medbundles.io.headers import ImageHeader
from medbundles.io.images import Volume, write_volume
from medbundles.prepare import fingerprint
from medbundles.prepare._case_result import CaseResult, code_hash
from medbundles.prepare._workspace import finish_once

STORED_TYPE = np.int16


@dataclass(frozen=True)
class PaintedNodules:
    """The mask of one scan and what it shows.

    Attributes:
        label: ``(H, W, D)``, 1 in nodules.
        nodules: as the data list has them, each with ``center_lps_mm``, ``diameter_mm`` and ``malignant``.
        origins: how many masks came about in which way.
        notes: what was repaired on the way.
        excluded: findings that count neither as nodule nor as its absence; None where the source has no such list.
    """

    label: npt.NDArray[np.uint8]
    nodules: tuple[dict[str, Any], ...]
    origins: dict[str, int]
    notes: tuple[Finding, ...] = ()
    excluded: tuple[dict[str, Any], ...] | None = None


@dataclass(frozen=True)
class NoduleResult(CaseResult):
    """What came of one scan.

    Attributes:
        nodules: as the data list has them.
        excluded: as the data list has them; None where the source has no such list.
        origins: how many masks came about in which way.
    """

    nodules: tuple[dict[str, Any], ...] = ()
    excluded: tuple[dict[str, Any], ...] | None = None
    origins: dict[str, int] = field(default_factory=dict)


def convert_volume(
    case: str,
    file: str,
    volume: Volume,
    paint: Callable[[Volume], PaintedNodules],
    *,
    output: Path,
    allow: Collection[str],
    depends_on: Any,
    code: Sequence[ModuleType],
    findings: Sequence[Finding] = (),
) -> NoduleResult:
    """Write image and mask of one scan, unless an earlier run has done exactly that.

    Args:
        case: the case's name.
        file: name of the scan's file, for messages.
        volume: the scan in HU, in the type it was stored in.
        paint: makes the mask; is given the scan as int16.
        output: the prepared folder.
        allow: fault codes that are taken as warnings.
        depends_on: what else the mask depends on: annotations, options (plain data).
        code: what makes the mask.
        findings: what was found when the scan was read.

    Returns:
        The result; for a scan that must not be used with error findings and without files.
    """
    facts = measure(volume.array, "CT")
    shape, stored_type = volume.array.shape, volume.array.dtype
    header = ImageHeader(file, shape, stored_type, volume.spacing, volume.affine)
    judged = [replace(f, case=case) for f in apply_allow([*findings, *check_voxels(header, facts)], allow)]
    if has_errors(judged):
        return NoduleResult(case, tuple(judged))
    hashed = code_hash(sys.modules[__name__], voxels, fingerprint, *code)
    key = sha256_data([asdict(facts), volume.affine.tolist(), depends_on, hashed, [f.as_dict() for f in judged]])
    stored, reused = finish_once(output, case, key, partial(_write, case, volume, facts, paint, judged, output))
    excluded = None if stored["excluded"] is None else tuple(stored["excluded"])
    nodules, origins = tuple(stored["nodules"]), stored["origins"]
    return NoduleResult.finished(case, stored, reused, nodules=nodules, excluded=excluded, origins=origins)


def _write(
    case: str,
    scan: Volume,
    facts: VoxelFacts,
    paint: Callable[[Volume], PaintedNodules],
    findings: Sequence[Finding],
    output: Path,
) -> tuple[dict[str, Any], list[str]]:
    volume = Volume(to_int16(scan.array), scan.affine)
    painted = paint(volume)
    names = [f"images/{case}.nii.gz", f"labels/{case}.nii.gz"]
    write_volume(output / names[0], volume.array, volume.affine)
    write_volume(output / names[1], painted.label, volume.affine)
    lungs = fingerprint.lung_sample(volume.array, volume.affine)
    regions = {"lungs": lungs, "nodules": volume.array[painted.label > 0]}
    notes = [replace(note, case=case) for note in painted.notes]
    content = {
        "nodules": list(painted.nodules),
        "excluded": None if painted.excluded is None else list(painted.excluded),
        "findings": [finding.as_dict() for finding in (*findings, *notes)],
        "origins": painted.origins,
        "fingerprint": {
            "shape": list(volume.array.shape),
            "spacing_mm": [round(edge, 6) for edge in volume.spacing],
            "label_sha256": measure(painted.label).content_sha256,
            "diameters_mm": [nodule["diameter_mm"] for nodule in painted.nodules],
            "intensities": {name: fingerprint.describe_values(values) for name, values in regions.items()},
            "image_sha256": facts.content_sha256,
        },
    }
    return content, names


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
