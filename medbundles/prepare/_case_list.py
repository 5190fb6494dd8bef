"""What every kind of source does with its finished cases: subjects, parts, and the tables of the prepared folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from medbundles.errors import DataError, Finding
from medbundles.io.atomic import write_json
from medbundles.io.datalist import Record, write_datalist
from medbundles.prepare._case_result import CaseResult
from medbundles.prepare._options import SharedOptions
from medbundles.prepare._workspace import Workspace
from medbundles.prepare.fingerprint import FINGERPRINT_NAME, summarize_cases
from medbundles.prepare.folds import TEST, split_subjects
from medbundles.prepare.report import PreparationReport

Result = TypeVar("Result", bound=CaseResult)

# Two scans that share one of these show one person, whatever they are called.
SAME_IMAGE = {"image_sha256": "the same voxels", "t1w_sha256": "the same T1w"}
FIXES = {"image_sha256": "delete one of them", "t1w_sha256": "name both after the person they show"}


def keep_good(
    results: Sequence[Result], workspace: Workspace, shared: SharedOptions
) -> tuple[list[Result], list[Finding], set[str]]:
    """Return the cases that may be used, what was found in all of them, and the names of those left out.

    Raises:
        DataError: a case is refused and may not be skipped, or none is left (TRN011).
    """
    judged, refused = shared.judge([finding for result in results for finding in result.findings])
    good = [result for result in results if result.case not in refused]
    workspace.forget_others(result.case for result in good)
    refuse_empty(good)
    return good, judged, refused


def refuse_empty(cases: Sequence[Any]) -> None:
    """Refuse to go on without a case.

    Raises:
        DataError: none is left (TRN011).
    """
    if not cases:
        raise DataError(findings=[Finding("TRN011", "error", "no case is left", "mend the errors above")])


def find_subjects(
    results: Sequence[CaseResult], patients: Mapping[str, str] | None = None, contrasts: Sequence[str] = ()
) -> tuple[dict[str, str], list[Finding]]:
    """Return the subject of each case: its patient, but one subject for all that share an image.

    Args:
        results: the finished cases; ``image_sha256`` of their fingerprints is what the network sees, and
            ``t1w_sha256`` the T1w of the person, if there is one.
        patients: whose scan each case is; without, every case is somebody else's.
        contrasts: names of images that have a hash each, ``NAME_sha256``: one of them tells a person, too.
    """
    subjects = {result.case: (patients or {}).get(result.case, result.case) for result in results}
    same = {**SAME_IMAGE, **{f"{name}_sha256": f"the same {name}" for name in contrasts}}
    first: dict[str, str] = {}
    findings = []
    for result in results:
        for key in (key for key in same if key in result.fingerprint):
            other = first.setdefault(result.fingerprint[key], result.case)
            joined, kept = subjects[result.case], subjects[other]
            if other == result.case or (joined == kept and key != "image_sha256"):
                continue
            message = f"{same[key]} as case {other}: kept in the same part of the split"
            fix = FIXES.get(key, FIXES["t1w_sha256"])
            findings.append(Finding("NII014", "warning", message, fix, result.case))
            subjects = {case: kept if subject == joined else subject for case, subject in subjects.items()}
    return subjects, findings


def deal_out(
    subjects: Mapping[str, str],
    folds: int,
    test_fraction: float,
    seed: int,
    strata: Mapping[str, str] | None = None,
) -> dict[str, int]:
    """Return the fold of each case (:data:`~medbundles.prepare.folds.TEST` for the test part), subjects kept whole.

    Args:
        subjects: the subject of each case.
        folds: number of training folds.
        test_fraction: share of the subjects kept out of training.
        seed: of the split.
        strata: the stratum of each subject; each is dealt out evenly. By default all subjects are alike.
    """
    alike = dict.fromkeys(subjects.values(), "")
    by_subject = split_subjects(alike if strata is None else strata, folds, test_fraction, seed)
    return {case: by_subject[subject] for case, subject in subjects.items()}


def count_parts(parts: Mapping[str, int]) -> dict[str, int]:
    """Return how many cases each part of the data list has."""
    testing = list(parts.values()).count(TEST)
    return {"training": len(parts) - testing, "testing": testing}


def fold_entry(part: int, test_fold: int | None = None) -> Record:
    """Return the fold of a record as the data list has it: none in the test part, unless that has folds of its own."""
    fold = test_fold if part == TEST else part
    return {} if fold is None else {"fold": fold}


def publish(
    report: PreparationReport,
    results: Sequence[CaseResult],
    records: Sequence[Record],
    parts: Mapping[str, int],
    channels: Sequence[str] = (),
    about: Mapping[str, Any] | None = None,
) -> None:
    """Write the tables, the data list last: a folder that has one is complete.

    Args:
        report: of the preparation.
        results: the cases to list.
        records: theirs, complete.
        parts: the fold of each case, :data:`~medbundles.prepare.folds.TEST` for the test part.
        channels: names of every record's images, where several belong to one record.
        about: what ``fingerprint.json`` holds besides.
    """
    content = summarize_cases({result.case: result.fingerprint for result in results})
    write_json(report.output / FINGERPRINT_NAME, {**content, **(about or {})})
    report.write()
    training, testing = ([r for r in records if (parts[r["case"]] == TEST) == tested] for tested in (False, True))
    write_datalist(report.output, training, testing, channels)
