"""What every source of lung nodules does with its finished scans: strata of the split, counts and records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from medbundles.io.datalist import Record
from medbundles.prepare._case_list import fold_entry
from medbundles.prepare._nodule_case import NoduleResult


def nodule_strata(results: Sequence[NoduleResult], subjects: Mapping[str, str]) -> dict[str, str]:
    """Return the stratum of each subject, so that those with and without nodules are dealt out evenly."""
    nodules: Counter[str] = Counter()
    for result in results:
        nodules[subjects[result.case]] += len(result.nodules)
    return {subject: "with nodules" if nodules[subject] else "without" for subject in subjects.values()}


def count_nodules(results: Sequence[NoduleResult]) -> dict[str, int]:
    """Return how many nodules there are, malignant ones among them, and how their masks came about."""
    nodules = [nodule for result in results for nodule in result.nodules]
    origins: Counter[str] = Counter()
    for result in results:
        origins.update(result.origins)
    counts = {"nodules": len(nodules), "malignant": sum(nodule["malignant"] is True for nodule in nodules)}
    return counts | {name: origins[name] for name in sorted(origins)}


def nodule_records(
    results: Sequence[NoduleResult],
    subjects: Mapping[str, str],
    parts: Mapping[str, int],
    test_folds: Mapping[str, int | None] | None = None,
) -> list[Record]:
    """Return the cases as the data list has them.

    Args:
        results: the cases to list.
        subjects: whose scan each case is.
        parts: the fold of each case, :data:`~medbundles.prepare.folds.TEST` for the test part.
        test_folds: the fold of cases of the test part, where those have one.
    """
    return [
        {
            "image": f"images/{result.case}.nii.gz",
            "label": f"labels/{result.case}.nii.gz",
            "case": result.case,
            "subject": subjects[result.case],
            **fold_entry(parts[result.case], (test_folds or {}).get(result.case)),
            "nodules": list(result.nodules),
            **({} if result.excluded is None else {"excluded": list(result.excluded)}),
        }
        for result in results
    ]
