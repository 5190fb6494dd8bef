"""Splitting subjects into training folds and an untouched test part, independently of any file order."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping

from medbundles.errors import Finding
from medbundles.io.datalist import DATALIST_NAME

# Stands for the test part, which has no fold.
TEST = -1


def split_subjects(strata: Mapping[str, str], folds: int, test_fraction: float, seed: int) -> dict[str, int]:
    """Assign every subject to a fold or to the test part.

    Subjects are ordered by a hash of seed and name, stratum after stratum, and dealt out evenly; so every part has its
    share of every stratum (scans without a nodule, for instance), whatever order the files came in.

    Args:
        strata: the stratum of each subject.
        folds: number of training folds.
        test_fraction: share of the subjects that never take part in training, 0 to 1.
        seed: another seed gives another split.

    Returns:
        The fold of each subject, :data:`TEST` for the test part.
    """
    ordered = sorted(strata, key=lambda subject: (strata[subject], _rank(subject, seed)))
    parts: dict[str, int] = {}
    training = 0
    for place, subject in enumerate(ordered):
        # Evenly spaced over the order: subject k is a test subject when the running total of the fraction, rounded,
        # goes up with it.
        if int((place + 1) * test_fraction + 0.5) > int(place * test_fraction + 0.5):
            parts[subject] = TEST
        else:
            parts[subject] = training % folds
            training += 1
    return parts


def split_subsets(subsets: Mapping[str, int], test_fraction: float, count: int = 10) -> dict[str, int]:
    """Take the official subsets of LUNA16 as folds, the last ones as the test part.

    Args:
        subsets: the subset number of each subject.
        test_fraction: share of the ``count`` subsets that is kept for testing; 0.2 keeps subsets 8 and 9.
        count: how many subsets there are officially.
    """
    first_test = count - int(test_fraction * count + 0.5)
    return {subject: TEST if subset >= first_test else subset for subject, subset in subsets.items()}


def check_folds(parts: Mapping[str, int], folds: int, test_fraction: float = 0.0) -> list[Finding]:
    """Warn of parts without a case (TRN011): validation on an empty fold, and a test, would be refused later.

    Args:
        parts: the fold of each case or subject, :data:`TEST` for the test part.
        folds: number of training folds.
        test_fraction: share that was asked for.
    """
    filled = Counter(part for part in parts.values() if part != TEST)
    empty = [str(fold) for fold in range(folds) if not filled[fold]]
    findings = []
    if empty and filled:
        message = f"{sum(filled.values())} training cases leave fold {', '.join(empty)} of {folds} empty"
        findings.append(Finding("TRN011", "warning", message, "fewer --folds or more cases", file=DATALIST_NAME))
    if test_fraction > 0 and TEST not in parts.values():
        message = f"a test part of {test_fraction:g} of {len(parts)} cases is none: nothing is left to test on"
        fix = "prepare more cases or a larger --test_fraction"
        findings.append(Finding("TRN011", "warning", message, fix, file=DATALIST_NAME))
    return findings


def _rank(subject: str, seed: int) -> str:
    return hashlib.sha256(f"{seed}:{subject}".encode()).hexdigest()
