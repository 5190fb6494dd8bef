"""NII016 and what a plan refuses, through the real command line."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medbundles.io.images import read_volume, write_volume
from tests.decathlon_layout import AFFINE, SHAPE, write_task
from tests.faults.conftest import assert_found

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def task(tmp_path: Path) -> Path:
    """A sound task of two channels and two labels."""
    return write_task(tmp_path / "Task90_Two", channels=("T2", "ADC"))


@pytest.fixture
def prepare(medbundles_command: Command, task: Path, tmp_path: Path) -> Command:
    """Run ``medbundles prepare decathlon`` on it."""

    def run(*options: object) -> subprocess.CompletedProcess[str]:
        folders = ("--source", task, "--output", tmp_path / "out", "--workers", 1, "--folds", 2)
        return medbundles_command("prepare", "decathlon", *folders, *options)

    return run


def describe(task: Path, **changes: Any) -> dict[str, Any]:
    """Change ``dataset.json`` and return what it said."""
    file = task / "dataset.json"
    content: dict[str, Any] = json.loads(file.read_text())
    file.write_text(json.dumps(content | changes))
    return content


def test_a_label_value_that_is_not_named_is_refused_nii016(prepare: Command, task: Path) -> None:
    file = task / "labelsTr" / "case_003.nii.gz"
    write_volume(file, read_volume(file).array * 3, AFFINE)
    assert_found(
        prepare(),
        "NII016",
        "case_003",
        "labelsTr/case_003.nii.gz",
        "label values 3, 6",
        "expected 0, 1, 2",
        "dataset.json",
    )


def test_a_label_that_is_listed_and_absent_is_refused_nii016(prepare: Command, task: Path) -> None:
    (task / "labelsTr" / "case_002.nii.gz").unlink()
    assert_found(prepare(), "NII016", "case_002", "labelsTr/case_002.nii.gz", "the label is listed and not there")


def test_another_number_of_channels_is_refused_nii016(prepare: Command, task: Path) -> None:
    write_volume(task / "imagesTr" / "case_001.nii.gz", np.random.default_rng(0).random((*SHAPE, 3)), AFFINE)
    assert_found(prepare(), "NII016", "case_001", "case_001.nii.gz", "x 3 voxels, expected a 4D volume with 2 channels")


def test_a_case_that_is_listed_twice_is_refused_nii016(prepare: Command, task: Path) -> None:
    listed = describe(task)["training"]
    describe(task, training=[*listed, listed[4]])
    assert_found(prepare(), "NII016", "case_004", "dataset.json", "listed twice")


def test_all_of_it_is_said_at_once_and_nothing_written_nii016(prepare: Command, task: Path, tmp_path: Path) -> None:
    file = task / "labelsTr" / "case_003.nii.gz"
    write_volume(file, read_volume(file).array * 3, AFFINE)
    (task / "imagesTr" / "case_000.nii.gz").unlink()
    write_volume(task / "imagesTr" / "case_001.nii.gz", np.random.default_rng(0).random((*SHAPE, 3)), AFFINE)
    listed = describe(task)["training"]
    describe(task, training=[*listed, listed[4]])
    result = prepare()
    named = {line.split("case ")[1].split(",")[0] for line in result.stderr.splitlines() if "error[NII016]" in line}
    assert named == {"case_000", "case_001", "case_003", "case_004"}
    assert not (tmp_path / "out").exists()


def test_bad_cases_may_be_left_out_nii016(prepare: Command, task: Path, tmp_path: Path) -> None:
    (task / "labelsTr" / "case_002.nii.gz").unlink()
    assert prepare("--skip_bad_cases", "true").returncode == 7
    content = json.loads((tmp_path / "out" / "datalist.json").read_text())
    assert "case_002" not in {record["case"] for part in ("training", "testing") for record in content[part]}


def test_a_plan_that_cannot_be_meant_is_refused_whole_trn007(
    prepare: Command, medbundles_command: Command, tmp_path: Path
) -> None:
    assert prepare().returncode == 0
    file = tmp_path / "out" / "plan.json"
    plan = json.loads(file.read_text())
    file.write_text(json.dumps(plan | {"patch_size": [31, 32, 32], "spacing_mm": [1.0, -1.0, 1.0]}))
    result = medbundles_command("check", "organ_cascade_segmentation", tmp_path / "out")
    assert result.returncode == 3
    for key in ("patch_size", "spacing_mm"):
        assert any("TRN007" in line and "plan.json" in line and key in line for line in result.stderr.splitlines())
