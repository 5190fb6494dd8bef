"""LUNA16 (or anything in its layout) as images, nodule masks, a data list and a fingerprint."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from medbundles.checks import refuse
from medbundles.checks.luna import Luna16Source, check_candidates, inspect_luna16
from medbundles.errors import ConfigurationError, Finding
from medbundles.io.hard_negatives import TABLE_NAME, HardNegative, write_hard_negatives
from medbundles.io.luna16 import Scan
from medbundles.io.luna16_lists import CANDIDATES, find_list, read_candidates
from medbundles.prepare._case_list import count_parts, deal_out, find_subjects, keep_good, publish
from medbundles.prepare._luna16_case import CaseJob, convert_case
from medbundles.prepare._nodule_case import NoduleResult
from medbundles.prepare._nodule_list import count_nodules, nodule_records, nodule_strata
from medbundles.prepare._options import SharedOptions
from medbundles.prepare._pool import run_jobs
from medbundles.prepare._workspace import Workspace, refuse_existing
from medbundles.prepare.folds import check_folds, split_subsets
from medbundles.prepare.nodule_masks import MASK_RULES
from medbundles.prepare.report import PreparationReport

Split = Literal["seeded", "luna16"]
OFFICIAL_FOLDS = 10
# Voxels, their label and one of the two on the way to the disk: measured 2.1 times the file for int16.
MEMORY_FACTOR = 3


@dataclass(frozen=True)
class Options:
    """What shapes the result; kept in ``report.json``."""

    split: Split
    folds: int
    test_fraction: float
    seed: int
    mask_rule: str


def prepare(
    source: Path,
    output: Path,
    *,
    split: Split = "seeded",
    folds: int = 5,
    test_fraction: float = 0.2,
    seed: int = 0,
    mask_rule: str = "density",
    workers: int | None = None,
    overwrite: bool = False,
    allow: str | Collection[str] = (),
    skip_bad_cases: bool = False,
) -> PreparationReport:
    """Convert a LUNA16 folder; headers and tables are checked before anything is written.

    Cases that an earlier run finished with the same source, options and code are not converted again; the files'
    bytes do not depend on the number of workers.

    Args:
        source: folder with ``subset*/SERIES.mhd`` (or ``SERIES.mhd``) and the tables of annotations.
        output: prepared folder: ``images/ labels/ datalist.json fingerprint.json report.json``.
        split: ``seeded`` deals the series out by ``seed``; ``luna16`` takes the official subsets as folds.
        folds: number of training folds of a seeded split.
        test_fraction: share of the series (or of the ten subsets, the last ones) kept out of training.
        seed: of the split.
        mask_rule: a key of :data:`medbundles.prepare.nodule_masks.MASK_RULES`.
        workers: processes; the default uses the cores and the memory there are.
        overwrite: whether a prepared folder may be replaced.
        allow: fault codes that are taken as warnings; rows with LUN002 or LUN005 are then left out.
        skip_bad_cases: leave bad cases out instead of refusing everything; they are named in the report.

    Raises:
        DataError: what the checks refuse, all at once.
        OutputConflict: the output exists or another run writes to it.
        ConfigurationError: an option that cannot be meant, or ``split: luna16`` without subset folders.
    """
    started = time.monotonic()
    shared = SharedOptions(folds, test_fraction, seed, workers, overwrite, allow, skip_bad_cases)
    own = {
        "split": (split, split in get_args(Split), f"one of {', '.join(get_args(Split))}"),
        "mask_rule": (mask_rule, mask_rule in MASK_RULES, f"one of {', '.join(MASK_RULES)}"),
    }
    shared.refuse_wrong(own)
    options = Options(split, folds, test_fraction, seed, mask_rule)
    refuse_existing(output, overwrite)
    found = inspect_luna16(source)
    findings, bad = shared.judge(found.findings)
    scans = [scan for scan in found.scans if scan.series not in bad]
    if split == "luna16":
        _refuse_unnumbered(scans)
    candidates = find_list(source, *CANDIDATES)
    negatives, outside = _candidates(candidates, scans, found)
    outside, _ = shared.judge(outside)
    with Workspace(output) as workspace:
        workspace.forget_others(scan.series for scan in scans)
        results = _convert(found, scans, mask_rule, output, shared)
        good, judged, refused = keep_good(results, workspace, shared)
        subsets = {scan.series: scan.subset for scan in scans}
        subjects, subject_findings = find_subjects(good)
        parts, part_findings = assign_parts(good, subjects, subsets, options)
        report = PreparationReport(
            kind="luna16",
            output=output,
            options=vars(options),
            cases=count_parts(parts),
            counts=count_nodules(good) | ({"hard negatives": len(negatives)} if candidates else {}),
            findings=(*findings, *outside, *judged, *refuse([*subject_findings, *part_findings])),
            skipped=tuple(sorted({*bad, *refused})),
            reused=sum(result.reused for result in good),
            seconds=time.monotonic() - started,
        )
        if candidates:
            write_hard_negatives(output / TABLE_NAME, negatives)
        records = nodule_records(good, subjects, parts, subsets if split == "luna16" else None)
        publish(report, good, records, parts)
    return report


def _candidates(
    path: Path | None, scans: Sequence[Scan], found: Luna16Source
) -> tuple[list[HardNegative], list[Finding]]:
    if path is None:
        return [], []
    read = read_candidates(path, {scan.series for scan in scans})
    return check_candidates(read, found.headers, path.name)


def _refuse_unnumbered(scans: Sequence[Scan]) -> None:
    outside = [scan.path.name for scan in scans if scan.subset is None or scan.subset >= OFFICIAL_FOLDS]
    if outside:
        message = f"split luna16: {len(outside)} scans lie in no folder subset0 to subset9, {outside[0]} for instance"
        raise ConfigurationError(findings=[Finding("CFG002", "error", message, "use --split seeded")])


def _convert(
    found: Luna16Source, scans: Sequence[Scan], mask_rule: str, output: Path, shared: SharedOptions
) -> list[NoduleResult]:
    jobs = [
        CaseJob(
            scan.series,
            scan.path,
            found.annotations.get(scan.series, ()),
            mask_rule,
            output,
            shared.codes,
            None if found.excluded is None else tuple(found.excluded.get(scan.series, ())),
        )
        for scan in scans
    ]

    def bytes_of(job: CaseJob) -> int:
        return MEMORY_FACTOR * found.headers[job.case].data_bytes

    return run_jobs(convert_case, jobs, bytes_of, shared.workers, "prepare luna16")


def assign_parts(
    results: Sequence[NoduleResult], subjects: Mapping[str, str], subsets: Mapping[str, int | None], options: Options
) -> tuple[dict[str, int], list[Finding]]:
    """Return the fold of each case (:data:`~medbundles.prepare.folds.TEST` for the test part) and what to warn of."""
    if options.split == "luna16":
        numbered = {subject: subsets[subject] or 0 for subject in subjects.values()}
        by_subject = split_subsets(numbered, options.test_fraction, OFFICIAL_FOLDS)
        return {case: by_subject[subject] for case, subject in subjects.items()}, []
    strata = nodule_strata(results, subjects)
    parts = deal_out(subjects, options.folds, options.test_fraction, options.seed, strata)
    return parts, check_folds(parts, options.folds, options.test_fraction)
