"""A split that somebody has written down: which cases test, and in which fold every other one is."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from medbundles.errors import ConfigurationError, Finding
from medbundles.prepare.folds import TEST

# What --split says where the seed decides.
SEEDED = "seeded"


def read_split(file: Path, cases: Collection[str], left_out: Collection[str] = ()) -> dict[str, int]:
    """Return the fold of each case, :data:`~medbundles.prepare.folds.TEST` for the test part.

    Args:
        file: ``{"testing": [CASE, ...], "folds": [[CASE, ...], ...]}``, or nnU-Net's ``splits_final.json``: a list of
            ``{"train": [...], "val": [...]}``, one a fold, without a test part.
        cases: names of the cases there are.
        left_out: names of cases that are not imported; the split may name them.

    Raises:
        ConfigurationError: CFG002 for a file that cannot be read, a case that is not there, one that is in no part, and
            one that is in several.
    """
    testing, folds = _parts(file)
    named = Counter([*testing, *(name for fold in folds for name in fold)])
    findings = [
        *_complain("names no case of the source", set(named) - set(cases) - set(left_out), file),
        *_complain("no part of the split has", set(cases) - set(named), file),
        *_complain("in several parts of the split", (name for name, count in named.items() if count > 1), file),
    ]
    if findings:
        raise ConfigurationError(findings=findings)
    places = {name: number for number, fold in enumerate(folds) for name in fold}
    return {name: places.get(name, TEST) for name in cases}


def check_subjects(parts: Mapping[str, int], subjects: Mapping[str, str]) -> list[Finding]:
    """Refuse a split whose parts share a subject (NII014): validation and test would be too good."""
    first: dict[str, str] = {}
    findings = []
    for case, subject in subjects.items():
        other = first.setdefault(subject, case)
        if parts[case] != parts[other]:
            message = f"shows what {other} shows, which the split has in another part"
            findings.append(Finding("NII014", "error", message, "put both into one part of the split", case))
    return findings


def _parts(file: Path) -> tuple[list[str], list[list[str]]]:
    """Return the test cases and the folds."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        if isinstance(content, list):
            return [], [_names(entry["val"]) for entry in content]
        return _names(content["testing"]), [_names(fold) for fold in content["folds"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        message = f"--split is {str(file)!r}, expected {SEEDED} or a JSON file with testing and folds"
        fix = f"{type(error).__name__}: {error}"
        raise ConfigurationError(findings=[Finding("CFG002", "error", message, fix)]) from error


def _names(values: Any) -> list[str]:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise TypeError("a part is a list of case names")
    return values


def _complain(what: str, names: Iterable[str], file: Path) -> list[Finding]:
    found = sorted(names)
    shown = ", ".join(found[:5]) + (f" and {len(found) - 5} more" if len(found) > 5 else "")
    return [Finding("CFG002", "error", f"{what}: {shown}", "correct the file", file=str(file))] if found else []
