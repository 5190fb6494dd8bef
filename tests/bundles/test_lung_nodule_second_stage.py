"""From a trained network to one that looks twice: mine its mistakes, train the second stage, apply both."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from medbundles.io.hard_negatives import TABLE_NAME, read_hard_negatives
from tests.bundles.conftest import Run

BUNDLE = "lung_nodule_ct_segmentation"
SECOND = ("--max_epochs", "1", "--samples_per_epoch", "24", "--batch_size", "8", "--cube_size", "16")


@pytest.fixture(scope="module")
def mined(python: Run, chest_data: Path, trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data set with the first network's mistakes in it."""
    data = tmp_path_factory.mktemp("mined") / "data"
    shutil.copytree(chest_data, data)
    run = data.with_name("run")
    result = python(
        "-m", "medbundles", "mine", BUNDLE, "--dataset_dir", data, "--weights", trained, "--output_dir", run,
        "--preview_cases", "1",
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
    return data


@pytest.fixture(scope="module")
def second(python: Run, mined: Path, trained: Path) -> Path:
    """The folder of a training of the second stage."""
    run = mined.with_name("second")
    command = ("-m", "medbundles", "train", BUNDLE, "--overlay", "second_stage", "--dataset_dir", mined)
    result = python(*command, "--weights", trained, "--output_dir", run, "--preview_cases", "1", *SECOND)
    assert result.returncode == 0, result.stdout + result.stderr
    return run


def test_mistakes_are_mined_from_training_scans_alone(mined: Path) -> None:
    places = read_hard_negatives(mined / TABLE_NAME)
    assert {place.case for place in places} <= {"chest 1", "chest 2", "chest 4", "chest 5"}
    assert {place.source for place in places} <= {"mined"}


def test_the_run_holds_both_networks_and_leaves_the_first_as_it_was(second: Path, trained: Path) -> None:
    model = json.loads((second / "model.json").read_text())
    first = json.loads((trained / "model.json").read_text())
    assert set(model["files"]) == {"model.pt", "second_stage.pt"}
    assert model["network"] == first["network"]
    assert model["postprocessing"]["second_stage"]["size"] == 16


def test_both_are_applied_by_the_same_command(python: Run, second: Path, mined: Path) -> None:
    output = second.with_name("predictions")
    command = ("-m", "medbundles", "infer", BUNDLE, "--dataset_dir", mined, "--weights", second / "model.pt")
    result = python(*command, "--output_dir", output)
    assert result.returncode == 0, result.stdout + result.stderr
    assert (output / "nodules.json").is_file()


def test_a_second_stage_without_a_first_is_refused(python: Run, mined: Path) -> None:
    command = ("-m", "medbundles", "train", BUNDLE, "--overlay", "second_stage", "--dataset_dir", mined)
    result = python(*command, "--weights", mined / "absent.pt", "--output_dir", mined.with_name("none"), *SECOND)
    assert result.returncode == 3
    assert "error[TRN011]" in result.stderr


def test_weights_without_their_second_stage_are_refused(python: Run, second: Path, mined: Path, tmp_path: Path) -> None:
    for name in ("model.pt", "model.json"):
        shutil.copyfile(second / name, tmp_path / name)
    command = ("-m", "medbundles", "infer", BUNDLE, "--dataset_dir", mined, "--weights", tmp_path / "model.pt")
    result = python(*command, "--output_dir", tmp_path / "out")
    assert result.returncode == 3
    assert "error[TRN011] second_stage.pt" in result.stderr
