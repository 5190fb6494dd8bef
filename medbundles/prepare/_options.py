"""Options that every kind of source shares, and what to do with findings under them."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from medbundles.checks import refuse
from medbundles.checks.verdict import apply_allow
from medbundles.errors import ConfigurationError, Finding

# Each option's value, whether it can be meant, and what is expected.
Expectations = Mapping[str, tuple[Any, bool, str]]


@dataclass(frozen=True)
class SharedOptions:
    """Options that every kind of source has, as they were given; its ``prepare`` says what each means."""

    folds: int
    test_fraction: float
    seed: int
    workers: int | None
    overwrite: bool
    allow: str | Collection[str]
    skip_bad_cases: bool

    @property
    def codes(self) -> tuple[str, ...]:
        """Fault codes that are taken as warnings; ``allow`` is one or several."""
        return (self.allow,) if isinstance(self.allow, str) else tuple(self.allow)

    def refuse_wrong(self, own: Expectations) -> None:
        """Refuse options that cannot be meant, all at once.

        Args:
            own: what is expected of the source's other options.

        Raises:
            ConfigurationError: CFG002 for each.
        """
        findings = [
            Finding("CFG002", "error", f"{name} is {value!r}, expected {expected}", f"correct --{name}")
            for name, (value, right, expected) in {**own, **self._expectations()}.items()
            if not right
        ]
        if findings:
            raise ConfigurationError(findings=findings)

    def judge(self, findings: Sequence[Finding]) -> tuple[list[Finding], set[str]]:
        """Refuse, unless bad cases may be skipped; return the findings and the names of the cases to leave out.

        Raises:
            DataError: errors that belong to no case, or any error when bad cases may not be skipped.
        """
        if not self.skip_bad_cases:
            return refuse(findings, self.codes), set()
        judged = apply_allow(findings, self.codes)
        bad = {finding.case for finding in judged if finding.level == "error" and finding.case}
        refuse([finding for finding in judged if finding.level != "error" or not finding.case])
        return judged, bad

    def _expectations(self) -> Expectations:
        folds, share, workers = self.folds, self.test_fraction, self.workers
        count = "a whole number of at least 1"
        return {
            "folds": (folds, is_whole(folds) and folds >= 1, count),
            "test_fraction": (share, is_number(share) and 0 <= share <= 1, "a number from 0 to 1"),
            "seed": (self.seed, is_whole(self.seed), "a whole number"),
            "workers": (workers, workers is None or (is_whole(workers) and workers >= 1), count),
            "overwrite": (self.overwrite, isinstance(self.overwrite, bool), "true or false"),
            "skip_bad_cases": (self.skip_bad_cases, isinstance(self.skip_bad_cases, bool), "true or false"),
        }


def is_whole(value: Any) -> bool:
    """Return whether a value is a whole number; true and false are none."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    """Return whether a value is a finite number; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and -math.inf < value < math.inf
