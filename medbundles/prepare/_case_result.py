"""What comes of one case of any kind of source, and the hash of the code that shapes its files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any, Self

from medbundles import __version__
from medbundles.errors import Finding
from medbundles.io import images
from medbundles.io.hashing import sha256_data, sha256_file


@dataclass(frozen=True)
class CaseResult:
    """What came of one case.

    Attributes:
        case: the case's name.
        findings: what was repaired or refused.
        fingerprint: the case's entry in ``fingerprint.json``; empty when it was refused.
        reused: whether an earlier run had finished it.
    """

    case: str
    findings: tuple[Finding, ...]
    fingerprint: dict[str, Any] = field(default_factory=dict)
    reused: bool = False

    @classmethod
    def refused(cls, case: str, findings: Iterable[Finding]) -> Self:
        """Return the result of a case that must not be used; its findings get its name."""
        return cls(case, tuple(replace(finding, case=case) for finding in findings))

    @classmethod
    def finished(cls, case: str, stored: Mapping[str, Any], reused: bool, **own: Any) -> Self:
        """Return the result of a case whose files are written.

        Args:
            case: the case's name.
            stored: ``findings`` and ``fingerprint`` as plain data.
            reused: whether an earlier run had finished it.
            own: what results of this kind have besides.
        """
        findings = tuple(Finding(**finding) for finding in stored["findings"])
        return cls(case, findings, stored["fingerprint"], reused, **own)


def code_hash(*modules: ModuleType) -> str:
    """Return a hash of the code that shapes a case's files, so that a newer version converts again.

    Args:
        modules: what the source uses besides what reads and writes images.
    """
    files = [Path(__file__), *(Path(str(module.__file__)) for module in (images, *modules))]
    return sha256_data([__version__, *(sha256_file(file) for file in files)])
