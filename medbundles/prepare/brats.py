"""Brain tumors in several MR contrasts (BraTS, the Decathlon's Task01, or a pattern) as a prepared folder."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from medbundles.checks import refuse
from medbundles.checks.brains import LEAST_BACKGROUND
from medbundles.checks.config_values import LARGEST_EDGE_MM, SMALLEST_EDGE_MM
from medbundles.checks.contrast_records import find_label_set, inspect_contrasts
from medbundles.checks.label_sets import TUMOR_LABELS, LabelSet, choose_label_set
from medbundles.errors import ConfigurationError, DataError, Finding
from medbundles.io.brats import LABEL, find_contrasts
from medbundles.io.contrasts import ContrastSource
from medbundles.io.datalist import Record
from medbundles.io.headers import Geometry, read_header
from medbundles.io.packages import require_package
from medbundles.prepare._brats_case import CaseJob, CaseOptions, convert_case, file_names
from medbundles.prepare._case_list import count_parts, deal_out, find_subjects, fold_entry, keep_good, publish
from medbundles.prepare._case_result import CaseResult
from medbundles.prepare._contrast_options import Wanted, read_wanted
from medbundles.prepare._options import Expectations, SharedOptions, is_number
from medbundles.prepare._pool import run_jobs
from medbundles.prepare._workspace import Workspace, refuse_existing
from medbundles.prepare.folds import check_folds
from medbundles.prepare.report import PreparationReport

# Memory of a worker as measured: Python, numpy and scipy; what ITK or dipy take; then 32-bit volumes of a contrast's
# size that are there at once besides the contrasts themselves.
BASE_BYTES = 200 << 20
LIBRARY_BYTES = 600 << 20
SPARE_VOLUMES = 6
BYTES_PER_VOXEL = 4


def prepare(
    source: Path,
    output: Path,
    *,
    pattern: str | None = None,
    contrasts: Mapping[str, str] | Sequence[str] | str | None = None,
    label_name: str = LABEL,
    mask_name: str | None = None,
    label_set: Mapping[int, int] | str | int | None = None,
    labels: Mapping[int, str] | None = None,
    bias_correction: bool = False,
    register: bool = False,
    reference: str = "t1c",
    spacing: float | None = None,
    geometry: Geometry | None = None,
    folds: int = 5,
    test_fraction: float = 0.2,
    seed: int = 0,
    workers: int | None = None,
    overwrite: bool = False,
    allow: str | Collection[str] = (),
    skip_bad_cases: bool = False,
) -> PreparationReport:
    """Bring cases of several contrasts and one label into a prepared folder; headers and labels are checked first.

    Intensities are kept, and files that nothing is done to are linked or copied as they are. Skulls are not stripped:
    do that before (HD-BET, SynthStrip and BraTS Toolkit are made for it), or give masks with ``mask_name``. Cases that
    an earlier run finished with the same source, options and code are not converted again; the files' bytes do not
    depend on the number of workers. All time points of a patient are in one part of the split.

    Args:
        source: a folder with BraTS' names, the Decathlon's ``Task01_BrainTumour``, or what ``pattern`` describes.
        output: prepared folder: ``images/ labels/ datalist.json fingerprint.json report.json``.
        pattern: how files are named, ``{case}/{case}_{contrast}.nii.gz`` for instance, see
            :class:`~medbundles.io.name_pattern.NamePattern`; None looks for the layouts that are known.
        contrasts: names of the contrasts to prepare; with a pattern also what stands for each of them there,
            ``{"t1c": "T1C"}``. By default ``t1n t1c t2w t2f``, in whose order they are always listed.
        label_name: what stands for the label in a pattern, or a pattern of its own.
        mask_name: the same for masks of the brain, outside of which images become 0.
        label_set: the numbering of the labels, ``2015``, ``2021``, ``2023``, ``2024`` or ``decathlon``, or what each
            stored value becomes, ``{10: 1, 150: 2, 250: 3}``; None finds it out of all labels together.
        labels: name of each value of the result, ``{1: "lesion"}``; without ``label_set``, stored values are these.
        bias_correction: whether N4 takes the bias field out of each contrast.
        register: whether to move each contrast to ``reference``, on whose voxels the label was drawn.
        reference: the contrast that stays.
        spacing: edge of cubic voxels in mm to bring everything to; None keeps the voxels.
        geometry: ``sform`` or ``qform``, which one counts where a NIfTI file's two disagree.
        folds: number of training folds.
        test_fraction: share of the patients kept out of training.
        seed: of the split.
        workers: processes; the default uses the cores and the memory there are.
        overwrite: whether a prepared folder may be replaced.
        allow: fault codes that are taken as warnings; with NII008, cases may lack contrasts.
        skip_bad_cases: leave bad cases out instead of refusing everything; they are named in the report.

    Raises:
        DataError: what the checks refuse, all at once.
        OutputConflict: the output exists or another run writes to it.
        ConfigurationError: an option that cannot be meant.
        EnvironmentFailure: ``register`` without the extra ``dwi``.
    """
    started = time.monotonic()
    shared = SharedOptions(folds, test_fraction, seed, workers, overwrite, allow, skip_bad_cases)
    shared.refuse_wrong(_own_expectations(bias_correction, register, spacing, geometry))
    wanted = read_wanted(pattern, contrasts, label_name, mask_name, labels, reference if register else None)
    chosen = choose_label_set(label_set, wanted.labels)
    if register:
        require_package("dipy", "dwi", "registration")
    refuse_existing(output, overwrite)
    if Path(source).resolve() in Path(output).resolve().parents:
        message = f"output {output} lies in the source, where the next preparation would take it for data"
        raise ConfigurationError(findings=[Finding("CFG002", "error", message, "choose another --output")])
    found, notes = find_contrasts(source, wanted.contrasts, *wanted.patterns)
    notes += inspect_contrasts(found, geometry, reference if register else None)
    findings, bad = shared.judge(notes)
    label_set_found, news = find_label_set(found, chosen, bad, geometry)
    news, worse = shared.judge(news)
    if label_set_found is None:
        raise DataError(findings=[Finding("TRN011", "error", "no label is left", "mend the errors above")])
    bad |= worse
    options = CaseOptions(
        *(wanted.contrasts, label_set_found.mapping, bias_correction, register, reference, spacing, geometry)
    )
    jobs = _jobs(found, options, output, shared.codes, bad)
    patients = {job.case.name: job.case.subject for job in jobs}
    with Workspace(output) as workspace:
        workspace.forget_others(patients)
        results = run_jobs(convert_case, jobs, estimate_bytes, workers, "prepare brats")
        good, judged, refused = keep_good(results, workspace, shared)
        subjects, subject_findings = find_subjects(good, patients, wanted.contrasts)
        parts = deal_out(subjects, folds, test_fraction, seed)
        about = _about(found, wanted, label_set_found)
        split = {"folds": folds, "test_fraction": test_fraction, "seed": seed}
        report = PreparationReport(
            kind="brats",
            output=output,
            options={**asdict(options), **about, **wanted.as_dict(), **split},
            cases=count_parts(parts),
            counts=_counts(good, subjects, options),
            findings=(
                *(*findings, *news, *judged, *judge_intensities(good, stripped=mask_name is not None)),
                *judge_labels(good, label_set_found),
                *refuse([*subject_findings, *check_folds(parts, folds, test_fraction)]),
            ),
            skipped=tuple(sorted({*bad, *refused})),
            reused=sum(result.reused for result in good),
            seconds=time.monotonic() - started,
        )
        publish(report, good, _records(good, jobs, subjects, parts, label_set_found), parts, wanted.contrasts, about)
    return report


def estimate_bytes(job: CaseJob) -> int:
    """Return the memory that a case takes at most, from its headers."""
    headers = [read_header(path) for path in job.case.present]
    voxels = max(int(header.grid_shape[0] * header.grid_shape[1] * header.grid_shape[2]) for header in headers)
    if job.options.spacing is not None:
        edges = [abs(edge) for edge in headers[0].zooms[:3]]
        voxels = max(voxels, int(voxels * edges[0] * edges[1] * edges[2] / job.options.spacing**3))
    stored = sum(header.data_bytes for header in headers)
    libraries = LIBRARY_BYTES if job.options.bias_correction or job.options.register else 0
    return BASE_BYTES + libraries + stored + BYTES_PER_VOXEL * voxels * (len(job.options.contrasts) + SPARE_VOLUMES)


def judge_intensities(results: Sequence[CaseResult], stripped: bool) -> list[Finding]:
    """Say of each contrast in how many cases it has negative values (NII019) or no background of 0 (NII018).

    Args:
        results: the finished cases.
        stripped: whether masks of the brain have made a background.
    """
    findings = []
    negative: dict[str, list[tuple[int, float, str]]] = {}
    unstripped: dict[str, list[str]] = {}
    for result in results:
        for name, measured in result.fingerprint["source"].items():
            if measured["negative_voxels"]:
                negative.setdefault(name, []).append((measured["negative_voxels"], measured["minimum"], result.case))
            if measured["background_share"] < LEAST_BACKGROUND and not stripped:
                unstripped.setdefault(name, []).append(result.case)
    for name, cases in sorted(unstripped.items()):
        message = f"{name}: {len(cases)} of {len(results)} cases have no background of 0; is the skull still there?"
        fix = "strip it first, with HD-BET or SynthStrip for instance, or give masks of the brain with --mask_name"
        findings.append(Finding("NII018", "warning", message, fix, case=cases[0]))
    for name, numbers in sorted(negative.items()):
        total, most = sum(count for count, _, _ in numbers), max(numbers)
        lowest = min(value for _, value, _ in numbers)
        message = f"{name}: {total} negative voxels in {len(numbers)} of {len(results)} cases, the lowest {lowest:g}"
        fix = "they are kept; interpolation leaves some, standardized images have many"
        findings.append(Finding("NII019", "warning", message, fix, case=most[2]))
    return refuse(findings)


def judge_labels(results: Sequence[CaseResult], label_set: LabelSet) -> list[Finding]:
    """Refuse labels of which the numbering leaves nothing anywhere (NII011)."""
    if not results or any(result.fingerprint["label_ml"] for result in results):
        return []
    message = f"all {len(results)} labels are empty once their values become {dict(label_set.mapping)}"
    return refuse([Finding("NII011", "error", message, "correct --label_set: nothing could be learned")])


def _jobs(
    found: ContrastSource, options: CaseOptions, output: Path, allow: tuple[str, ...], bad: Collection[str | None]
) -> list[CaseJob]:
    return [
        CaseJob(case, case.label, found.volumes, options, output, allow)
        for case in found.cases
        if case.label is not None and case.name not in bad
    ]


def _about(found: ContrastSource, wanted: Wanted, label_set: LabelSet) -> dict[str, Any]:
    """Return what a reader of the folder must know of all its cases."""
    mapped = sorted(set(label_set.mapping.values()) - {0})
    names = wanted.labels or (TUMOR_LABELS if set(mapped) <= set(TUMOR_LABELS) else {n: str(n) for n in mapped})
    return {
        "layout": found.layout,
        "channels": list(wanted.contrasts),
        "labels": {str(value): name for value, name in names.items()},
        **label_set.as_dict(),
    }


def _counts(results: Sequence[CaseResult], subjects: Mapping[str, str], options: CaseOptions) -> dict[str, int]:
    incomplete = sum(len(result.fingerprint["source"]) < len(options.contrasts) for result in results)
    empty = sum(not result.fingerprint["label_ml"] for result in results)
    rare = {"empty labels": empty, "cases without a contrast": incomplete}
    return {"patients": len(set(subjects.values())), **{name: count for name, count in rare.items() if count}}


def _records(
    results: Sequence[CaseResult],
    jobs: Sequence[CaseJob],
    subjects: Mapping[str, str],
    parts: Mapping[str, int],
    label_set: LabelSet,
) -> list[Record]:
    """Return the cases as the data list has them; a contrast that is absent is null."""
    by_case = {job.case.name: job.case for job in jobs}
    records = []
    for result in results:
        case = by_case[result.case]
        contrasts = jobs[0].options.contrasts
        files, label = file_names(case.name, contrasts)
        images = [file if path else None for file, path in zip(files, case.images, strict=True)]
        record: Record = {"image": images[0] if len(images) == 1 else images, "label": label}
        record |= {"case": case.name, "subject": subjects[case.name], **label_set.as_dict()}
        if case.lone_label and case.label is not None:
            record["source_label"] = case.label.name
        records.append({**record, **fold_entry(parts[case.name])})
    return records


def _own_expectations(bias_correction: Any, register: Any, spacing: Any, geometry: Any) -> Expectations:
    edge = spacing is None or (is_number(spacing) and SMALLEST_EDGE_MM <= spacing <= LARGEST_EDGE_MM)
    return {
        "bias_correction": (bias_correction, isinstance(bias_correction, bool), "true or false"),
        "register": (register, isinstance(register, bool), "true or false"),
        "spacing": (spacing, edge, f"a voxel edge of {SMALLEST_EDGE_MM:g} to {LARGEST_EDGE_MM:g} mm"),
        "geometry": (geometry, geometry in (None, "sform", "qform"), "sform or qform"),
    }
