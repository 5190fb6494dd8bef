"""Whether there is anything to learn malignancy from is said before the first epoch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medbundles.checks.verdicts import check_verdicts
from medbundles.errors import Finding
from medbundles.io.datalist import write_datalist
from medbundles.io.images import write_volume


def nodule(verdict: Any, **changed: Any) -> dict[str, Any]:
    return {"center_lps_mm": [1.0, 2.0, 3.0], "diameter_mm": 5.0, "malignant": verdict} | changed


def folder(path: Path, *nodules: list[Any] | None, labels: tuple[int, ...] = ()) -> Path:
    """A prepared folder whose records list these nodules; the first one validates, the others train."""
    records = []
    for number, listed in enumerate([[], *nodules]):
        record = {"image": f"{number}.nii", "label": f"label {number}.nii", "case": str(number), "fold": min(number, 1)}
        values = np.zeros((4, 4, 4), np.uint8)
        values[0, 0] = (1, *labels, 1, 1, 1)[:4] if number else 0
        write_volume(path / record["label"], values, np.eye(4))
        records.append(record | ({} if listed is None else {"nodules": listed}))
    write_datalist(path, records, [])
    return path


def said(path: Path, **options: Any) -> list[Finding]:
    return check_verdicts(path, **options)


def test_verdicts_of_both_kinds_are_counted_in_a_note(tmp_path: Path) -> None:
    (note,) = said(folder(tmp_path, [nodule(True), nodule(None)], [nodule(False)]))
    assert str(note) == "note[LUN012] nodules of the training part: 1 benign, 1 malignant, 1 without a verdict"


@pytest.mark.parametrize("listed", [[nodule(None)], [], None], ids=["null", "none listed", "no list"])
def test_a_training_part_without_any_verdict_is_refused(tmp_path: Path, listed: Any) -> None:
    (error,) = said(folder(tmp_path, listed))
    assert (error.code, error.level, error.file) == ("LUN012", "error", "datalist.json")
    assert "called benign or malignant" in error.message


def test_verdicts_of_the_validating_fold_are_nothing_to_learn_from(tmp_path: Path) -> None:
    folder(tmp_path, [nodule(True), nodule(False)])
    assert said(tmp_path, fold=1)[0].level == "error"


@pytest.mark.parametrize(("verdict", "absent"), [(True, "benign"), (False, "malignant")])
def test_a_training_part_of_one_class_is_a_warning(tmp_path: Path, verdict: bool, absent: str) -> None:
    warning, _ = said(folder(tmp_path, [nodule(verdict)]))
    assert warning.level == "warning"
    assert f"what {absent} means cannot be learned" in warning.message


def test_labels_of_one_and_two_need_no_list(tmp_path: Path) -> None:
    (note,) = said(folder(tmp_path, None, None, labels=(2,)))
    assert note.message.endswith("classes drawn by hand in 2 labels")


def test_labels_that_will_be_taken_as_drawn_benign_are_named_beside_verdicts(tmp_path: Path) -> None:
    warning, _ = said(folder(tmp_path, None, [nodule(True), nodule(False)]))
    assert (warning.level, warning.message[:9]) == ("warning", "1 records")


@pytest.mark.parametrize(
    ("listed", "expected"),
    [
        ({}, '"nodules" is {}, expected a list'),
        (["a"], "nodule 1: 'a' is no object"),
        ([nodule(True), nodule(True, center_lps_mm=[1, 2])], "nodule 2: center_lps_mm is [1, 2], expected three"),
        ([nodule(True, diameter_mm=0)], "nodule 1: diameter_mm is 0, expected a number above 0"),
        ([nodule("yes")], "nodule 1: malignant is 'yes', expected true, false or null"),
    ],
)
@pytest.mark.parametrize("kind", ["train", "evaluate"])
def test_records_that_cannot_be_meant_are_refused(tmp_path: Path, listed: Any, expected: str, kind: str) -> None:
    (error,) = said(folder(tmp_path, listed), kind=kind)
    assert (error.code, error.level, error.case) == ("LUN012", "error", "1")
    assert error.message.startswith(expected)


def test_an_evaluation_needs_no_verdict(tmp_path: Path) -> None:
    assert said(folder(tmp_path, [nodule(None)]), kind="evaluate") == []
