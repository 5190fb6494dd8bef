"""Training of the lung nodule bundle under what machines do to it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from tests.bundles.conftest import CONFIGS, QUICK, ROOT, SOME, Run

TRAINING = ("-m", "monai.bundle", "run", "training", "--config_file", f"{CONFIGS}/train.yaml")


def last_state(folder: Path) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.load(folder / "last.pt", weights_only=True)["networks"]["network"]
    return state


def wait_for(condition: str, folder: Path, process: subprocess.Popen[str], seconds: float = 120) -> None:
    history = folder / "history.jsonl"
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        if history.exists() and condition in history.read_text():
            return
        time.sleep(0.05)
    raise AssertionError(f"{condition} did not appear; the process said {process.communicate()[0]}")


def test_a_training_stopped_by_the_system_resumes_bit_by_bit(
    train: Run, trained: Path, chest_data: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    command = [sys.executable, *TRAINING, "--dataset_dir", chest_data, "--output_dir", folder, *SOME]
    process = subprocess.Popen(
        list(map(str, command)), cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    wait_for('"epoch": 1', folder, process)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=120)
    assert process.returncode == 130
    assert json.loads((folder / "run.json").read_text())["status"] == "interrupted"

    result = train(folder, "--resume", "True", quick=SOME)
    assert result.returncode == 0, result.stdout + result.stderr
    resumed, straight = last_state(folder), last_state(trained)
    assert all(torch.equal(resumed[key], straight[key]) for key in straight)


def test_resuming_with_another_configuration_is_refused_with_the_difference(train: Run, trained: Path) -> None:
    result = train(trained, "--resume", "True", "--learning_rate", "0.5", quick=SOME)
    assert result.returncode == 2
    assert "learning_rate" in result.stderr


def test_workers_started_by_spawn_train(train: Run, tmp_path: Path) -> None:
    spawn = ("--num_workers", "1", "--multiprocessing_context", "spawn")
    result = train(tmp_path / "run", *spawn, quick=("--max_epochs", "1", "--samples_per_epoch", "16"))
    assert result.returncode == 0, result.stdout + result.stderr


def test_two_processes_train_together(python: Run, chest_data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    port = str(20000 + os.getpid() % 20000)
    launcher = ("-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", port)
    result = python(*launcher, *TRAINING, "--dataset_dir", chest_data, "--output_dir", folder, *QUICK)
    assert result.returncode == 0, result.stdout + result.stderr
    assert json.loads((folder / "run.json").read_text())["processes"] == 2
    assert json.loads((folder / "model.json").read_text())["thresholds"]["cases"] == 2


@pytest.mark.parametrize("network", ["BasicUNet"])
def test_another_network_trains_by_its_name(train: Run, tmp_path: Path, network: str) -> None:
    quick = ("--max_epochs", "1", "--samples_per_epoch", "16", "--loss", "DiceCE")
    narrow = (f"--networks::{network}::features", "[8, 8, 8, 8, 8, 8]")
    result = train(tmp_path / "run", "--network", network, *narrow, quick=quick)
    assert result.returncode == 0, result.stdout + result.stderr
    assert json.loads((tmp_path / "run" / "model.json").read_text())["network"]["name"] == network


def test_fine_tuning_starts_from_the_given_weights(train: Run, trained: Path, tmp_path: Path) -> None:
    quick = ("--max_epochs", "1", "--samples_per_epoch", "16", "--learning_rate", "1.0e-12", "--ema_decay", "0.0")
    result = train(tmp_path / "run", "--pretrained", trained / "model.pt", quick=quick)
    assert result.returncode == 0, result.stdout + result.stderr
    start = torch.load(trained / "model.pt", weights_only=True)
    tuned = last_state(tmp_path / "run")
    weights = [key for key in start if key.endswith("conv.weight")]
    assert weights
    assert all(torch.allclose(start[key], tuned[key], atol=1e-6) for key in weights)


def test_a_misspelt_override_is_refused_with_a_suggestion(train: Run, tmp_path: Path) -> None:
    result = train(tmp_path / "run", "--max_epoch", "7")
    assert result.returncode == 2
    assert "did you mean" in result.stderr
    assert "max_epochs" in result.stderr
    assert not (tmp_path / "run").exists()


def test_an_argument_that_a_component_does_not_have_is_refused(train: Run, tmp_path: Path) -> None:
    result = train(tmp_path / "run", "--losses::FalseNegativeWeightedDice::wheight", "3")
    assert result.returncode == 2
    assert "wheight" in result.stderr


def test_an_unknown_network_is_refused(python: Run, chest_data: Path, tmp_path: Path) -> None:
    # Through our own command: under plain `monai.bundle run` only a refusal of the preflight keeps its code.
    command = ("-m", "medbundles", "train", "lung_nodule_ct_segmentation", "--dataset_dir", chest_data)
    result = python(*command, "--output_dir", tmp_path / "run", "--network", "UNeet")
    assert result.returncode == 2
    assert "did you mean UNet" in result.stderr


def test_a_missing_data_folder_is_refused(python: Run, tmp_path: Path) -> None:
    result = python(*TRAINING, "--dataset_dir", tmp_path / "nowhere", "--output_dir", tmp_path / "run")
    assert result.returncode == 3
    assert "TRN011" in result.stderr


def test_a_second_run_in_the_same_folder_is_refused(train: Run, trained: Path) -> None:
    result = train(trained)
    assert result.returncode == 6
    assert "TRN005" in result.stderr


def test_the_overlays_fit_the_bundle(python: Run, chest_data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    command = ("-m", "medbundles", "train", "lung_nodule_ct_segmentation", "--dataset_dir", chest_data)
    overlays = [part for name in ("full", "smoke", "deterministic", "mlflow") for part in ("--overlay", name)]
    quick = ("--num_workers", "0", "--samples_per_epoch", "16", "--max_epochs", "1")
    result = python(*command, *overlays, *quick, "--output_dir", folder)
    assert result.returncode == 0, result.stdout + result.stderr
    assert (folder / "mlflow.db").stat().st_size > 0
