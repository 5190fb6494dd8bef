"""An nnU-Net raw folder (``DatasetXXX_Name``) as a prepared folder, so that its data trains any bundle."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from medbundles.checks import refuse
from medbundles.checks.dataset import check_records
from medbundles.errors import Finding
from medbundles.io.datalist import Record
from medbundles.io.headers import read_header
from medbundles.io.nnunet import RawCase, RawDataset, read_raw_dataset
from medbundles.prepare._case_list import count_parts, fold_entry, publish, refuse_empty
from medbundles.prepare._nnunet_case import ImportJob, import_case, target_names
from medbundles.prepare._options import SharedOptions
from medbundles.prepare._pool import run_jobs
from medbundles.prepare._workspace import Workspace, refuse_existing
from medbundles.prepare.folds import TEST, check_folds, split_subjects
from medbundles.prepare.report import PreparationReport

# All channels and the label are in memory at once, as read and in their final type.
MEMORY_FACTOR = 3


def prepare(
    source: Path,
    output: Path,
    *,
    folds: int = 5,
    test_fraction: float = 0.2,
    seed: int = 0,
    workers: int | None = None,
    overwrite: bool = False,
    allow: str | Collection[str] = (),
    skip_bad_cases: bool = False,
) -> PreparationReport:
    """Import an nnU-Net raw folder; everything is checked before anything is written.

    ``imagesTs`` with labels in ``labelsTs`` is the test part, and then nothing of ``imagesTr`` is kept out of training.
    Test images without labels are not imported: inference reads them where they are.

    Args:
        source: ``DatasetXXX_Name`` with ``imagesTr labelsTr dataset.json`` and optionally ``imagesTs labelsTs``.
        output: prepared folder: ``images/ labels/ datalist.json fingerprint.json report.json``.
        folds: number of training folds.
        test_fraction: share of the training cases kept out of training, where there is no labeled test part.
        seed: of the split.
        workers: processes; the default uses the cores and the memory there are.
        overwrite: whether a prepared folder may be replaced.
        allow: fault codes that are taken as warnings.
        skip_bad_cases: leave bad cases out instead of refusing everything; they are named in the report.

    Raises:
        DataError: what the checks refuse, all at once.
        OutputConflict: the output exists or another run writes to it.
        ConfigurationError: an option that cannot be meant.
    """
    started = time.monotonic()
    shared = SharedOptions(folds, test_fraction, seed, workers, overwrite, allow, skip_bad_cases)
    shared.refuse_wrong({})
    refuse_existing(output, overwrite)
    raw, findings = read_raw_dataset(source)
    findings, bad = shared.judge([*findings, *inspect_cases(raw, shared.codes)])
    cases = [case for case in raw.cases if case.label and case.name not in bad]
    refuse_empty(cases)
    fraction = 0.0 if any(case.testing for case in cases) else test_fraction
    parts = split_subjects({case.name: "" for case in cases if not case.testing}, folds, fraction, seed)
    findings += refuse(check_folds(parts, folds))
    parts |= {case.name: TEST for case in cases if case.testing}
    with Workspace(output) as workspace:
        workspace.forget_others(case.name for case in cases)
        jobs = [ImportJob(case, raw.channels, output) for case in cases]
        results = run_jobs(import_case, jobs, _bytes_of, workers, "prepare nnunet")
        report = PreparationReport(
            kind="nnunet",
            output=output,
            options={"folds": folds, "test_fraction": fraction, "seed": seed, "channels": list(raw.channels)}
            | {"labels": {name: list(values) for name, values in raw.labels.items()}},
            cases=count_parts(parts),
            counts={},
            findings=tuple(findings),
            skipped=tuple(sorted(bad)),
            reused=sum(result.reused for result in results),
            seconds=time.monotonic() - started,
        )
        publish(report, results, [_record(case, raw.channels, parts) for case in cases], parts)
    return report


def inspect_cases(raw: RawDataset, allow: Collection[str]) -> list[Finding]:
    """Check the images and labels of all cases that are complete, and count the test images without a label."""
    complete = [case for case in raw.cases if case.label and all(path.is_file() for path in case.images)]
    records = [
        {"case": case.name, "image": _one_or_all([str(path) for path in case.images]), "label": str(case.label)}
        for case in complete
    ]
    modality = "CT" if raw.channels == ("CT",) else None
    findings = check_records(
        records, label_values=raw.label_values, channels=raw.channels, modality=modality, allow=allow
    )
    unlabeled = sum(case.testing and case.label is None for case in raw.cases)
    if unlabeled:
        message = f"{unlabeled} test images without labels were left where they are"
        findings.append(Finding("NII016", "note", message, "infer on the folder itself", file="imagesTs"))
    return findings


def _one_or_all(images: Sequence[str]) -> str | list[str]:
    return images[0] if len(images) == 1 else list(images)


def _bytes_of(job: ImportJob) -> int:
    files = (*job.case.images, job.case.label)
    return MEMORY_FACTOR * sum(read_header(path).data_bytes for path in files if path)


def _record(case: RawCase, channels: tuple[str, ...], parts: Mapping[str, int]) -> Record:
    """Return a case as the data list has it; its subject is itself."""
    images, label = target_names(case.name, channels)
    record = {"image": _one_or_all(images), "label": label, "case": case.name, "subject": case.name}
    return {**record, **fold_entry(parts[case.name])}
