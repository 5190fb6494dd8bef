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

from medbundles.checks.nonfinite import count_nonfinite, describe
from medbundles.checks.verdict import apply_allow, has_errors
from medbundles.components import bias_correction, registration, resampling
from medbundles.components.bias_correction import correct_bias
from medbundles.components.resampling import isotropic_grid, resample
from medbundles.errors import DataError, Finding
from medbundles.io.contrasts import ContrastCase
from medbundles.io.grids import CORNER_TOLERANCE_VOXELS, Affine, corner_displacement_voxels, spacing_of
from medbundles.io.hashing import sha256_data, sha256_file
from medbundles.io.headers import Geometry, read_header
from medbundles.io.images import Volume, read_volume, write_volume
from medbundles.prepare import _bring, _contrast_alignment, _label_grid
from medbundles.prepare._bring import STORED_SUFFIX, bring
from medbundles.prepare._case_result import CaseResult, code_hash
from medbundles.prepare._contrast_alignment import Placement, brain_of, place_contrast
from medbundles.prepare._label_grid import map_labels, resample_labels
from medbundles.prepare._workspace import finish_once
from medbundles.prepare.fingerprint import describe_values

Grid = tuple[Affine, tuple[int, int, int]]

# What shapes a case's files, besides what every kind of source uses.
CODE = (bias_correction, registration, resampling, _bring, _contrast_alignment, _label_grid)
# Voxel edges that differ by less are the same.
SAME_EDGE_MM = 1e-3


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


@dataclass(frozen=True)
class _Contrast:
    """A contrast on its way: its file, its voxels, and whether these are still the file's."""

    name: str
    file: Path
    volume: Volume
    untouched: bool


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
    contrasts, findings = _read(job)
    judged = [replace(finding, case=job.case.name) for finding in apply_allow(findings, job.allow)]
    if has_errors(judged):
        raise DataError(findings=judged)
    measured = {each.name: _measure(each.volume.array) for each in contrasts}
    contrasts = [_masked(each, job) for each in contrasts] if job.case.mask else contrasts
    uneven: dict[str, float] = {}
    if job.options.bias_correction:
        contrasts, uneven = _unbiased(contrasts)
    base = _base(contrasts, job.options)
    placements = _place(contrasts, base, job.options) if job.options.register else {}
    grid = _target(base.volume, job.options.spacing)
    made = [_on_grid(each, base.volume, grid, placements.get(each.name)) for each in contrasts]
    drawn = map_labels(read_volume(job.label, geometry=job.options.geometry).array, job.options.label_map)
    label = resample_labels(drawn, base.volume.affine, grid)
    files = _write(job, made, label, grid)
    entry = _entry(made, label, grid, measured)
    if uneven:
        entry["bias"] = {name: round(value, 3) for name, value in uneven.items()}
    if placements:
        entry["registration"] = {name: placement.as_dict() for name, placement in placements.items()}
    return {"findings": [finding.as_dict() for finding in judged], "fingerprint": entry}, files


def _read(job: CaseJob) -> tuple[list[_Contrast], list[Finding]]:
    """Read the contrasts there are, and check their voxels.

    Raises:
        DataError: a file that cannot be read (NII001 to NII005).
    """
    findings: list[Finding] = []
    contrasts = []
    several: Volume | None = None
    for place, (name, path) in enumerate(zip(job.options.contrasts, job.case.images, strict=True)):
        if path is None:
            continue
        if job.volumes:
            several = several or read_volume(path, geometry=job.options.geometry)
            volume = Volume(several.array[..., job.volumes[place]], several.affine)
        else:
            volume = read_volume(path, geometry=job.options.geometry)
        file = f"{path.name}, {name}" if job.volumes else path.name
        broken, in_tissue = count_nonfinite(volume.array)
        if broken:
            message = f"{describe(broken, in_tissue, volume.array.size)}; expected none in training"
            findings.append(Finding("NII002", "error", message, "mend the file", file=file))
        elif volume.array.min() == volume.array.max():
            message = f"a constant image: every voxel is {volume.array.flat[0]:g}"
            findings.append(Finding("NII011", "warning", message, "look at the file", file=file))
        as_it_is = not job.volumes and job.options.geometry is None and _storable(path)
        contrasts.append(_Contrast(name, path, volume, as_it_is))
    return contrasts, findings


