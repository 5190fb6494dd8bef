"""The organ_cascade_segmentation bundle by its commands: both networks, resume, evaluation, inference, export."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch

from medbundles.export import export_bundle
from tests.bundles.conftest import ORGAN_CONFIGS, QUICK_ORGANS, ROOT, Run
from tests.bundles.test_lung_nodule_training import wait_for
from tests.decathlon_layout import write_task

NAME = "organ_cascade_segmentation"


def model_of(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "model.json").read_text())
    return content


def infer(python: Run, model: Path, scans: Path, output: Path, *words: str) -> Any:
    bundle = ("-m", "monai.bundle", "run", "inferring", "--config_file", f"{ORGAN_CONFIGS}/inference.yaml")
    weights = ("--weights", model / "model.pt")
    return python(*bundle, "--dataset_dir", scans, "--output_dir", output, *weights, "--backend", "eager", *words)


def assert_done(result: Any) -> None:
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One image whose axes point to the left and to the back."""
    folder = tmp_path_factory.mktemp("scans")
    shutil.copy(write_task(folder / "task", cases=1) / "imagesTr" / "case_000.nii.gz", folder / "anna.nii.gz")
    shutil.rmtree(folder / "task")
    return folder


@pytest.fixture(scope="module")
def cascade(train_organs: Run, trained_organs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with both networks."""
    folder = tmp_path_factory.mktemp("cascade") / "run"
    quick = ("--max_epochs", "1", "--roi_patch_size", "[16,16,16]")
    assert_done(train_organs(folder, "--weights", trained_organs / "model.pt", *quick, overlay="roi_stage"))
    return folder


def test_everything_comes_from_the_plan(trained_organs: Path, organ_data: Path) -> None:
    model, plan = model_of(trained_organs), json.loads((organ_data / "plan.json").read_text())
    assert model["image_channels"] == ["MRI"]
    assert model["labels"] == {"0": "background", "1": "organ", "2": "tumor"}
    assert model["preprocessing"]["plan"] == plan
    assert model["preprocessing"]["spacing_mm"] == plan["spacing_mm"]


def test_what_supervises_coarser_levels_is_no_part_of_the_weights(trained_organs: Path) -> None:
    assert not [name for name in torch.load(trained_organs / "model.pt", weights_only=True) if "heads" in name]


@pytest.mark.parametrize(
    ("network", "narrow"),
    [("DynUNet", ("filters", "[4,8,8,8]")), ("UNet", ("channels", "[4,8,8,8]"))],
)
def test_every_network_trains_by_one_key(
    train_organs: Run, tmp_path: Path, network: str, narrow: tuple[str, str]
) -> None:
    width = (f"--networks::{network}::{narrow[0]}", narrow[1])
    assert_done(train_organs(tmp_path / "run", "--network", network, "--max_epochs", "1", *width))
    assert model_of(tmp_path / "run")["network"]["name"] == network


def test_an_edited_plan_that_cannot_be_meant_is_refused_whole(
    medbundles_command: Run, organ_data: Path, tmp_path: Path
) -> None:
    data = shutil.copytree(organ_data, tmp_path / "data")
    plan = json.loads((data / "plan.json").read_text())
    (data / "plan.json").write_text(json.dumps(plan | {"spacing_mm": [1, 1], "mirror_axes": ["x"]}))
    result = medbundles_command("train", NAME, "--dataset_dir", data, "--output_dir", tmp_path / "run")
    assert result.returncode == 3
    assert "spacing_mm is [1, 1]" in result.stderr
    assert "mirror_axes is ['x']" in result.stderr


def test_a_folder_without_a_plan_is_refused_with_the_command_that_makes_one(
    medbundles_command: Run, organ_data: Path, tmp_path: Path
) -> None:
    data = shutil.copytree(organ_data, tmp_path / "data")
    (data / "plan.json").unlink()
    result = medbundles_command("train", NAME, "--dataset_dir", data, "--output_dir", tmp_path / "run")
    assert (result.returncode, "medbundles prepare decathlon" in result.stderr) == (3, True)


def test_a_resumed_training_is_bit_equal(
    train_organs: Run, trained_organs: Path, organ_data: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    bundle = (sys.executable, "-m", "monai.bundle", "run", "training", "--config_file", f"{ORGAN_CONFIGS}/train.yaml")
    command = [*bundle, "--dataset_dir", str(organ_data), "--output_dir", str(folder), *QUICK_ORGANS]
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    wait_for('"epoch": 1', folder, process)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=120)
    assert process.returncode == 130
    assert_done(train_organs(folder, "--resume", "True"))
    straight, resumed = (torch.load(run / "last.pt", weights_only=True) for run in (trained_organs, folder))
    ours, theirs = resumed["networks"]["network"], straight["networks"]["network"]
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


def test_two_processes_train_together(python: Run, organ_data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    port = str(20000 + (os.getpid() + 7) % 20000)
    launcher = ("-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", port)
    bundle = ("-m", "monai.bundle", "run", "training", "--config_file", f"{ORGAN_CONFIGS}/train.yaml")
    quick = (*QUICK_ORGANS, "--max_epochs", "1")
    assert_done(python(*launcher, *bundle, "--dataset_dir", organ_data, "--output_dir", folder, *quick))
    assert json.loads((folder / "run.json").read_text())["processes"] == 2


def test_the_coarse_look_is_kept_beside_the_close_one(cascade: Path, trained_organs: Path) -> None:
    assert (cascade / "roi_model.pt").is_file()
    close, same = (torch.load(folder / "model.pt", weights_only=True) for folder in (trained_organs, cascade))
    assert all(torch.equal(close[key], same[key]) for key in close)
    assert model_of(cascade)["postprocessing"]["roi_stage"]["file"] == "roi_model.pt"


def test_a_missing_coarse_look_is_refused_with_its_remedy(
    python: Run, cascade: Path, scans: Path, tmp_path: Path
) -> None:
    model = shutil.copytree(cascade, tmp_path / "run", ignore=shutil.ignore_patterns("*lock", "tensorboard"))
    (model / "roi_model.pt").unlink()
    result = infer(python, model, scans, tmp_path / "out")
    assert result.returncode in (3, 4)
    assert "--roi_stage none" in result.stderr
    assert_done(infer(python, model, scans, tmp_path / "out", "--roi_stage", "none"))


def test_an_image_gets_the_task_s_labels_on_its_own_grid(
    python: Run, cascade: Path, scans: Path, tmp_path: Path
) -> None:
    assert_done(infer(python, cascade, scans, tmp_path / "out"))
    image, label = nib.load(scans / "anna.nii.gz"), nib.load(tmp_path / "out" / "anna_seg.nii.gz")
    assert label.shape == image.shape
    np.testing.assert_allclose(label.affine, image.affine, atol=1e-5)
    assert set(np.unique(label.dataobj)) <= {0, 1, 2}
    rows = list(csv.DictReader((tmp_path / "out" / "volumes.csv").open()))
    assert {row["name"] for row in rows} == {"organ", "tumor"}


def test_nothing_found_is_said_with_the_case_and_the_whole_image_is_looked_at(
    python: Run, cascade: Path, scans: Path, tmp_path: Path
) -> None:
    blind = shutil.copytree(cascade, tmp_path / "run", ignore=shutil.ignore_patterns("*lock", "tensorboard"))
    weights = torch.load(blind / "roi_model.pt", weights_only=True)
    bias = next(name for name in reversed(weights) if name.endswith("bias"))
    torch.save(weights | {bias: torch.full_like(weights[bias], -1e4)}, blind / "roi_model.pt")
    model = model_of(blind)
    del model["files"]["roi_model.pt"]
    (blind / "model.json").write_text(json.dumps(model))
    result = infer(python, blind, scans, tmp_path / "out")
    assert_done(result)
    assert "ROI001" in result.stderr + result.stdout
    assert "anna" in next(line for line in (result.stderr + result.stdout).splitlines() if "ROI001" in line)
    assert (tmp_path / "out" / "anna_seg.nii.gz").is_file()


def test_evaluation_says_overlap_and_distances_of_each_label(
    python: Run, organ_data: Path, cascade: Path, tmp_path: Path
) -> None:
    files = f"['{ORGAN_CONFIGS}/train.yaml','{ORGAN_CONFIGS}/evaluate.yaml']"
    bundle = ("-m", "monai.bundle", "run", "evaluating", "--config_file", files)
    places = ("--dataset_dir", organ_data, "--output_dir", tmp_path / "out", "--weights", cascade / "model.pt")
    assert_done(python(*bundle, *places, "--backend", "eager"))
    rows = list(csv.DictReader((tmp_path / "out" / "metrics.csv").open()))
    assert {(row["case"], row["region"]) for row in rows} == {
        (case, label) for case in ("case_004", "case_005") for label in ("organ", "tumor")
    }
    assert {"dice", "hd95_mm", "surface_dice"} <= rows[0].keys()


def test_both_networks_are_exported(cascade: Path, tmp_path: Path) -> None:
    made = export_bundle(NAME, tmp_path, cascade, formats=("safetensors",))
    with zipfile.ZipFile(made.path) as archive:
        names = archive.namelist()
        formats = json.loads(archive.read(f"{NAME}/configs/metadata.json"))["network_data_format"]
    assert f"{NAME}/models/roi_model.pt" in names
    assert formats["outputs"]["pred"]["num_channels"] == 3
