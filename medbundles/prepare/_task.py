"""Data sets with a ``dataset.json`` (the Decathlon's and nnU-Net's) as prepared folders with a plan."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from medbundles.checks import refuse
from medbundles.checks.dataset import check_records
from medbundles.errors import Finding
from medbundles.io.atomic import write_json
from medbundles.io.datalist import Record
from medbundles.io.headers import read_header
from medbundles.io.plan import PLAN_NAME
from medbundles.io.raw_dataset import RawCase, RawDataset
from medbundles.prepare._case_list import count_parts, deal_out, find_subjects, fold_entry, publish, refuse_empty
from medbundles.prepare._options import SharedOptions
from medbundles.prepare._pool import run_jobs
from medbundles.prepare._task_case import ImportJob, import_case, target_names
from medbundles.prepare._workspace import Workspace, refuse_existing
from medbundles.prepare.folds import TEST, check_folds
from medbundles.prepare.plan import make_plan
from medbundles.prepare.report import PreparationReport
from medbundles.prepare.stored_split import SEEDED, check_subjects, read_split

# All channels and the label are in memory at once, as read and in their final type.
MEMORY_FACTOR = 3

Reader = Callable[[Path], tuple[RawDataset, list[Finding]]]


def prepare_task(
    kind: str, read: Reader, source: Path, output: Path, shared: SharedOptions, split: str = SEEDED
) -> PreparationReport:
    """Import a data set; everything is checked before anything is written.

    Args:
        kind: for report and progress.
        read: of the data set's layout.
        source: its folder.
        output: prepared folder: ``images/ labels/ datalist.json fingerprint.json plan.json report.json``.
        shared: options.
        split: how the cases are dealt out: :data:`SEEDED`, or a file (:mod:`medbundles.prepare.stored_split`).

    Raises:
        DataError: what the checks refuse, all at once.
        OutputConflict: the output exists or another run writes to it.
        ConfigurationError: an option that cannot be meant.
    """
    started = time.monotonic()
    shared.refuse_wrong({})
    refuse_existing(output, shared.overwrite)
    raw, findings = read(source)
    findings, bad = shared.judge([*findings, *inspect_cases(raw, shared.codes)])
    cases = [case for case in raw.cases if case.label and case.name not in bad]
    refuse_empty(cases)
    fraction = 0.0 if any(case.testing for case in cases) else shared.test_fraction
    given = None if split == SEEDED else read_split(Path(split), [c.name for c in cases if not c.testing], bad)
    with Workspace(output) as workspace:
        workspace.forget_others(case.name for case in cases)
        jobs = [ImportJob(case, raw.channels, output) for case in cases]
        results = run_jobs(import_case, jobs, _bytes_of, shared.workers, f"prepare {kind}")
        own_tests = {case.name for case in cases if case.testing}
        subjects, news = find_subjects([result for result in results if result.case not in own_tests])
        if given is None:
            parts = deal_out(subjects, shared.folds, fraction, shared.seed) | dict.fromkeys(own_tests, TEST)
            findings += refuse([*news, *check_folds(parts, shared.folds, fraction)])
        else:
            parts = given | dict.fromkeys(own_tests, TEST)
            findings += refuse(check_subjects(parts, subjects))
        entries = {result.case: result.fingerprint for result in results if parts[result.case] != TEST}
        plan = make_plan(raw.name, raw.channels, raw.labels, entries)
        report = PreparationReport(
            kind=kind,
            output=output,
            options=({"folds": shared.folds, "test_fraction": fraction, "seed": shared.seed} if given is None else {})
            | {"split": split}
            | {"channels": list(raw.channels)}
            | {"labels": {name: list(values) for name, values in raw.labels.items()}},
            cases=count_parts(parts),
            counts={},
            findings=tuple(findings),
            skipped=tuple(sorted(bad)),
            reused=sum(result.reused for result in results),
            seconds=time.monotonic() - started,
        )
        write_json(output / PLAN_NAME, plan)
        records = [_record(case, raw.channels, parts, subjects) for case in cases]
        publish(report, results, records, parts, about={"labels": plan["labels"]})
    return report


def inspect_cases(raw: RawDataset, allow: Collection[str]) -> list[Finding]:
    """Check the images and labels of all cases that are complete, and count the test images without a label.

    Label values and channels that the data set's own description does not name are NII016.
    """
    complete = [case for case in raw.cases if case.label and all(path.is_file() for path in case.images)]
    records = [
        {"case": case.name, "image": _one_or_all([str(path) for path in case.images]), "label": str(case.label)}
        for case in complete
    ]
    modality = "CT" if raw.channels == ("CT",) else None
    findings = check_records(
        records, label_values=raw.label_values, channels=raw.channels, modality=modality, allow=allow
    )
    findings = [_against_description(finding) for finding in findings]
    unlabeled = sum(case.testing and case.label is None for case in raw.cases)
    if unlabeled:
        message = f"{unlabeled} test images without labels were left where they are"
        findings.append(Finding("NII016", "note", message, "infer on the folder itself", file="imagesTs"))
    return findings


def _against_description(finding: Finding) -> Finding:
    """Return a finding of other label values, or of another number of channels, as one about ``dataset.json``."""
    for code, said, fix in (
        ("NII009", "label values", "map the values to those that dataset.json names, or name them there"),
        ("NII007", ", expected a ", "all images must have the channels that dataset.json names"),
    ):
        if finding.level == "error" and finding.code == code and said in finding.message:
            return replace(finding, code="NII016", fix=fix)
    return finding


def _one_or_all(images: Sequence[str]) -> str | list[str]:
    return images[0] if len(images) == 1 else list(images)


def _bytes_of(job: ImportJob) -> int:
    files = (*job.case.images, job.case.label)
    return MEMORY_FACTOR * sum(read_header(path).data_bytes for path in files if path)


def _record(case: RawCase, channels: tuple[str, ...], parts: Mapping[str, int], subjects: Mapping[str, str]) -> Record:
    """Return a case as the data list has it; its subject is itself, unless another case has the same image."""
    images, label = target_names(case, channels)
    subject = subjects.get(case.name, case.name)
    record = {"image": _one_or_all(images), "label": label, "case": case.name, "subject": subject}
    return {**record, **fold_entry(parts[case.name])}
