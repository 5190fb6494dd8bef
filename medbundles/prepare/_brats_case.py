"""One case of several contrasts: read, corrected, brought onto one grid, written; runs in a worker process."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medbundles.checks.verdict import apply_allow, has_errors
from medbundles.components import bias_correction, registration, resampling
from medbundles.errors import DataError
from medbundles.io.contrasts import ContrastCase
from medbundles.io.grids import Affine, spacing_of
from medbundles.io.hashing import sha256_data, sha256_file
from medbundles.io.headers import Geometry
from medbundles.io.images import read_volume, write_volume
from medbundles.prepare import _bring, _contrast_alignment, _contrast_volumes, _label_grid
from medbundles.prepare._bring import STORED_SUFFIX, bring
from medbundles.prepare._case_result import CaseResult, code_hash
from medbundles.prepare._contrast_alignment import Placement, brain_of, place_contrast
from medbundles.prepare._contrast_volumes import (
    Contrast,
    Grid,
    keep_brain,
    measure_contrast,
    put_on_grid,
    read_contrasts,
    target_grid,
    without_bias,
)
from medbundles.prepare._label_grid import map_labels, resample_labels
from medbundles.prepare._workspace import finish_once
from medbundles.prepare.fingerprint import describe_values

# What shapes a case's files, besides what every kind of source uses.
CODE = (bias_correction, registration, resampling, _bring, _contrast_alignment, _contrast_volumes, _label_grid)


@dataclass(frozen=True)
class CaseOptions:
    """What shapes the files of a case.

    Attributes:
        contrasts: names in order.
        label_map: our value of each stored label value but 0.
        bias_correction: whether N4 takes the bias field out of each contrast.
        register: whether each contrast is moved to the reference.
        reference: the contrast that stays.
        spacing: edge of cubic voxels in mm; None keeps the voxels there are.
        geometry: which NIfTI form counts where sform and qform disagree.
    """

    contrasts: tuple[str, ...]
    label_map: Mapping[int, int]
    bias_correction: bool = False
    register: bool = False
    reference: str = "t1c"
    spacing: float | None = None
    geometry: Geometry | None = None


@dataclass(frozen=True)
class CaseJob:
    """What one worker needs to know.

    Attributes:
        case: the case and its files.
        label: its label; a case without is refused before there is a job for it.
        volumes: where each contrast lies in a 4D image; empty for one file a contrast.
        options: what to make of them.
        output: the prepared folder.
        allow: fault codes that are taken as warnings.
    """

    case: ContrastCase
    label: Path
    volumes: tuple[int, ...]
    options: CaseOptions
    output: Path
    allow: tuple[str, ...] = ()


def convert_case(job: CaseJob) -> CaseResult:
    """Write the files of one case, unless an earlier run has done exactly that.

    A case that must not be used comes back with error findings and without files.
    """
    case = job.case.name
    try:
        return CaseResult.finished(case, *finish_once(job.output, case, _key(job), partial(_convert, job)))
    except DataError as error:
        return CaseResult.refused(case, error.findings)


def file_names(case: str, contrasts: tuple[str, ...]) -> tuple[list[str], str]:
    """Return the files of a case in the prepared folder: one image a contrast, and the label."""
    return [f"images/{case}_{name}{STORED_SUFFIX}" for name in contrasts], f"labels/{case}{STORED_SUFFIX}"


def _key(job: CaseJob) -> str:
    case = job.case
    hashes = [sha256_file(path) if path else None for path in (*case.images, job.label, case.mask)]
    options = {**asdict(job.options), "label_map": sorted(job.options.label_map.items())}
    versions = [code_hash(*CODE), sha256_file(__file__)]
    return sha256_data([case.name, hashes, list(job.volumes), options, sorted(job.allow), versions])


def _convert(job: CaseJob) -> tuple[dict[str, Any], list[str]]:
    """Write the files of a case; return what is known of it, and the files.

    Raises:
        DataError: the case must not be used; with everything that was found.
    """
    there = {name: path for name, path in zip(job.options.contrasts, job.case.images, strict=True) if path}
    volumes = dict(zip(job.options.contrasts, job.volumes, strict=True)) if job.volumes else {}
    contrasts, findings = read_contrasts(there, volumes, job.options.geometry)
    judged = [replace(finding, case=job.case.name) for finding in apply_allow(findings, job.allow)]
    if has_errors(judged):
        raise DataError(findings=judged)
    measured = {each.name: measure_contrast(each.volume.array) for each in contrasts}
    if job.case.mask is not None:
        contrasts = keep_brain(contrasts, job.case.mask, job.options.geometry)
    uneven: dict[str, float] = {}
    if job.options.bias_correction:
        contrasts, uneven = without_bias(contrasts)
    base = _base(contrasts, job.options)
    placements = _place(contrasts, base, job.options) if job.options.register else {}
    grid = target_grid(base.volume, job.options.spacing)
    made = [put_on_grid(each, base.volume, grid, placements.get(each.name)) for each in contrasts]
    drawn = map_labels(read_volume(job.label, geometry=job.options.geometry).array, job.options.label_map)
    label = resample_labels(drawn, base.volume.affine, grid)
    files = _write(job, made, label, grid)
    entry = _entry(made, label, grid, measured)
    if uneven:
        entry["bias"] = {name: round(value, 3) for name, value in uneven.items()}
    if placements:
        entry["registration"] = {name: placement.as_dict() for name, placement in placements.items()}
    return {"findings": [finding.as_dict() for finding in judged], "fingerprint": entry}, files


def _base(contrasts: list[Contrast], options: CaseOptions) -> Contrast:
    """Return the contrast whose voxels the label was drawn on."""
    if not options.register:
        return contrasts[0]
    return next(each for each in contrasts if each.name == options.reference)


def _place(contrasts: list[Contrast], base: Contrast, options: CaseOptions) -> dict[str, Placement]:
    brain = brain_of(base.volume)
    return {
        each.name: place_contrast(each.volume, base.volume, brain)
        for each in contrasts
        if each.name != options.reference
    }


def _write(job: CaseJob, contrasts: list[Contrast], label: npt.NDArray[np.uint8], grid: Grid) -> list[str]:
    images, label_file = file_names(job.case.name, job.options.contrasts)
    names = dict(zip(job.options.contrasts, images, strict=True))
    for each in contrasts:
        target = job.output / names[each.name]
        if each.untouched:
            bring(each.file, target)
        else:
            write_volume(target, each.volume.array, grid[0])
    write_volume(job.output / label_file, label, grid[0])
    return [*(names[each.name] for each in contrasts), label_file]


def _entry(
    contrasts: list[Contrast], label: npt.NDArray[np.uint8], grid: Grid, measured: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """Return the case's entry of ``fingerprint.json``."""
    edges = spacing_of(grid[0])
    contents = {each.name: _content(each.volume.array, grid[0]) for each in contrasts}
    voxels = np.bincount(label.ravel(), minlength=2)
    milliliters = float(np.prod(edges)) / 1000
    return {
        "shape": list(grid[1]),
        "spacing_mm": [round(edge, 6) for edge in edges],
        "image_sha256": sha256_data(contents),
        "label_sha256": _content(label, grid[0]),
        # An image in which all voxels are the same tells no person from another.
        **{f"{each.name}_sha256": contents[each.name] for each in contrasts if np.ptp(each.volume.array)},
        "label_ml": {str(n): round(int(voxels[n]) * milliliters, 3) for n in range(1, len(voxels)) if voxels[n]},
        "source": {each.name: dict(measured[each.name]) for each in contrasts},
        "intensities": {
            each.name: describe_values(each.volume.array[each.volume.array != 0].astype(np.float32))
            for each in contrasts
        },
    }


def _content(volume: npt.NDArray[Any], affine: Affine) -> str:
    """Return a hash of voxels and grid, whatever the file's type and compression."""
    digest = hashlib.sha256(np.ascontiguousarray(volume, dtype=np.float32).tobytes())
    digest.update(affine.round(4).astype("<f4").tobytes())
    return digest.hexdigest()
