"""The brain_tumor_mri_segmentation bundle by its commands: training, resume, evaluation, inference."""

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
from tests.bundles import tumors
from tests.bundles.conftest import QUICK_TUMORS, ROOT, TUMOR_CONFIGS, Run
from tests.bundles.test_lung_nodule_training import wait_for


def history(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]


def model_of(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "model.json").read_text())
    return content


def infer(python: Run, model: Path, scans: Path, output: Path, *words: str) -> Any:
    bundle = ("-m", "monai.bundle", "run", "--config_file", f"{TUMOR_CONFIGS}/inference.yaml")
    weights = ("--weights", model / "model.pt")
    return python(*bundle, "--dataset_dir", scans, "--output_dir", output, *weights, "--backend", "eager", *words)


def assert_done(result: Any) -> None:
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.fixture(scope="module")
def raw_output(python: Run, trained_tumors: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Inference on two raw cases, one of which has two contrasts alone, one of them of an unusual name."""
    folder = tmp_path_factory.mktemp("raw")
    tumors.write_raw(folder / "scans" / "anna")
    tumors.write_raw(folder / "scans" / "ben", names=("t1c", "t2f"))
    (flair,) = (folder / "scans" / "ben").glob("*t2f*")
    flair.rename(flair.with_name("ben_fla_bet.nii.gz"))
    endings = ("--contrast_endings::t2f", "['fla_bet']")
    assert_done(infer(python, trained_tumors, folder / "scans", folder / "out", *endings))
    return folder / "out"


def test_training_learns(trained_tumors: Path) -> None:
    rows = history(trained_tumors)
    assert rows[-1]["losses"]["loss"] < rows[0]["losses"]["loss"]
    assert "dice" in rows[-1]["metrics"]


def test_the_model_says_contrasts_labels_regions_and_spacing(trained_tumors: Path) -> None:
    model = model_of(trained_tumors)
    assert model["image_channels"] == ["t1n", "t1c", "t2w", "t2f"]
    assert model["regions"] == {"WT": [1, 2, 3], "TC": [1, 3], "ET": [3]}
    assert model["preprocessing"]["spacing_mm"] == 2.0


@pytest.mark.parametrize("fusion", ["feature", "decision"])
def test_every_fusion_trains_by_one_key(train_tumors: Run, tmp_path: Path, fusion: str) -> None:
    assert_done(train_tumors(tmp_path / "run", "--fusion", fusion, "--max_epochs", "1"))
    assert model_of(tmp_path / "run")["network"]["arguments"]["fusion"] == fusion


LESION = ("--contrasts", "['t1c','t2f']", "--labels", "{1: lesion}", "--regions", "{'lesion': [1]}")


def relabeled(data: Path, numbers: dict[int, int]) -> Path:
    """Give the labels of a prepared folder other numbers."""
    for label in sorted((data / "labels").iterdir()):
        image = nib.load(label)
        values = np.asarray(image.dataobj)
        changed = sum(np.where(values == old, new, 0) for old, new in numbers.items())
        nib.Nifti1Image(np.asarray(changed, np.uint8), image.affine).to_filename(label)
    return data


@pytest.fixture(scope="module")
def lesion_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two contrasts and one lesion label, as ISLES has them."""
    data = tumors.write_prepared(tmp_path_factory.mktemp("isles") / "data", names=("t1c", "t2f"))
    return relabeled(data, {1: 1, 2: 1, 3: 1})


@pytest.fixture(scope="module")
def trained_lesions(train_tumors: Run, lesion_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lesions") / "run"
    colors = ("--colors", "{'lesion': [230, 60, 40]}", "--label_colors", "{}")
    assert_done(train_tumors(folder, *LESION, *colors, "--max_epochs", "1", data=lesion_data))
    return folder


def test_two_contrasts_and_one_lesion_label_train(trained_lesions: Path) -> None:
    model = model_of(trained_lesions)
    assert (model["image_channels"], model["regions"]) == (["t1c", "t2f"], {"lesion": [1]})
    assert model["labels"] == {"0": "background", "1": "lesion"}


def test_a_lesion_model_is_evaluated_without_saying_its_labels_again(
    python: Run, lesion_data: Path, trained_lesions: Path, tmp_path: Path
) -> None:
    weights = ("--weights", trained_lesions / "model.pt", "--output_dir", tmp_path / "out")
    command = ("-m", "medbundles", "evaluate", "brain_tumor_mri_segmentation", "--dataset_dir", lesion_data, *weights)
    assert_done(python(*command, "--backend", "eager"))
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["regions"]["regions"].keys() == {"lesion"}


def test_a_lesion_model_segments_a_raw_case(python: Run, trained_lesions: Path, tmp_path: Path) -> None:
    tumors.write_raw(tmp_path / "scans" / "anna", names=("t1c", "t2f"))
    assert_done(infer(python, trained_lesions, tmp_path / "scans", tmp_path / "out"))
    assert set(np.unique(nib.load(tmp_path / "out" / "anna_seg.nii.gz").dataobj)) <= {0, 1}


def test_a_lesion_model_is_exported_with_its_own_channels(trained_lesions: Path, tmp_path: Path) -> None:
    made = export_bundle("brain_tumor_mri_segmentation", tmp_path, trained_lesions, formats=("safetensors",))
    with zipfile.ZipFile(made.path) as archive:
        name = "brain_tumor_mri_segmentation/configs/metadata.json"
        formats = json.loads(archive.read(name))["network_data_format"]
    assert formats["inputs"]["image"]["channel_def"] == {"0": "t1c", "1": "t2f"}
    assert formats["outputs"]["pred"]["channel_def"] == {"0": "lesion (logit)"}


def test_a_folder_of_other_contrasts_is_checked_by_the_keys_of_its_training(python: Run, lesion_data: Path) -> None:
    command = ("-m", "medbundles", "check", "brain_tumor_mri_segmentation", lesion_data)
    assert_done(python(*command, *LESION[:4]))


def test_check_refuses_a_key_that_training_does_not_have(python: Run, lesion_data: Path) -> None:
    command = ("-m", "medbundles", "check", "brain_tumor_mri_segmentation", lesion_data)
    result = python(*command, "--contrast", "['t1c']")
    assert (result.returncode, "CFG001" in result.stderr) == (2, True)


def test_three_exclusive_tissues_with_numbers_of_their_own_train(train_tumors: Run, tmp_path: Path) -> None:
    data = relabeled(tumors.write_prepared(tmp_path / "data", names=("t1n", "t2w")), {1: 4, 2: 7, 3: 9})
    keys = ("--contrasts", "['t1n','t2w']", "--labels", "{4: csf, 7: gm, 9: wm}")
    more = ("--regions", "{'csf': [4], 'gm': [7], 'wm': [9]}", "--colors", "{}", "--max_epochs", "1")
    assert_done(train_tumors(tmp_path / "run", *keys, *more, data=data))
    assert model_of(tmp_path / "run")["network"]["arguments"]["out_channels"] == 3


def test_a_resumed_training_is_bit_equal(
    train_tumors: Run, trained_tumors: Path, tumor_data: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    bundle = (sys.executable, "-m", "monai.bundle", "run", "training", "--config_file", f"{TUMOR_CONFIGS}/train.yaml")
    command = [*bundle, "--dataset_dir", str(tumor_data), "--output_dir", str(folder), *QUICK_TUMORS]
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    wait_for('"epoch": 1', folder, process)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=120)
    assert process.returncode == 130
    assert_done(train_tumors(folder, "--resume", "True"))
    straight, resumed = (torch.load(run / "last.pt", weights_only=True) for run in (trained_tumors, folder))
    ours, theirs = resumed["networks"]["network"], straight["networks"]["network"]
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


def test_two_processes_train_together(python: Run, tumor_data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    port = str(20000 + os.getpid() % 20000)
    launcher = ("-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", port)
    bundle = ("-m", "monai.bundle", "run", "training", "--config_file", f"{TUMOR_CONFIGS}/train.yaml")
    quick = (*QUICK_TUMORS, "--max_epochs", "1", "--samples_per_epoch", "4")
    assert_done(python(*launcher, *bundle, "--dataset_dir", tumor_data, "--output_dir", folder, *quick))
    assert json.loads((folder / "run.json").read_text())["processes"] == 2


def test_evaluation_says_overlap_and_distances_of_each_case_and_region(
    python: Run, tumor_data: Path, trained_tumors: Path, tmp_path: Path
) -> None:
    files = f"['{TUMOR_CONFIGS}/train.yaml','{TUMOR_CONFIGS}/evaluate.yaml']"
    bundle = ("-m", "monai.bundle", "run", "evaluating", "--config_file", files)
    places = ("--dataset_dir", tumor_data, "--output_dir", tmp_path / "out", "--weights", trained_tumors / "model.pt")
    assert_done(python(*bundle, *places, "--backend", "eager"))
    rows = list(csv.DictReader((tmp_path / "out" / "metrics.csv").open()))
    assert {(row["case"], row["region"]) for row in rows} == {
        (case, region) for case in ("brain4", "brain5") for region in ("WT", "TC", "ET")
    }
    assert {"dice", "hd95_mm", "surface_dice", "sensitivity", "precision"} <= rows[0].keys()


def test_cleaning_is_chosen_anew_for_a_trained_model(
    medbundles_command: Run, tumor_data: Path, trained_tumors: Path, tmp_path: Path
) -> None:
    model = shutil.copytree(trained_tumors, tmp_path / "run", ignore=shutil.ignore_patterns("*lock", "tensorboard"))
    name, given = "brain_tumor_mri_segmentation", ("--dataset_dir", tumor_data, "--weights", model)
    asked = ("--choose_cleaning", "true", "--cleaning_criterion", "dice")
    refused = medbundles_command("evaluate", name, *given, *asked, "--output_dir", tmp_path / "a")
    assert (refused.returncode, "CFG002" in refused.stderr) == (2, True)
    asked = (*asked, "--part", "validation", "--output_dir", tmp_path / "b")
    chosen = medbundles_command("evaluate", name, *given, *asked)
    assert chosen.returncode == 0, chosen.stderr
    assert json.loads((model / "model.json").read_text())["postprocessing"]["chosen_by"]["criterion"] == "dice"


def test_a_raw_case_gives_labels_on_its_own_grid(raw_output: Path) -> None:
    label = nib.load(raw_output / "anna_seg.nii.gz")
    assert label.shape == tumors.SHAPE
    np.testing.assert_allclose(label.affine, tumors.AFFINE, atol=1e-4)
    assert set(np.unique(label.dataobj)) <= {0, 1, 2, 3}


def test_a_case_with_two_contrasts_alone_is_segmented(raw_output: Path) -> None:
    assert (raw_output / "ben_seg.nii.gz").is_file()


def test_inference_says_volumes_and_leaves_a_picture(raw_output: Path) -> None:
    rows = list(csv.DictReader((raw_output / "volumes.csv").open()))
    assert {row["case"] for row in rows} == {"anna", "ben"}
    assert {row["name"] for row in rows} == {"WT", "TC", "ET", "ncr", "ed", "et"}
    assert list(raw_output.glob("anna*.png"))


def test_old_numbering_makes_enhancing_tumor_4(python: Run, trained_tumors: Path, raw_output: Path) -> None:
    scans, output = raw_output.parent / "scans" / "anna", raw_output.parent / "old"
    assert_done(infer(python, trained_tumors, scans, output, "--label_numbering", "2021"))
    new, old = (np.asarray(nib.load(folder / "anna_seg.nii.gz").dataobj) for folder in (raw_output, output))
    np.testing.assert_array_equal(old, np.where(new == 3, 4, new))


def test_a_case_without_any_of_the_contrasts_is_refused(python: Run, trained_tumors: Path, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    for name in ("pd", "adc"):
        values = np.where(tumors.brain(), generator.integers(1, 300, tumors.SHAPE), 0).astype(np.int16)
        (tmp_path / "scans" / "carl").mkdir(parents=True, exist_ok=True)
        nib.Nifti1Image(values, tumors.AFFINE).to_filename(tmp_path / "scans" / "carl" / f"carl_{name}.nii.gz")
    result = infer(python, trained_tumors, tmp_path / "scans", tmp_path / "out")
    assert result.returncode == 3
    assert "NII008" in result.stderr + result.stdout
    assert not (tmp_path / "out" / "carl_seg.nii.gz").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--regions", "{'WT': [1, 2, 4]}"), "regions::WT has the values [4]"),
        (("--fusion", "late"), "fusion is 'late'"),
        (("--contrasts", "['t1n', 'adc']"), "no channel adc"),
    ],
)
def test_a_setting_that_cannot_be_meant_is_refused_before_training(
    train_tumors: Run, tmp_path: Path, words: tuple[str, str], said: str
) -> None:
    result = train_tumors(tmp_path / "run", *words)
    assert result.returncode in (2, 3)
    assert said in result.stderr + result.stdout
    assert not (tmp_path / "run" / "model.pt").exists()
