"""What a preparation did: written as ``report.json``, printed as a few lines."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medbundles.errors import Finding, PartialFailure
from medbundles.io.atomic import write_json

REPORT_NAME = "report.json"


@dataclass(frozen=True)
class PreparationReport:
    """The outcome of one preparation.

    Attributes:
        kind: kind of source, such as ``luna16``.
        output: the prepared folder.
        options: what was asked for.
        cases: how many cases each part of the data list has, by ``training`` and ``testing``.
        counts: further numbers, such as nodules by the way their mask came about.
        findings: every warning, repair and skipped item.
        skipped: names of the cases that were left out because of an error.
        reused: how many cases an earlier, interrupted run had finished.
        seconds: wall time of this run.
    """

    kind: str
    output: Path
    options: Mapping[str, Any]
    cases: Mapping[str, int]
    counts: Mapping[str, int]
    findings: tuple[Finding, ...]
    skipped: tuple[str, ...] = ()
    reused: int = field(default=0, compare=False)
    seconds: float = field(default=0.0, compare=False)

    def as_dict(self) -> dict[str, Any]:
        """Return what ``report.json`` holds: nothing that differs between two runs over the same source."""
        return {
            "kind": self.kind,
            "options": dict(self.options),
            "cases": dict(self.cases),
            "counts": dict(self.counts),
            "skipped": list(self.skipped),
            "findings": [finding.as_dict() for finding in self.findings],
        }

    def as_json(self) -> str:
        """Return the report with folder, reused cases and wall time, for ``--json``."""
        extra = {"output": str(self.output), "reused": self.reused, "seconds": round(self.seconds, 1)}
        return json.dumps(self.as_dict() | extra, indent=2, ensure_ascii=False)

    def write(self) -> None:
        """Write ``report.json`` into the prepared folder."""
        write_json(self.output / REPORT_NAME, self.as_dict())

    def raise_if_partial(self) -> None:
        """End with exit code 7 when cases were left out.

        Raises:
            PartialFailure: cases were skipped; their errors are among the findings.
        """
        if self.skipped:
            raise PartialFailure(f"{len(self.skipped)} cases were left out; {REPORT_NAME} says why")

    def __str__(self) -> str:
        counts = ", ".join(f"{number} {name}" for name, number in {**self.cases, **self.counts}.items())
        reused = f"; {self.reused} cases were finished before" if self.reused else ""
        found = [(level, sum(finding.level == level for finding in self.findings)) for level in ("warning", "note")]
        said = ", ".join(f"{number} {level}{'s' if number > 1 else ''}" for level, number in found if number)
        noted = f"; {said}, all in {REPORT_NAME}" if said else ""
        return f"prepared in {self.output}: {counts} ({self.seconds:.1f} s{noted}{reused})"