def _storable(path: Path) -> bool:
    """Tell whether a file can be taken over as it is: three axes, a place in the world, whole on its own."""
    header = read_header(path)
    return len(header.shape) == 3 and header.has_world and path.name.lower().endswith((".nii", STORED_SUFFIX))


def _measure(array: npt.NDArray[Any]) -> dict[str, Any]:
    """Return what later readers of an image want to know of it as it came."""
    return {
        "minimum": float(array.min()),
        "negative_voxels": int(np.count_nonzero(array < 0)),
        "background_share": round(1 - np.count_nonzero(array) / array.size, 4),
    }


def _masked(each: _Contrast, job: CaseJob) -> _Contrast:
    if job.case.mask is None:
        return each
    brain = read_volume(job.case.mask, geometry=job.options.geometry).array > 0
    if brain.shape != each.volume.array.shape:
        message = f"the brain's mask has {brain.shape} voxels, {each.name} has {each.volume.array.shape}"
        raise DataError(findings=[Finding("NII004", "error", message, "resample it", file=job.case.mask.name)])
    array = np.where(brain, each.volume.array, each.volume.array.dtype.type(0))
    return replace(each, volume=Volume(array, each.volume.affine), untouched=False)


def _unbiased(contrasts: list[_Contrast]) -> tuple[list[_Contrast], dict[str, float]]:
    corrected = []
    uneven = {}
    for each in contrasts:
        array, uneven[each.name] = correct_bias(each.volume.array, each.volume.affine, brain_of(each.volume))
        corrected.append(replace(each, volume=Volume(array, each.volume.affine), untouched=False))
    return corrected, uneven


def _base(contrasts: list[_Contrast], options: CaseOptions) -> _Contrast:
    """Return the contrast whose voxels the label was drawn on."""
    if not options.register:
        return contrasts[0]
    return next(each for each in contrasts if each.name == options.reference)


def _place(contrasts: list[_Contrast], base: _Contrast, options: CaseOptions) -> dict[str, Placement]:
    brain = brain_of(base.volume)
    return {
        each.name: place_contrast(each.volume, base.volume, brain)
        for each in contrasts
        if each.name != options.reference
    }


def _target(base: Volume, spacing: float | None) -> Grid:
    shape = base.array.shape
    kept = (shape[0], shape[1], shape[2])
    if spacing is None or max(abs(edge - spacing) for edge in base.spacing) < SAME_EDGE_MM:
        return base.affine, kept
    return isotropic_grid(base.affine, kept, spacing)


def _on_grid(each: _Contrast, base: Volume, grid: Grid, placement: Placement | None) -> _Contrast:
    """Return a contrast on the wanted voxels; without a placement it lies on the base voxel by voxel."""
    affine, shape = grid
    source = each.volume.affine if placement is not None else base.affine
    moved = placement is not None and placement.moved
    same = each.volume.array.shape == shape and _close(source, affine, shape)
    if same and not moved:
        kept = each.untouched and _close(each.volume.affine, affine, shape)
        return replace(each, volume=Volume(each.volume.array, affine), untouched=kept)
    transform = placement.alignment.transform if placement is not None and placement.moved else np.eye(4)
    array = resample(each.volume.array, source, transform @ affine, shape)
    return replace(each, volume=Volume(array, affine), untouched=False)


def _close(first: Affine, second: Affine, shape: tuple[int, int, int]) -> bool:
    return corner_displacement_voxels(first, second, shape) < CORNER_TOLERANCE_VOXELS


def _write(job: CaseJob, contrasts: list[_Contrast], label: npt.NDArray[np.uint8], grid: Grid) -> list[str]:
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
    contrasts: list[_Contrast], label: npt.NDArray[np.uint8], grid: Grid, measured: Mapping[str, Mapping[str, Any]]
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
        **{f"{name}_sha256": content for name, content in contents.items()},
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
