"""Options that every kind of source shares, and what to do with findings under them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from medbundles.checks import refuse
from medbundles.checks.verdict import apply_allow
from medbundles.errors import ConfigurationError, Finding

# Each option's value, whether it can be meant, and what is expected.
Expectations = Mapping[str, tuple[Any, bool, str]]


def refuse_options(expectations: Expectations) -> None:
    """Refuse options that cannot be meant, all at once.

    Raises:
        ConfigurationError: CFG002 for each.
    """
    findings = [
        Finding("CFG002", "error", f"{name} is {value!r}, expected {expected}", f"correct --{name}")
        for name, (value, right, expected) in expectations.items()
        if not right
    ]
    if findings:
        raise ConfigurationError(findings=findings)


def shared_expectations(
    *, folds: Any, test_fraction: Any, seed: Any, workers: Any, overwrite: Any, skip_bad_cases: Any
) -> Expectations:
    """Return what is expected of the options that every kind of source has."""
    return {
        "folds": (folds, _whole(folds) and folds >= 1, "a whole number of at least 1"),
        "test_fraction": (test_fraction, _number(test_fraction) and 0 <= test_fraction <= 1, "a number from 0 to 1"),
        "seed": (seed, _whole(seed), "a whole number"),
        "workers": (workers, workers is None or (_whole(workers) and workers >= 1), "a whole number of at least 1"),
        "overwrite": (overwrite, isinstance(overwrite, bool), "true or false"),
        "skip_bad_cases": (skip_bad_cases, isinstance(skip_bad_cases, bool), "true or false"),
    }


def codes(allow: str | Collection[str]) -> tuple[str, ...]:
    """Return fault codes given as one or as several."""
    return (allow,) if isinstance(allow, str) else tuple(allow)


def judge(findings: Sequence[Finding], allow: Collection[str], skip_bad_cases: bool) -> tuple[list[Finding], set[str]]:
    """Refuse, unless bad cases may be skipped; return the findings and the names of the cases to leave out.

    Raises:
        DataError: errors that belong to no case, or any error when bad cases may not be skipped.
    """
    if not skip_bad_cases:
        return refuse(findings, allow), set()
    judged = apply_allow(findings, allow)
    bad = {finding.case for finding in judged if finding.level == "error" and finding.case}
    refuse([finding for finding in judged if finding.level != "error" or not finding.case])
    return judged, bad


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
