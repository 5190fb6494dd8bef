"""One diffusion MRI with its T1w: read, fitted, brought onto one grid, written; runs in a worker process."""

from __future__ import annotations

import hashlib
import importlib.metadata
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medbundles.checks import gradients as gradient_checks
from medbundles.checks.nonfinite import count_nonfinite, describe
from medbundles.checks.verdict import apply_allow, has_errors
from medbundles.components import registration, resampling
from medbundles.components.diffusion import brain_mask, channels, coherence, preparation, tensor
from medbundles.components.diffusion.brain_mask import as_brain
from medbundles.components.diffusion.preparation import FittedScan, PreparedScan, fit_scan, make_channels, standardized
from medbundles.components.overlay import write_png
from medbundles.errors import DataError, Finding
from medbundles.io import gradients
from medbundles.io.diffusion_cases import DiffusionCase
from medbundles.io.grids import Affine, spacing_of, to_index, to_world
from medbundles.io.hashing import sha256_data, sha256_file
from medbundles.io.headers import Geometry
from medbundles.io.images import Volume, read_volume, write_volume
from medbundles.prepare import _registration_preview, _t1w_alignment
from medbundles.prepare._case_result import CaseResult, code_hash
from medbundles.prepare._t1w_alignment import PlacedT1w, place_t1w
from medbundles.prepare._workspace import finish_once

Mask = npt.NDArray[np.bool_]

# What shapes a case's files, besides what every kind of source uses.
CODE = (
    *(gradient_checks, gradients, resampling, brain_mask, channels, coherence, preparation, registration, tensor),
    *(_registration_preview, _t1w_alignment),
)
# A corner of the grid's outermost voxels may lie this far outside by rounding.
ROUNDING_VOXELS = 1e-3


@dataclass(frozen=True)
class CaseOptions:
    """What shapes the files of a case.

    Attributes:
        channels: names in order.
        grid: ``dwi``, ``t1w``, or the edge of cubic voxels in mm.
        register: whether to move the T1w to the diffusion MRI.
        b0_threshold: largest b-value that counts as unweighted, in s/mm2.
        shell: b-value of the shell to take; None takes the one nearest to 1000 s/mm2.
        geometry: which NIfTI form counts where sform and qform disagree.
    """

    channels: tuple[str, ...]
    grid: str | float
    register: bool
    b0_threshold: float
    shell: float | None
    geometry: Geometry | None = None


@dataclass(frozen=True)
class CaseJob:
    """What one worker needs to know.

    Attributes:
        case: the case and its files.
        t1w: its T1w; a case without is refused before there is a job for it.
        options: what to make of them.
        output: the prepared folder.
        allow: fault codes that are taken as warnings.
    """

    case: DiffusionCase
    t1w: Path
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


def file_names(case: str, names: tuple[str, ...]) -> tuple[list[str], str, str]:
    """Return the files of a case in the prepared folder: one image a channel, the label and the mask."""
    images = [f"images/{case}_{name}.nii.gz" for name in names]
    return images, f"labels/{case}.nii.gz", f"masks/{case}.nii.gz"


def _key(job: CaseJob) -> str:
    case = job.case
    sources = [case.dwi, case.b_values, case.b_vectors, job.t1w, case.mask]
    hashes = [sha256_file(path) if path else None for path in sources]
    versions = [importlib.metadata.version("dipy"), code_hash(*CODE), sha256_file(__file__)]
    return sha256_data([case.name, hashes, asdict(job.options), sorted(job.allow), versions])


def _convert(job: CaseJob) -> tuple[dict[str, Any], list[str]]:
    """Write the files of a case; return what is known of it, and the files.

    Raises:
        DataError: the case must not be used; with everything that was found.
    """
    scan, placed = _read(job)
    judged = apply_allow([*scan.findings, *placed.findings], job.allow)
    findings = [replace(finding, case=job.case.name) for finding in judged]
    if has_errors(findings):
        raise DataError(findings=findings)
    files, entry = _write(job, scan, placed)
    return {"findings": [finding.as_dict() for finding in findings], "fingerprint": entry}, files


def _read(job: CaseJob) -> tuple[FittedScan, PlacedT1w]:
    """Fit the scan and put the T1w beside it.

    Raises:
        DataError: files that must not be used (NII001 to NII007, DWI001 to DWI012).
    """
    options = job.options
    volumes = _finite(job.case.dwi, options.geometry)
    mask = None
    if job.case.mask is not None:
        mask = as_brain(read_volume(job.case.mask, geometry=options.geometry).array, job.case.mask.name)
    table = gradients.read_gradients(job.case.b_values, job.case.b_vectors)
    scan = fit_scan(
        volumes.array, volumes.affine, table, mask=mask, b0_threshold=options.b0_threshold, shell=options.shell
    )
    del volumes  # the largest by far; what is needed of it has been taken
    t1w = _finite(job.t1w, options.geometry)
    _refuse_constant(t1w.array, job.t1w.name)
    t1w = Volume(t1w.array.astype(np.float32, copy=False), t1w.affine)
    findings = [replace(finding, file=finding.file or job.case.dwi.name) for finding in scan.findings]
    scan = replace(scan, findings=tuple(findings))
    return scan, place_t1w(t1w, scan, options.register, job.t1w.name)


