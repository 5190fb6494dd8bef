"""Cases whose faults show only when they are read: left out or refused like those that the checks refuse."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ignite.engine import Engine

from medbundles.checks.notices import notice
from medbundles.components.datasets import CaseDataset, CaseLoader
from medbundles.components.handlers import RunStatus
from medbundles.components.workflows import RunSession
from medbundles.errors import DataError, Finding, PartialFailure

Make = Callable[..., RunSession]


def read(record: dict[str, Any]) -> dict[str, Any]:
    """Stands in for reading: a case's name says what is wrong with it."""
    if record["case"].startswith("bad"):
        raise DataError(findings=[Finding("DWI012", "error", "the brain mask is empty")])
    if record["case"].startswith("torn"):
        raise EOFError("the file ends here")
    if record["case"].startswith("dark"):
        notice(Finding("DWI008", "warning", "no signal"))
    return record


@pytest.fixture
def session(tmp_path: Path) -> Make:
    def make(**options: Any) -> RunSession:
        begun = RunSession(kind="infer", bundle="tiny", output_dir=tmp_path / "run", device="cpu", **options)
        begun.begin()
        return begun

    return make


def predict(session: RunSession, *cases: str, num_workers: int = 0) -> list[str]:
    """Return the cases that a run goes through; it ends as a run of a bundle does."""
    done: list[str] = []
    engine = Engine(lambda engine, batch: done.extend(batch["case"]))
    RunStatus(session).attach(engine)
    loader = CaseLoader(CaseDataset([{"case": case} for case in cases], read), session, num_workers)
    engine.run(loader, max_epochs=1, epoch_length=len(loader))
    try:
        session.complete(engine)
    except PartialFailure as error:
        done.append(error.message)
    return done


def recorded(tmp_path: Path) -> list[tuple[str, str, str]]:
    findings = json.loads((tmp_path / "run" / "run.json").read_text())["findings"]
    return [(finding["case"], finding["code"], finding["level"]) for finding in findings]


@pytest.mark.parametrize("cases", [("good", "bad", "fine"), ("bad", "good", "fine"), ("good", "fine", "bad")])
def test_a_case_that_cannot_be_read_is_left_out_and_the_others_are_done_once(
    session: Make, cases: tuple[str, ...]
) -> None:
    assert predict(session(skip_bad_cases=True), *cases) == ["good", "fine", "1 case(s) were left out: bad"]


def test_why_a_case_was_left_out_is_recorded(session: Make, tmp_path: Path) -> None:
    predict(session(skip_bad_cases=True), "bad", "good", "torn")
    assert recorded(tmp_path) == [("bad", "DWI012", "error"), ("torn", "TRN008", "error")]


def test_loader_workers_hand_on_what_they_found(session: Make, tmp_path: Path) -> None:
    predict(session(skip_bad_cases=True), "bad", "dark", num_workers=1)
    assert recorded(tmp_path) == [("bad", "DWI012", "error"), ("dark", "DWI008", "warning")]


def test_without_being_asked_to_no_case_is_left_out(session: Make) -> None:
    with pytest.raises(DataError, match=r"DWI012\] case bad"):
        predict(session(), "good", "bad")


def test_where_no_case_is_left_all_are_refused(session: Make, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"(?s)case bad1: .*case bad2: "):
        predict(session(skip_bad_cases=True), "bad1", "bad2")
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "failed"


def test_a_warning_is_shown_and_recorded(session: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert predict(session(), "dark") == ["dark"]
    assert "warning[DWI008] case dark: no signal" in capsys.readouterr().err
    assert recorded(tmp_path) == [("dark", "DWI008", "warning")]


def test_under_strict_a_warning_refuses_the_run(session: Make, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"warning\[DWI008\] case dark"):
        predict(session(strict=True), "good", "dark")
    assert recorded(tmp_path) == [("dark", "DWI008", "warning")]


def test_under_strict_a_case_with_a_warning_can_be_left_out(session: Make) -> None:
    strict = session(strict=True, skip_bad_cases=True)
    assert predict(strict, "dark", "good") == ["good", "1 case(s) were left out: dark"]
