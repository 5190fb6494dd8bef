"""Raw diffusion MRI with a T1w of the same person as channels, targets and masks of a T1w synthesis."""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from medbundles.checks import refuse
from medbundles.checks.cases import examine
from medbundles.checks.config_values import LARGEST_EDGE_MM, SMALLEST_EDGE_MM
from medbundles.checks.diffusion_cases import inspect_pairs
from medbundles.checks.gradients import B0_THRESHOLD
from medbundles.components.diffusion.channels import parse_channels
from medbundles.components.resampling import isotropic_grid
from medbundles.errors import Finding
from medbundles.io.datalist import Record
from medbundles.io.diffusion_cases import DiffusionCase, find_diffusion_cases
from medbundles.io.diffusion_channels import DEFAULT
from medbundles.io.grids import spacing_of
from medbundles.io.headers import Geometry, read_header
from medbundles.io.packages import require_package
from medbundles.prepare._case_list import count_parts, deal_out, find_subjects, fold_entry, keep_good, publish
from medbundles.prepare._case_result import CaseResult
from medbundles.prepare._dwi_case import CaseJob, CaseOptions, convert_case, file_names
from medbundles.prepare._options import Expectations, SharedOptions, is_number
from medbundles.prepare._pool import run_jobs
from medbundles.prepare._workspace import Workspace, refuse_existing
from medbundles.prepare.folds import TEST, check_folds
from medbundles.prepare.report import PreparationReport

FOLDERS = ("images", "labels", "masks")
# Voxels that are longer than wide by more than this look to a network unlike the cubes that inference makes.
MOST_UNEVEN = 1.5
# Memory of a worker, as measured: Python, numpy and dipy themselves; then what fitting takes for each voxel of each
# volume; after that, volumes of the T1w's grid and, besides the channels, of the result's that are there at once.
BASE_BYTES = 300 << 20
FIT_BYTES = 12
T1W_VOLUMES = 4
GRID_VOLUMES = 18


def prepare(
    source: Path,
    output: Path,
    *,
    channels: str | Sequence[str] = DEFAULT,
    grid: str | float = "dwi",
    register: bool = False,
    b0_threshold: float = B0_THRESHOLD,
    shell: float | None = None,
    geometry: Geometry | None = None,
    folds: int = 5,
    test_fraction: float = 0.2,
    seed: int = 0,
    workers: int | None = None,
    overwrite: bool = False,
    allow: str | Collection[str] = (),
    skip_bad_cases: bool = False,
) -> PreparationReport:
    """Fit tensors and bring their maps and the T1w onto one grid; headers and gradients are checked before anything.

    Cases that an earlier run finished with the same source, options and code are not converted again; the files'
    bytes do not depend on the number of workers. All scans of a person are in one part of the split.

    Args:
        source: a BIDS data set, or folders ``CASE/`` with ``dwi.nii.gz dwi.bval dwi.bvec t1w.nii.gz`` and perhaps
            ``mask.nii.gz``.
        output: prepared folder: ``images/ labels/ masks/ datalist.json fingerprint.json report.json``, with
            ``register`` also ``previews/``.
        channels: names of channels and of groups of them, see :mod:`medbundles.components.diffusion.channels`; a text
            separates them by commas.
        grid: of the result: ``dwi``, ``t1w``, or the edge of cubic voxels in mm over the diffusion images' field of
            view.
        register: whether to move each T1w to its diffusion images.
        b0_threshold: largest b-value that counts as unweighted, in s/mm2.
        shell: b-value of the shell to take; None takes the one nearest to 1000 s/mm2.
        geometry: ``sform`` or ``qform``, which one counts where a NIfTI file's two disagree.
        folds: number of training folds.
        test_fraction: share of the subjects kept out of training.
        seed: of the split.
        workers: processes; the default uses the cores and the memory there are.
        overwrite: whether a prepared folder may be replaced.
        allow: fault codes that are taken as warnings.
        skip_bad_cases: leave bad cases out instead of refusing everything; they are named in the report.

    Raises:
        DataError: what the checks refuse, all at once.
        OutputConflict: the output exists or another run writes to it.
        ConfigurationError: an option that cannot be meant.
        EnvironmentFailure: the extra ``dwi`` is not installed.
    """
    started = time.monotonic()
    shared = SharedOptions(folds, test_fraction, seed, workers, overwrite, allow, skip_bad_cases)
    shared.refuse_wrong(_own_expectations(grid, register, b0_threshold, shell, geometry))
    words = channels.split(",") if isinstance(channels, str) else channels
    names = parse_channels([str(word).strip() for word in words])
    options = CaseOptions(names, grid, register, b0_threshold, shell, geometry)
    require_package("dipy", "dwi", "preparing diffusion MRI")
    refuse_existing(output, overwrite)
    cases, notes = find_diffusion_cases(source)
    findings, bad = shared.judge(
        [*notes, *inspect_pairs(cases, geometry, b0_threshold, shell), *_uneven(cases, grid, geometry)]
    )
    jobs = [
        CaseJob(case, case.t1w, options, output, shared.codes) for case in cases if case.t1w and case.name not in bad
    ]
    people = {job.case.name: job.case.subject for job in jobs}
    with Workspace(output, FOLDERS) as workspace:
        workspace.forget_others(people)
        results = run_jobs(convert_case, jobs, estimate_bytes, workers, "prepare dwi_t1w")
        # What the headers told has been told.
        news = [replace(result, findings=_without(result.findings, findings)) for result in results]
        good, judged, refused = keep_good(news, workspace, shared)
        subjects, subject_findings = find_subjects(good, people)
        parts = deal_out(subjects, folds, test_fraction, seed)
        split = {"folds": folds, "test_fraction": test_fraction, "seed": seed}
        report = PreparationReport(
            kind="dwi_t1w",
            output=output,
            options={**asdict(options), "channels": list(names), **split},
            cases=count_parts(parts),
            counts={"subjects": len(set(subjects.values()))},
            findings=(*findings, *judged, *refuse([*subject_findings, *check_folds(parts, folds, test_fraction)])),
            skipped=tuple(sorted({*bad, *refused})),
            reused=sum(result.reused for result in good),
            seconds=time.monotonic() - started,
        )
        about = {"channels": list(names), "grid": grid, "t1w": _mean_t1w(good, parts)}
        publish(report, good, _records(good, subjects, parts, names), parts, names, about)
    return report


