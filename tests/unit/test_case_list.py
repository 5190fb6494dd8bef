"""Whose scan is whose, before they are dealt out."""

from __future__ import annotations

from typing import Any

from medbundles.prepare._case_list import find_subjects
from medbundles.prepare._case_result import CaseResult


def result(case: str, **fingerprint: Any) -> CaseResult:
    return CaseResult(case=case, findings=(), fingerprint=fingerprint)


def test_cases_without_a_known_patient_are_somebody_each() -> None:
    subjects, findings = find_subjects([result("a", image_sha256="1"), result("b", image_sha256="2")])
    assert subjects == {"a": "a", "b": "b"}
    assert findings == []


def test_two_scans_with_one_t1w_are_one_person_whatever_they_are_called() -> None:
    cases = [result("a", image_sha256="1", t1w_sha256="t"), result("b", image_sha256="2", t1w_sha256="t")]
    subjects, findings = find_subjects(cases)
    assert subjects["a"] == subjects["b"]
    assert [finding.code for finding in findings] == ["NII014"]
    assert "the same T1w as case a" in findings[0].message


def test_two_scans_of_a_known_person_may_share_a_t1w() -> None:
    cases = [result("a", image_sha256="1", t1w_sha256="t"), result("b", image_sha256="2", t1w_sha256="t")]
    assert find_subjects(cases, {"a": "anna", "b": "anna"}) == ({"a": "anna", "b": "anna"}, [])


def test_the_same_scan_twice_is_told_even_of_one_person() -> None:
    cases = [result("a", image_sha256="1", t1w_sha256="t"), result("b", image_sha256="1", t1w_sha256="t")]
    _, findings = find_subjects(cases, {"a": "anna", "b": "anna"})
    assert [finding.message.split(":")[0] for finding in findings] == ["the same voxels as case a"]
