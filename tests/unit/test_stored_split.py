"""A split that is written down is taken as it is, or refused with every case that is wrong."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from medbundles.errors import ConfigurationError, DataError
from medbundles.io.datalist import read_datalist
from medbundles.prepare.decathlon import prepare
from medbundles.prepare.folds import TEST
from medbundles.prepare.stored_split import read_split
from tests.decathlon_layout import write_task

CASES = ["a", "b", "c", "d"]


def write(folder: Path, content: Any) -> Path:
    file = folder / "split.json"
    file.write_text(json.dumps(content))
    return file


def test_every_case_goes_where_the_file_says(tmp_path: Path) -> None:
    file = write(tmp_path, {"testing": ["c"], "folds": [["a"], ["b", "d"]]})
    assert read_split(file, CASES) == {"a": 0, "b": 1, "c": TEST, "d": 1}


def test_nnunet_s_file_has_folds_and_no_test_part(tmp_path: Path) -> None:
    file = write(tmp_path, [{"train": ["a", "b"], "val": ["c", "d"]}, {"train": ["c", "d"], "val": ["a", "b"]}])
    assert read_split(file, CASES) == {"a": 1, "b": 1, "c": 0, "d": 0}


def test_cases_that_are_left_out_may_be_named(tmp_path: Path) -> None:
    file = write(tmp_path, {"testing": ["c"], "folds": [["a"], ["b", "d"]]})
    assert "d" not in read_split(file, ["a", "b", "c"], left_out=["d"])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"testing": ["c"], "folds": [["a"], ["b"]]}, "no part of the split has: d"),
        ({"testing": ["c", "x"], "folds": [["a"], ["b", "d"]]}, "names no case of the source: x"),
        ({"testing": ["c", "a"], "folds": [["a"], ["b", "d"]]}, "in several parts of the split: a"),
        ({"testing": ["c"]}, "testing and folds"),
        ({"testing": "abcd", "folds": []}, "testing and folds"),
        (7, "testing and folds"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, content: Any, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        read_split(write(tmp_path, content), CASES)


def test_no_such_file_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    source = write_task(tmp_path / "Task99_Organ")
    with pytest.raises(ConfigurationError, match="expected seeded or a JSON file"):
        prepare(source, tmp_path / "out", split=str(tmp_path / "none.json"), workers=1)
    assert not (tmp_path / "out").exists()


def test_the_data_list_has_the_stored_split(tmp_path: Path) -> None:
    names = [f"case_{number:03d}" for number in range(6)]
    file = write(tmp_path, {"testing": names[:2], "folds": [names[2:3], names[3:]]})
    prepare(write_task(tmp_path / "Task99_Organ"), tmp_path / "out", split=str(file), workers=1)
    listed = read_datalist(tmp_path / "out")
    assert [record["case"] for record in listed["testing"]] == names[:2]
    assert [record["fold"] for record in listed["training"]] == [0, 1, 1, 1]


def test_the_same_image_in_two_parts_is_refused(tmp_path: Path) -> None:
    source = write_task(tmp_path / "Task99_Organ")
    for folder in ("imagesTr", "labelsTr"):
        shutil.copyfile(source / folder / "case_000.nii.gz", source / folder / "case_005.nii.gz")
    names = [f"case_{number:03d}" for number in range(6)]
    file = write(tmp_path, {"testing": names[:2], "folds": [names[2:3], names[3:]]})
    with pytest.raises(DataError, match="case_000"):
        prepare(source, tmp_path / "out", split=str(file), workers=1)