def estimate_bytes(job: CaseJob) -> int:
    """Return the memory that a case takes at most, from its headers."""
    dwi, t1w = read_header(job.case.dwi), read_header(job.t1w)
    grid = dwi.grid_shape[:3]
    if job.options.grid == "t1w":
        grid = t1w.grid_shape[:3]
    elif not isinstance(job.options.grid, str):
        _, grid = isotropic_grid(dwi.affine, dwi.grid_shape, job.options.grid)
    placing = T1W_VOLUMES * math.prod(t1w.shape) + (GRID_VOLUMES + len(job.options.channels)) * math.prod(grid)
    return BASE_BYTES + max(FIT_BYTES * math.prod(dwi.shape), np.dtype(np.float32).itemsize * placing)


def _uneven(cases: Sequence[DiffusionCase], grid: str | float, geometry: Geometry | None) -> list[Finding]:
    """DWI013: training would see the T1w's slabs, inference brings scans to cubes of their smallest edge."""
    if grid != "t1w":
        return []
    findings = []
    for case in cases:
        header = examine(case.t1w, geometry)[0] if case.t1w else None
        edges = spacing_of(header.affine) if header is not None else (1.0, 1.0, 1.0)
        if header is not None and max(edges) > MOST_UNEVEN * min(edges):
            size = " x ".join(f"{edge:.3g}" for edge in edges)
            message = f"the T1w's voxels are {size} mm; inference would bring scans to cubes, expected the same here"
            cube = max(math.prod(edges) ** (1 / 3), SMALLEST_EDGE_MM)
            fix = f"prepare with --grid {cube:.1f}"
            findings.append(Finding("DWI013", "warning", message, fix, case=case.name, file=header.name))
    return findings


def _without(findings: Sequence[Finding], known: Collection[Finding]) -> tuple[Finding, ...]:
    return tuple(finding for finding in findings if finding not in known)


def _own_expectations(grid: Any, register: Any, b0_threshold: Any, shell: Any, geometry: Any) -> Expectations:
    edge = is_number(grid) and SMALLEST_EDGE_MM <= grid <= LARGEST_EDGE_MM
    edges = f"dwi, t1w or a voxel edge of {SMALLEST_EDGE_MM:g} to {LARGEST_EDGE_MM:g} mm"
    return {
        "grid": (grid, edge or grid in ("dwi", "t1w"), edges),
        "register": (register, isinstance(register, bool), "true or false"),
        "b0_threshold": (b0_threshold, is_number(b0_threshold) and b0_threshold >= 0, "a number from 0, in s/mm2"),
        "geometry": (geometry, geometry in (None, "sform", "qform"), "sform or qform"),
        "shell": (shell, shell is None or (is_number(shell) and shell > 0), "a b-value above 0, in s/mm2"),
    }


def _records(
    results: Sequence[CaseResult], subjects: Mapping[str, str], parts: Mapping[str, int], channels: tuple[str, ...]
) -> list[Record]:
    """Return the cases as the data list has them."""
    records = []
    for case in [result.case for result in results]:
        images, label, mask = file_names(case, channels)
        image = images[0] if len(images) == 1 else images
        record = {"image": image, "label": label, "mask": mask, "case": case, "subject": subjects[case]}
        records.append({**record, **fold_entry(parts[case])})
    return records


def _mean_t1w(results: Sequence[CaseResult], parts: Mapping[str, int]) -> dict[str, float | int | None]:
    """Return the mean of the training cases' means and deviations: what a synthesized T1w may be brought to."""
    cases = [result.fingerprint["t1w"] for result in results if parts[result.case] != TEST]
    means = {key: float(np.mean([case[key] for case in cases])) if cases else None for key in ("mean", "std")}
    return {**means, "cases": len(cases)}
