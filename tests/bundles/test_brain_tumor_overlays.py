"""Overlays of brain_tumor_mri_segmentation: Vox2Vox against its discriminator, and joined networks that learn."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from medbundles.join import join_networks
from tests.bundles import tumors
from tests.bundles.conftest import QUICK_TUMORS, ROOT, TUMOR_CONFIGS, Run
from tests.bundles.test_brain_tumor import assert_done, history, infer, model_of
from tests.bundles.test_lung_nodule_training import wait_for

NARROW = ("--networks::Vox2Vox::features", "4", "--discriminator_def::channels", "4")


def weights(folder: Path, name: str = "model.pt") -> dict[str, Tensor]:
    state: dict[str, Tensor] = torch.load(folder / name, weights_only=True)
    return state


@pytest.fixture(scope="module")
def judged(train_tumors: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a short training of Vox2Vox."""
    folder = tmp_path_factory.mktemp("judged") / "run"
    assert_done(train_tumors(folder, *NARROW, overlay="vox2vox"))
    return folder


@pytest.fixture(scope="module")
def joined(judged: Path, trained_tumors: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of two networks' mean."""
    return join_networks(
        "brain_tumor_mri_segmentation", [trained_tumors, judged], tmp_path_factory.mktemp("joined") / "mean"
    ).parent


def test_vox2vox_learns_and_reports_both_sides(judged: Path) -> None:
    rows = history(judged)
    reported = {"loss", "reconstruction_loss", "generator_loss", "discriminator_loss", "discriminator_accuracy"}
    assert rows[-1]["losses"].keys() == reported
    assert rows[-1]["losses"]["reconstruction_loss"] < rows[0]["losses"]["reconstruction_loss"]


def test_the_record_of_vox2vox_says_its_network_and_both_files(judged: Path) -> None:
    model = model_of(judged)
    assert model["network"]["name"] == "Vox2Vox"
    assert (judged / "discriminator.pt").is_file()
    assert "discriminator.pt" in json.dumps(model)


def test_without_adversarial_weight_no_discriminator_runs(train_tumors: Run, tmp_path: Path) -> None:
    alone = ("--adversarial_weight", "0", "--max_epochs", "1")
    assert_done(train_tumors(tmp_path / "run", *NARROW, *alone, overlay="vox2vox"))
    assert history(tmp_path / "run")[0]["losses"].keys() == {"loss", "reconstruction_loss"}


def test_a_resumed_training_is_bit_equal_in_both_networks(
    train_tumors: Run, judged: Path, tumor_data: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    files = str([f"{TUMOR_CONFIGS}/{name}.yaml" for name in ("train", "vox2vox")])
    bundle = (sys.executable, "-m", "monai.bundle", "run", "training", "--config_file", files)
    command = [*bundle, "--dataset_dir", str(tumor_data), "--output_dir", str(folder), *QUICK_TUMORS, *NARROW]
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    wait_for('"epoch": 1', folder, process)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=120)
    assert process.returncode == 130
    assert_done(train_tumors(folder, *NARROW, "--resume", "True", overlay="vox2vox"))
    straight, resumed = (weights(run, "last.pt") for run in (judged, folder))
    for name in ("network", "discriminator"):
        ours, theirs = resumed["networks"][name], straight["networks"][name]
        assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


def test_joined_networks_segment_a_raw_case(python: Run, joined: Path, tmp_path: Path) -> None:
    tumors.write_raw(tmp_path / "scans" / "anna")
    assert_done(infer(python, joined, tmp_path / "scans", tmp_path / "out"))
    assert (tmp_path / "out" / "anna_seg.nii.gz").is_file()


def test_a_combination_learns_and_its_members_stay(train_tumors: Run, joined: Path, tmp_path: Path) -> None:
    start: Any = ("--pretrained", joined / "model.pt", "--max_epochs", "1")
    assert_done(train_tumors(tmp_path / "run", *start, overlay="ensemble"))
    before, after = weights(joined), weights(tmp_path / "run")
    for name in before:  # the running average that is written rounds weights that never change
        torch.testing.assert_close(after[name], before[name], rtol=1e-5, atol=1e-7)
    learned = after.keys() - before.keys()
    assert learned == {"correction.weight", "correction.bias"}
    assert all(after[name].any() for name in learned)
    assert model_of(tmp_path / "run")["network"]["arguments"]["combination"] == "learned"


@pytest.mark.parametrize(
    ("overlay", "words", "said"),
    [
        ("vox2vox", ("--adversarial_criterion", "wasserstein"), "bce | least_squares"),
        ("vox2vox", ("--accuracy_gate", "80"), "accuracy_gate is 80, expected a number above 0 up to 1"),
        ("vox2vox", ("--fusion", "feature"), "Vox2Vox stacks contrasts"),
        ("ensemble", (), "--pretrained names none"),
    ],
)
def test_a_setting_that_cannot_be_meant_is_refused(
    train_tumors: Run, tmp_path: Path, overlay: str, words: tuple[str, ...], said: str
) -> None:
    result = train_tumors(tmp_path / "run", *words, overlay=overlay)
    assert result.returncode != 0
    assert said in result.stderr + result.stdout
    assert not (tmp_path / "run" / "model.pt").exists()
