"""The t1w_synthesis bundle by its commands: training, resume, evaluation, inference."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch

from medbundles.io.images import write_volume
from tests.bundles.conftest import HEAD_CONFIGS, QUICK_HEADS, ROOT, Run
from tests.bundles.heads import AFFINE, SHAPE, T1W, brain, write_prepared, write_raw
from tests.bundles.test_lung_nodule_training import wait_for

pytest.importorskip("dipy", reason="the extra dwi is not installed")


def history(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]


def infer(python: Run, model: Path, scans: Path, output: Path, *words: str) -> Any:
    bundle = ("-m", "monai.bundle", "run", "--config_file", f"{HEAD_CONFIGS}/inference.yaml")
    weights = ("--weights", model / "model.pt")
    return python(*bundle, "--dataset_dir", scans, "--output_dir", output, *weights, "--backend", "eager", *words)


@pytest.fixture(scope="module")
def raw_output(python: Run, trained_heads: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("raw")
    write_raw(folder / "scans" / "anna")
    result = infer(python, trained_heads, folder / "scans", folder / "out", "--save_z", "True")
    assert result.returncode == 0, result.stdout + result.stderr
    return folder / "out"


def test_both_networks_learn_and_are_kept(trained_heads: Path) -> None:
    rows = history(trained_heads)
    assert rows[-1]["losses"]["reconstruction_loss"] < rows[0]["losses"]["reconstruction_loss"]
    assert rows[-1]["losses"].keys() >= {"generator_loss", "discriminator_loss", "discriminator_accuracy"}
    files = json.loads((trained_heads / "model.json").read_text())["files"]
    assert files.keys() == {"model.pt", "discriminator.pt"}


def test_the_error_and_not_its_opposite_chooses_the_model(trained_heads: Path) -> None:
    errors = [row["metrics"]["mae"] for row in history(trained_heads) if "metrics" in row]
    best = torch.load(trained_heads / "best.pt", weights_only=True)["evaluator"]
    assert best["best_metric"] == pytest.approx(min(errors))


def test_the_model_knows_the_training_sets_intensities(trained_heads: Path) -> None:
    model = json.loads((trained_heads / "model.json").read_text())
    assert model["postprocessing"]["t1w"] == T1W
    assert model["preprocessing"]["grid_mm"] == "dwi"


def test_without_adversarial_weight_no_discriminator_runs(train_heads: Run, tmp_path: Path) -> None:
    result = train_heads(tmp_path / "run", "--adversarial_weight", "0", "--max_epochs", "1")
    assert result.returncode == 0, result.stdout + result.stderr
    assert history(tmp_path / "run")[0]["losses"].keys() == {"loss", "reconstruction_loss"}


def test_a_resumed_training_is_bit_equal_in_both_networks(
    train_heads: Run, trained_heads: Path, head_data: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    bundle = (sys.executable, "-m", "monai.bundle", "run", "training", "--config_file", f"{HEAD_CONFIGS}/train.yaml")
    command = [*bundle, "--dataset_dir", str(head_data), "--output_dir", str(folder), *QUICK_HEADS]
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    wait_for('"epoch": 1', folder, process)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=120)
    assert process.returncode == 130
    result = train_heads(folder, "--resume", "True")
    assert result.returncode == 0, result.stdout + result.stderr
    straight, resumed = (torch.load(run / "last.pt", weights_only=True) for run in (trained_heads, folder))
    for name in ("network", "discriminator"):
        ours, theirs = resumed["networks"][name], straight["networks"][name]
        assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
    moments = [state["objects"]["discriminator_optimizer"]["state"][0]["exp_avg"] for state in (straight, resumed)]
    assert torch.equal(*moments)


def test_two_processes_train_together(python: Run, head_data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    port = str(20000 + os.getpid() % 20000)
    launcher = ("-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", port)
    bundle = ("-m", "monai.bundle", "run", "training", "--config_file", f"{HEAD_CONFIGS}/train.yaml")
    quick = ("--max_epochs", "1", "--samples_per_epoch", "4", "--patch_size", "[32,32,32]")
    result = python(*launcher, *bundle, "--dataset_dir", head_data, "--output_dir", folder, *quick)
    assert result.returncode == 0, result.stdout + result.stderr
    assert json.loads((folder / "run.json").read_text())["processes"] == 2


def test_fine_tuning_starts_from_both_networks(train_heads: Run, trained_heads: Path, tmp_path: Path) -> None:
    start = ("--pretrained", trained_heads / "model.pt", "--pretrained_discriminator")
    result = train_heads(tmp_path / "run", *start, trained_heads / "discriminator.pt", "--max_epochs", "1")
    assert result.returncode == 0, result.stdout + result.stderr
    fresh, tuned = history(trained_heads)[0], history(tmp_path / "run")[0]
    assert tuned["losses"]["reconstruction_loss"] < fresh["losses"]["reconstruction_loss"]


def test_evaluation_says_errors_structure_and_tissues_of_each_case(
    python: Run, head_data: Path, trained_heads: Path, tmp_path: Path
) -> None:
    files = f"['{HEAD_CONFIGS}/train.yaml','{HEAD_CONFIGS}/evaluate.yaml']"
    bundle = ("-m", "monai.bundle", "run", "evaluating", "--config_file", files)
    places = ("--dataset_dir", head_data, "--output_dir", tmp_path / "out", "--weights", trained_heads / "model.pt")
    result = python(*bundle, *places, "--backend", "eager")
    assert result.returncode == 0, result.stdout + result.stderr
    (row,) = csv.DictReader((tmp_path / "out" / "metrics.csv").open())
    assert row["case"] == "head4"
    assert {"mae", "mse", "psnr", "ssim", "correlation", "tissue_dice", "csf_dice", "gm_dice", "wm_dice"} <= row.keys()
    assert list((tmp_path / "out").rglob("*.png"))


def test_a_raw_scan_gives_a_t1w_on_its_own_grid(raw_output: Path) -> None:
    image = nib.load(raw_output / "anna_t1w.nii.gz")
    assert image.shape == SHAPE
    np.testing.assert_allclose(image.affine, AFFINE, atol=1e-4)
    values = image.get_fdata()
    assert not values[~brain()].any()
    assert values[brain()].any()


def test_intensities_are_those_of_the_training_set(raw_output: Path) -> None:
    intensities = nib.load(raw_output / "anna_t1w.nii.gz").get_fdata()[brain()]
    deviations = nib.load(raw_output / "anna_t1w_z.nii.gz").get_fdata()[brain()]
    np.testing.assert_allclose(intensities, T1W["mean"] + T1W["std"] * deviations, rtol=1e-4)


def test_inference_leaves_a_picture(raw_output: Path) -> None:
    assert (raw_output / "anna_preview.png").stat().st_size > 2000


def test_a_prepared_folder_is_predicted_as_well(
    python: Run, head_data: Path, trained_heads: Path, tmp_path: Path
) -> None:
    result = infer(python, trained_heads, head_data, tmp_path / "out", "--output_grid", "network")
    assert result.returncode == 0, result.stdout + result.stderr
    assert nib.load(tmp_path / "out" / "head4_t1w.nii.gz").shape == SHAPE


def test_a_prepared_folder_on_another_grid_is_refused(python: Run, trained_heads: Path, tmp_path: Path) -> None:
    data = write_prepared(tmp_path / "data", 2, 1)
    fingerprint = json.loads((data / "fingerprint.json").read_text())
    (data / "fingerprint.json").write_text(json.dumps({**fingerprint, "grid": 1.5}))
    result = infer(python, trained_heads, data, tmp_path / "out")
    assert (result.returncode, "Traceback" in result.stderr) == (2, False), result.stderr
    assert "error[CFG004] model.json: preprocessing::grid_mm is 'dwi' in model.json and 1.5" in result.stderr


def test_scans_without_directions_are_refused_before_anything_is_written(
    python: Run, trained_heads: Path, tmp_path: Path
) -> None:
    (write_raw(tmp_path / "scans" / "anna") / "dwi.bvec").unlink()
    result = infer(python, trained_heads, tmp_path / "scans", tmp_path / "out")
    assert result.returncode == 3
    assert "DWI001" in result.stderr
    assert "Traceback" not in result.stderr
    assert not list(tmp_path.glob("out/*.nii.gz"))


def test_a_scan_whose_fault_shows_in_its_voxels_can_be_left_out(
    python: Run, trained_heads: Path, tmp_path: Path
) -> None:
    write_raw(tmp_path / "scans" / "anna")
    mask = write_raw(tmp_path / "scans" / "zoe") / "mask.nii.gz"
    write_volume(mask, np.zeros(SHAPE, np.uint8), AFFINE, overwrite=True)
    result = infer(python, trained_heads, tmp_path / "scans", tmp_path / "out", "--skip_bad_cases", "True")
    assert (result.returncode, "Traceback" in result.stderr) == (7, False), result.stderr
    assert "error[DWI012] case zoe: the brain mask is empty" in result.stderr
    assert result.stderr.rstrip().endswith("1 case(s) were left out: zoe")
    assert [path.name for path in (tmp_path / "out").glob("*_t1w.nii.gz")] == ["anna_t1w.nii.gz"]


def test_an_output_that_exists_is_not_written_over(python: Run, trained_heads: Path, raw_output: Path) -> None:
    scans = raw_output.parent / "scans"
    result = infer(python, trained_heads, scans, raw_output)
    assert result.returncode == 6
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--channels", "['mean_b0','fa']"), 3, "no channel fa"),
        (("--channels", "['mean_b0','dwi1']"), 2, "dwi4"),
        (("--channels", "['mean_b0','mean_b0']"), 2, "channel mean_b0 is named twice"),
        (("--adversarial_criterion", "wasserstein"), 2, "bce | least_squares"),
        (("--accuracy_gate", "1.5"), 2, "accuracy_gate"),
        (("--patch_size", "[16,16]"), 2, "3 numbers"),
        (("--patch_size", "[16,16,16]"), 2, "discriminator does not take slices"),
    ],
)
def test_a_setting_that_cannot_be_meant_is_refused_before_training(
    train_heads: Run, tmp_path: Path, words: tuple[str, str], code: int, said: str
) -> None:
    result = train_heads(tmp_path / "run", *words)
    assert (result.returncode, "Traceback" in result.stderr) == (code, False), result.stderr
    assert said in result.stderr


def test_a_damaged_data_set_is_refused_with_everything_that_is_wrong(python: Run, tmp_path: Path) -> None:
    data = write_prepared(tmp_path / "data", 2, 0)
    (data / "labels" / "head0.nii.gz").unlink()
    (data / "masks" / "head1.nii.gz").unlink()
    bundle = ("-m", "monai.bundle", "run", "training", "--config_file", f"{HEAD_CONFIGS}/train.yaml")
    result = python(*bundle, "--dataset_dir", data, "--output_dir", tmp_path / "run")
    assert result.returncode == 3
    assert "labels/head0.nii.gz" in result.stderr
    assert "masks/head1.nii.gz" in result.stderr