def _finite(path: Path, geometry: Geometry | None) -> Volume:
    volume = read_volume(path, geometry=geometry)
    broken, in_tissue = count_nonfinite(volume.array)
    if broken:
        message = f"{describe(broken, in_tissue, volume.array.size)}; expected none in training"
        raise DataError(findings=[Finding("NII002", "error", message, "mend the file", file=path.name)])
    return volume


def _write(job: CaseJob, scan: FittedScan, placed: PlacedT1w) -> tuple[list[str], dict[str, Any]]:
    """Write image, label, mask and picture; return the files and the entry of ``fingerprint.json``.

    Raises:
        DataError: no voxel has both, or the T1w is constant there.
    """
    images, label_file, mask_file = file_names(job.case.name, job.options.channels)
    made = make_channels(scan, job.options.channels, _target(scan, placed.volume, job.options.grid))
    values = resampling.resample(placed.volume.array, placed.volume.affine, made.affine, made.mask.shape)
    # Training counts where both are known; the channels keep what inference sees.
    mask = made.mask & _seen(placed.volume, made)
    mean, deviation = _describe(values[mask], job.t1w.name)
    label = standardized(values, mask)
    for path, channel in zip(images, made.channels, strict=True):
        write_volume(job.output / path, channel, made.affine)
    write_volume(job.output / label_file, label, made.affine)
    write_volume(job.output / mask_file, mask.astype(np.uint8), made.affine)
    files = [*images, label_file, mask_file, *_draw(job, scan, placed)]
    return files, {
        "shape": list(mask.shape),
        "spacing_mm": [round(edge, 6) for edge in spacing_of(made.affine)],
        "image_sha256": sha256_data([_content(channel, made.affine) for channel in made.channels]),
        "label_sha256": _content(label, made.affine),
        "t1w_sha256": hashlib.sha256(placed.volume.array.tobytes()).hexdigest(),
        "mask_voxels": int(mask.sum()),
        "t1w": {"mean": mean, "std": deviation},
        "alignment": placed.as_dict(),
    }


def _target(scan: FittedScan, t1w: Volume, grid: str | float) -> tuple[Affine, tuple[int, int, int]] | None:
    if isinstance(grid, int | float):
        return resampling.isotropic_grid(scan.affine, scan.b0.shape, grid)
    if grid == "dwi":
        return None
    shape = t1w.array.shape
    return t1w.affine, (shape[0], shape[1], shape[2])


def _seen(t1w: Volume, made: PreparedScan) -> Mask:
    """Return the voxels of the mask that lie between voxels of the T1w, where its values are no guess."""
    seen = np.zeros(made.mask.shape, bool)
    index = to_index(t1w.affine, to_world(made.affine, np.argwhere(made.mask)))
    last = np.array(t1w.array.shape) - 1
    seen[made.mask] = ((index >= -ROUNDING_VOXELS) & (index <= last + ROUNDING_VOXELS)).all(axis=1)
    return seen


def _describe(values: npt.NDArray[np.float32], file: str) -> tuple[float, float]:
    """Return mean and standard deviation of a T1w inside the brain, in the scanner's units."""
    if not len(values):
        message = "the T1w and the brain mask have no voxel in common"
        raise DataError(findings=[Finding("DWI010", "error", message, "pass --register true", file=file)])
    _refuse_constant(values, file)
    return float(values.mean(dtype=np.float64)), float(values.std(dtype=np.float64))


def _refuse_constant(values: npt.NDArray[Any], file: str) -> None:
    if values.min() == values.max():
        message = f"every voxel is {values.flat[0]:g}: there is nothing to learn"
        raise DataError(findings=[Finding("NII011", "error", message, "take another T1w", file=file)])


def _content(volume: npt.NDArray[np.float32], affine: Affine) -> str:
    """Return a hash of voxels and grid, whatever the file's compression."""
    digest = hashlib.sha256(volume.tobytes())
    digest.update(affine.astype("<f4").tobytes())
    return digest.hexdigest()


def _draw(job: CaseJob, scan: FittedScan, placed: PlacedT1w) -> list[str]:
    if not job.options.register:
        return []
    after = placed.volume.affine
    before = placed.alignment.transform @ after if placed.moved else after
    name = f"previews/{job.case.name}_registration.png"
    picture = _registration_preview.draw_registration(placed.volume, (before, after), scan.maps.mask, scan.affine)
    write_png(job.output / name, picture, "T1w with the outline of the brain of the diffusion MRI, before and after")
    return [name]
