"""From findings to a decision: what refuses, what is only shown, what the user took upon themselves."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable
from dataclasses import replace

from medbundles.errors import ConfigurationError, DataError, EnvironmentFailure, Finding

# Faults whose uncertainty a user may settle. Whether a single finding may be allowed is for its check to say
# (``Finding.allowable``): labels on a shifted grid can be used after all, labels of another size cannot.
ALLOWABLE_CODES = frozenset({"NII004", "NII006", "NII008", "NII013", "LUN002", "LUN005", "LUN009", "DWI008", "DWI010"})
# Faults of the machine, not of the data: they end with exit code 4 when they are all there is.
ENVIRONMENT_CODES = frozenset({"NII015", "DCM009"})
SEVERITY = ("error", "warning", "note")


def refuse(findings: Iterable[Finding], allow: Collection[str] = (), strict: bool = False) -> list[Finding]:
    """Raise when anything was found that must not pass; else show the warnings and return everything.

    Args:
        findings: what the checks had to say.
        allow: fault codes that the user takes the responsibility for: their allowable errors become warnings.
        strict: whether warnings refuse as well.

    Returns:
        The findings, errors that were allowed as warnings, for the run record.

    Raises:
        ConfigurationError: ``allow`` names a code that cannot be allowed (CFG001).
        DataError: at least one error, with all errors first and all warnings after them.
        EnvironmentFailure: the only errors are the machine's (NII015, DCM009).
    """
    judged = apply_allow(findings, allow)
    refused = [finding for finding in judged if refuses(finding, strict)]
    shown = sorted((finding for finding in judged if finding.level != "note"), key=severity)
    if refused:
        machine = all(finding.code in ENVIRONMENT_CODES for finding in refused)
        only_warned = strict and not has_errors(refused)
        message = "refused: --strict takes warnings for errors" if only_warned else ""
        raise (EnvironmentFailure if machine else DataError)(message, shown)
    for finding in shown:
        print(finding, file=sys.stderr)
    return judged


def apply_allow(findings: Iterable[Finding], allow: Collection[str] = ()) -> list[Finding]:
    """Turn the allowable errors among the codes in ``allow`` into warnings.

    Raises:
        ConfigurationError: a code in ``allow`` cannot be allowed (CFG001).
    """
    wrong = sorted(set(allow) - ALLOWABLE_CODES)
    if wrong:
        message = f"allow: {', '.join(wrong)} cannot be allowed"
        fix = f"these can: {', '.join(sorted(ALLOWABLE_CODES))}"
        raise ConfigurationError(findings=[Finding("CFG001", "error", message, fix)])
    return [
        replace(finding, level="warning", message=f"{finding.message} (allowed)", fix="")
        if finding.level == "error" and finding.allowable and finding.code in allow
        else finding
        for finding in findings
    ]


def severity(finding: Finding) -> int:
    """Return a sort key that puts errors before warnings before notes."""
    return SEVERITY.index(finding.level)


def refuses(finding: Finding, strict: bool = False) -> bool:
    """Tell whether a finding refuses: an error does, under ``strict`` a warning as well."""
    return finding.level == "error" or (strict and finding.level == "warning")


def has_errors(findings: Iterable[Finding]) -> bool:
    """Tell whether any finding refuses."""
    return any(finding.level == "error" for finding in findings)
