"""The lung nodule bundle through MONAI's own command: train, evaluate, infer, and what they leave behind."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch

from tests.bundles.conftest import CONFIGS, Run

BUNDLE = "lung_nodule_ct_segmentation"


@pytest.fixture(scope="module")
def evaluated(python: Run, chest_data: Path, trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("evaluated") / "run"
    files = f"['{CONFIGS}/train.yaml','{CONFIGS}/evaluate.yaml']"
    command = ("-m", "monai.bundle", "run", "evaluating", "--config_file", files, "--dataset_dir", chest_data)
    result = python(*command, "--output_dir", folder, "--weights", trained / "model.pt")
    assert result.returncode == 0, result.stdout + result.stderr
    return folder


@pytest.fixture(scope="module")
def inferred(python: Run, chest_data: Path, trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inferred") / "run"
    command = ("-m", "medbundles", "infer", BUNDLE, "--dataset_dir", chest_data, "--output_dir", folder)
    result = python(*command, "--weights", trained, "--save_probability", "true")
    assert result.returncode == 0, result.stdout + result.stderr
    return folder


FILES = ["model.pt", "model.json", "last.pt", "best.pt", "history.jsonl", "curves.png", "run.json"]


@pytest.mark.parametrize("name", FILES)
def test_training_leaves(trained: Path, name: str) -> None:
    assert (trained / name).stat().st_size > 0


def test_training_writes_a_preview_at_each_validation(trained: Path) -> None:
    assert len(list((trained / "previews").glob("*.png"))) == 2


def test_the_run_record_tells_how_it_was_made(trained: Path) -> None:
    record = json.loads((trained / "run.json").read_text())
    assert record["status"] == "completed"
    assert record["config"]["max_epochs"] == 2


def test_weights_load_without_pickle_and_hold_nothing_but_tensors(trained: Path) -> None:
    state = torch.load(trained / "model.pt", weights_only=True)
    assert all(isinstance(value, torch.Tensor) for value in state.values())


def test_thresholds_were_fixed_on_validation_cases(trained: Path) -> None:
    thresholds = json.loads((trained / "model.json").read_text())["thresholds"]
    assert thresholds["cases"] == 2
    assert 0 < thresholds["mask_threshold"] < 1


def test_evaluation_reports_every_test_case_and_counts_the_empty_one(evaluated: Path) -> None:
    with (evaluated / "metrics.csv").open() as table:
        assert [row["case"] for row in csv.DictReader(table)] == ["chest 6", "chest 7"]
    summary = json.loads((evaluated / "summary.json").read_text())
    assert summary["lesions"]["n"] == 2
    assert summary["lesions"]["n_empty"] == 1


def test_evaluation_uses_the_thresholds_of_the_model(evaluated: Path, trained: Path) -> None:
    thresholds = json.loads((trained / "model.json").read_text())["thresholds"]
    summary = json.loads((evaluated / "summary.json").read_text())
    assert summary["pixels"]["threshold"] == thresholds["mask_threshold"]


def test_masks_lie_on_the_grid_of_their_scans(inferred: Path, chest_data: Path) -> None:
    scan = nibabel.load(chest_data / "images" / "chest 6.nii.gz")
    mask = nibabel.load(inferred / "chest 6_seg.nii.gz")
    assert mask.shape == scan.shape
    assert np.array_equal(mask.affine, scan.affine)
    assert set(np.unique(np.asarray(mask.dataobj))) <= {0, 1}


def test_probabilities_are_written_on_request(inferred: Path) -> None:
    probability = nibabel.load(inferred / "chest 6_prob.nii.gz").get_fdata()
    assert 0 <= probability.min() < probability.max() <= 1


def test_findings_have_world_positions_in_both_conventions(inferred: Path) -> None:
    nodules = json.loads((inferred / "nodules.json").read_text())["nodules"]
    for nodule in nodules:
        lps, ras = nodule["center_lps_mm"], nodule["center_ras_mm"]
        assert [-lps[0], -lps[1], lps[2]] == pytest.approx(ras)


def test_every_case_gets_a_picture(inferred: Path) -> None:
    pictures = sorted(path.name for path in inferred.glob("*_preview.png"))
    assert pictures == ["chest 6_preview.png", "chest 7_preview.png"]


def test_a_finished_inference_is_not_written_over(python: Run, chest_data: Path, trained: Path, inferred: Path) -> None:
    command = ("-m", "medbundles", "infer", BUNDLE, "--dataset_dir", chest_data, "--output_dir", inferred)
    result = python(*command, "--weights", trained)
    assert result.returncode == 6
    assert "TRN005" in result.stderr


def test_inference_without_weights_says_what_to_do(python: Run, chest_data: Path, tmp_path: Path) -> None:
    command = ("-m", "medbundles", "infer", BUNDLE, "--dataset_dir", chest_data, "--output_dir", tmp_path / "out")
    result = python(*command, "--weights", tmp_path / "missing.pt")
    assert result.returncode == 3
    assert "TRN011" in result.stderr
    assert "missing.pt" in result.stderr


def test_a_model_description_of_other_weights_is_refused(
    python: Run, chest_data: Path, trained: Path, tmp_path: Path
) -> None:
    for name in ("model.pt", "model.json"):
        shutil.copy(trained / name, tmp_path / name)
    state = torch.load(tmp_path / "model.pt", weights_only=True)
    torch.save({key: value + 1 for key, value in state.items()}, tmp_path / "model.pt")
    command = ("-m", "medbundles", "infer", BUNDLE, "--dataset_dir", chest_data, "--output_dir", tmp_path / "out")
    result = python(*command, "--weights", tmp_path / "model.pt")
    assert result.returncode == 3
    assert "TRN007" in result.stderr
    assert not (tmp_path / "out" / "chest 6_seg.nii.gz").exists()


def test_weights_trained_with_other_preprocessing_are_refused(
    python: Run, chest_data: Path, trained: Path, tmp_path: Path
) -> None:
    command = ("-m", "medbundles", "evaluate", BUNDLE, "--dataset_dir", chest_data, "--output_dir", tmp_path / "out")
    result = python(*command, "--weights", trained, "--slices", "5")
    assert result.returncode == 2
    assert "CFG004" in result.stderr
    assert "slices" in result.stderr


def test_an_inferer_that_disagrees_with_the_network_is_refused_before_any_output(
    python: Run, chest_data: Path, trained: Path, tmp_path: Path
) -> None:
    command = ("-m", "medbundles", "infer", BUNDLE, "--dataset_dir", chest_data, "--weights", trained)
    result = python(*command, "--output_dir", tmp_path / "run", "--inferer::slices", "5")
    assert result.returncode == 2, result.stderr
    assert "error[CFG002] network_def does not take 5 channel(s)" in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "run").exists()


def test_cases_in_folders_of_their_own_keep_their_names_in_every_table(
    python: Run, chest_data: Path, trained: Path, tmp_path: Path
) -> None:
    for number, case in enumerate(("anna", "ben")):
        (tmp_path / "scans" / case).mkdir(parents=True)
        shutil.copy(chest_data / "images" / f"chest {number}.nii.gz", tmp_path / "scans" / case / "ct.nii.gz")
    command = (
        "-m",
        "medbundles",
        "infer",
        BUNDLE,
        "--dataset_dir",
        tmp_path / "scans",
        "--output_dir",
        tmp_path / "out",
    )
    result = python(*command, "--weights", trained, "--peak_threshold", "0")
    assert result.returncode == 0, result.stdout + result.stderr
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert [row["case"] for row in summary["cases"]] == ["anna", "ben"]
    with (tmp_path / "out" / "nodules.csv").open() as table:
        assert {row["case"] for row in csv.DictReader(table)} <= {"anna", "ben"}
    assert sorted(path.name for path in tmp_path.glob("out/*_seg.nii.gz")) == ["anna_seg.nii.gz", "ben_seg.nii.gz"]
