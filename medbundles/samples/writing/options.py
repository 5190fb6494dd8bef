"""Options of sample writers, judged all at once."""

from __future__ import annotations

from collections.abc import Iterable

from medbundles.errors import ConfigurationError, Finding


def refuse_out_of_range(rules: Iterable[tuple[str, bool, str]]) -> None:
    """Refuse every option that is out of its range.

    Args:
        rules: the option's name, whether its value is good, and in words which values are.

    Raises:
        ConfigurationError: one finding for each that is not (CFG002).
    """
    findings = [
        Finding("CFG002", "error", f"{name} is out of range", f"give {wanted}")
        for name, good, wanted in rules
        if not good
    ]
    if findings:
        raise ConfigurationError(findings=findings)
