"""What every source of lung nodules does with its finished scans: subjects, parts, counts and the data list."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from medbundles.errors import DataError, Finding
from medbundles.io.atomic import write_json
from medbundles.io.datalist import Record, write_datalist
from medbundles.prepare._nodule_case import CaseResult
from medbundles.prepare._options import judge
from medbundles.prepare._workspace import Workspace
from medbundles.prepare.fingerprint import FINGERPRINT_NAME, summarize_cases
from medbundles.prepare.folds import TEST, split_subjects
from medbundles.prepare.report import PreparationReport


def keep_good(
    results: Sequence[CaseResult], workspace: Workspace, allow: Collection[str], skip_bad_cases: bool
) -> tuple[list[CaseResult], list[Finding], set[str]]:
    """Return the scans that may be used, what was found in all of them, and the names of those left out.

    Raises:
        DataError: a scan is refused and may not be skipped, or none is left (TRN011).
    """
    judged, refused = judge([finding for result in results for finding in result.findings], allow, skip_bad_cases)
    good = [result for result in results if result.case not in refused]
    workspace.forget_others(result.case for result in good)
    if not good:
        raise DataError(findings=[Finding("TRN011", "error", "no case is left", "mend the errors above")])
    return good, judged, refused


def find_subjects(
    results: Sequence[CaseResult], patients: Mapping[str, str] | None = None
) -> tuple[dict[str, str], list[Finding]]:
    """Return the subject of each case: its patient, but one subject for all whose scans have the same voxels.

    Args:
        results: the finished cases.
        patients: whose scan each case is; without, every case is somebody else's.
    """
    subjects = {result.case: (patients or {}).get(result.case, result.case) for result in results}
    first: dict[str, str] = {}
    findings = []
    for result in results:
        other = first.setdefault(result.fingerprint["image_sha256"], result.case)
        if other != result.case:
            message = f"the same voxels as case {other}: kept in the same part of the split"
            findings.append(Finding("NII014", "warning", message, "delete one of them", result.case))
            joined, kept = subjects[result.case], subjects[other]
            subjects = {case: kept if subject == joined else subject for case, subject in subjects.items()}
    return subjects, findings


def deal_out(
    results: Sequence[CaseResult], subjects: Mapping[str, str], folds: int, test_fraction: float, seed: int
) -> dict[str, int]:
    """Return the fold of each case (:data:`~medbundles.prepare.folds.TEST` for the test part), subjects kept whole.

    Subjects with and without nodules are dealt out evenly.
    """
    nodules: Counter[str] = Counter()
    for result in results:
        nodules[subjects[result.case]] += len(result.nodules)
    strata = {subject: "with nodules" if nodules[subject] else "without" for subject in subjects.values()}
    by_subject = split_subjects(strata, folds, test_fraction, seed)
    return {case: by_subject[subject] for case, subject in subjects.items()}


def count_parts(parts: Mapping[str, int]) -> dict[str, int]:
    """Return how many cases each part of the data list has."""
    testing = list(parts.values()).count(TEST)
    return {"training": len(parts) - testing, "testing": testing}


def count_nodules(results: Sequence[CaseResult]) -> dict[str, int]:
    """Return how many nodules there are, malignant ones among them, and how their masks came about."""
    nodules = [nodule for result in results for nodule in result.nodules]
    origins: Counter[str] = Counter()
    for result in results:
        origins.update(result.origins)
    counts = {"nodules": len(nodules), "malignant": sum(nodule["malignant"] is True for nodule in nodules)}
    return counts | {name: origins[name] for name in sorted(origins)}


def publish(
    report: PreparationReport,
    results: Sequence[CaseResult],
    parts: Mapping[str, int],
    subjects: Mapping[str, str],
    test_folds: Mapping[str, int | None],
) -> None:
    """Write the tables, the data list last: a folder that has one is complete.

    Args:
        report: of the preparation.
        results: the cases to list.
        parts: the fold of each case, :data:`~medbundles.prepare.folds.TEST` for the test part.
        subjects: whose scan each case is.
        test_folds: the fold of cases of the test part, where those have one.
    """
    training: list[Record] = []
    testing: list[Record] = []
    for result in results:
        case, tested = result.case, parts[result.case] == TEST
        record: Record = {
            "image": f"images/{case}.nii.gz",
            "label": f"labels/{case}.nii.gz",
            "case": case,
            "subject": subjects[case],
            "fold": test_folds.get(case) if tested else parts[case],
            "nodules": list(result.nodules),
        }
        if record["fold"] is None:  # the test part of a seeded split
            del record["fold"]
        if result.excluded is not None:
            record["excluded"] = list(result.excluded)
        (testing if tested else training).append(record)
    write_json(report.output / FINGERPRINT_NAME, summarize_cases({r.case: r.fingerprint for r in results}))
    report.write()
    write_datalist(report.output, training, testing)
