"""What the end of a run tells has a code, whoever raised it."""

from __future__ import annotations

from medbundles.errors import ConfigurationError, DataError, Finding


def test_a_component_s_plain_message_gets_the_code_of_values() -> None:
    assert ConfigurationError("overlap is 2").told() == "error[CFG002] overlap is 2"


def test_findings_are_told_as_they_are() -> None:
    findings = [Finding("NII004", "error", "far apart", "resample it", case="a")]
    assert DataError(findings=findings).told() == "error[NII004] case a: far apart; resample it"
