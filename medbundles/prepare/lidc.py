"""LIDC-IDRI (DICOM series and the readers' XML) as images, consensus masks, a data list and a fingerprint."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medbundles.checks import refuse
from medbundles.checks.lidc import LidcSource, inspect_lidc
from medbundles.prepare._case_list import count_parts, deal_out, find_subjects, keep_good, publish
from medbundles.prepare._lidc_case import LidcJob, convert_series
from medbundles.prepare._nodule_list import count_nodules, nodule_records, nodule_strata
from medbundles.prepare._options import Expectations, SharedOptions, is_whole
from medbundles.prepare._pool import run_jobs
from medbundles.prepare._workspace import Workspace, refuse_existing
from medbundles.prepare.folds import check_folds
from medbundles.prepare.report import PreparationReport

# The collection's readers; a series has at most four readings.
MOST_READERS = 4
# In int16 volumes: the slices as they are read and as one volume, then the label; measured 2.7 with 300 slices.
MEMORY_FACTOR = 4
# Headers and outlines take next to nothing; one big folder or XML at a time still wants its interpreter.
INSPECTION_BYTES = 300_000_000


@dataclass(frozen=True)
class Options:
    """What shapes the result; kept in ``report.json``."""

    minimum_readers: int
    series: list[str]
    folds: int
    test_fraction: float
    seed: int


def prepare(
    source: Path,
    output: Path,
    *,
    minimum_readers: int = 2,
    annotations_dir: Path | None = None,
    series: Collection[str] = (),
    folds: int = 5,
    test_fraction: float = 0.2,
    seed: int = 0,
    workers: int | None = None,
    overwrite: bool = False,
    allow: str | Collection[str] = (),
    skip_bad_cases: bool = False,
) -> PreparationReport:
    """Convert an LIDC-IDRI folder; all headers and outlines are checked before anything is written.

    A case is a CT series that has readings; it is named after its series. No patient is in two parts of the split.
    Cases that an earlier run finished with the same source, options and code are not converted again.

    Args:
        source: folder with the DICOM files in any layout; series are told apart by their headers.
        output: prepared folder: ``images/ labels/ datalist.json fingerprint.json report.json``.
        minimum_readers: how many of up to four readers have to agree on a voxel; what fewer saw is ``excluded``.
        annotations_dir: folder of the readers' XML; by default they lie among the images.
        series: UIDs of the only series to convert; by default all that have readings.
        folds: number of training folds.
        test_fraction: share of the patients kept out of training.
        seed: of the split.
        workers: processes; the default uses the cores and the memory there are.
        overwrite: whether a prepared folder may be replaced.
        allow: fault codes that are taken as warnings; outlines with LUN009 are then left out.
        skip_bad_cases: leave bad cases out instead of refusing everything; they are named in the report.

    Raises:
        DataError: what the checks refuse, all at once.
        EnvironmentFailure: pixels are compressed in a way that needs a library that is absent (DCM009).
        OutputConflict: the output exists or another run writes to it.
        ConfigurationError: an option that cannot be meant.
    """
    started = time.monotonic()
    shared = SharedOptions(folds, test_fraction, seed, workers, overwrite, allow, skip_bad_cases)
    shared.refuse_wrong(_own_expectations(minimum_readers, annotations_dir))
    options = Options(minimum_readers, sorted(map(str, series)), folds, test_fraction, seed)
    refuse_existing(output, overwrite)
    found = _inspect(source, annotations_dir, options, workers)
    findings, bad = shared.judge(found.findings)
    cases = [case for case in found.cases if case.series.series_uid not in bad]
    with Workspace(output) as workspace:
        workspace.forget_others(case.series.series_uid for case in cases)
        jobs = [LidcJob(case, minimum_readers, output, shared.codes) for case in cases]
        results = run_jobs(convert_series, jobs, _bytes_of, workers, "prepare lidc")
        good, judged, refused = keep_good(results, workspace, shared)
        patients = {case.series.series_uid: case.patient_id for case in cases}
        subjects, subject_findings = find_subjects(good, patients)
        parts = deal_out(subjects, folds, test_fraction, seed, nodule_strata(good, subjects))
        report = PreparationReport(
            kind="lidc",
            output=output,
            options=vars(options),
            cases=count_parts(parts),
            counts={**count_nodules(good), **found.counts},
            findings=(*findings, *judged, *refuse([*subject_findings, *check_folds(parts, folds, test_fraction)])),
            skipped=tuple(sorted({*bad, *refused})),
            reused=sum(result.reused for result in good),
            seconds=time.monotonic() - started,
        )
        publish(report, good, nodule_records(good, subjects, parts), parts)
    return report


def _own_expectations(minimum_readers: Any, annotations_dir: Any) -> Expectations:
    there = annotations_dir is None or Path(str(annotations_dir)).is_dir()
    return {
        "minimum_readers": (
            minimum_readers,
            is_whole(minimum_readers) and 1 <= minimum_readers <= MOST_READERS,
            f"a whole number from 1 to {MOST_READERS}",
        ),
        "annotations_dir": (str(annotations_dir), there, "a folder that exists"),
    }


def _inspect(source: Path, annotations_dir: Path | None, options: Options, workers: int | None) -> LidcSource:
    def each(function: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
        return run_jobs(function, items, lambda _: INSPECTION_BYTES, workers, "read headers and outlines")

    return inspect_lidc(source, Path(str(annotations_dir)) if annotations_dir else None, options.series, each)


def _bytes_of(job: LidcJob) -> int:
    slices = job.case.series.slices
    columns, rows = slices[0].shape
    return MEMORY_FACTOR * 2 * columns * rows * len(slices)
