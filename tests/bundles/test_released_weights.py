"""The weights that come with the repository: whole, described, licensed, and good for something."""

from __future__ import annotations

import csv
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from medbundles.components.networks import load_weights, network_from_model
from medbundles.io.hashing import sha256_file
from medbundles.io.model_json import read_model

MODELS = sorted(path.parent for path in (Path(__file__).parents[2] / "models").glob("*/model.json"))
LUNG, TUMOR = "lung_nodule_ct_segmentation", "brain_tumor_mri_segmentation"
Command = Callable[..., subprocess.CompletedProcess[str]]

each = pytest.mark.parametrize("folder", MODELS, ids=lambda folder: folder.name)


@each
def test_the_files_are_those_of_the_description(folder: Path) -> None:
    files = json.loads((folder / "model.json").read_text())["files"]
    assert {name: sha256_file(folder / name) for name in files} == files


@each
def test_the_network_of_the_description_takes_the_weights(folder: Path) -> None:
    network = network_from_model(read_model(folder / "model.pt"))
    load_weights(network, folder / "model.pt")
    assert all(bool(torch.isfinite(value).all()) for value in network.state_dict().values())


@each
def test_the_same_weights_are_there_without_pickle(folder: Path) -> None:
    for path in folder.glob("*.pt"):
        ours, theirs = torch.load(path, weights_only=True), load_file(path.with_suffix(".safetensors"))
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@each
def test_licence_data_and_results_are_stated(folder: Path) -> None:
    results = json.loads((folder / "results.json").read_text())
    assert results["license"]
    assert results["trained_on"]
    assert all(evaluation["command"] for evaluation in results["evaluations"])


@each
def test_no_file_names_a_folder_of_the_machine_that_made_it(folder: Path) -> None:
    for path in folder.glob("*.json"):
        words = path.read_text().replace('"', " ").split()
        assert not [word for word in words if word.startswith(("/", "~", "file:"))]


def test_a_nodule_of_a_synthetic_scan_is_found_without_training(medbundles_command: Command, tmp_path: Path) -> None:
    scans = tmp_path / "luna16"
    assert medbundles_command("samples", LUNG, "--output", scans, "--cases", 1, "--seed", 12).returncode == 0
    with (scans / "annotations.csv").open() as file:
        largest = max(csv.DictReader(file), key=lambda row: float(row["diameter_mm"]))
    result = medbundles_command("infer", LUNG, "--dataset_dir", scans / "subset0", "--output_dir", tmp_path / "out")
    assert result.returncode == 0, result.stderr
    found = json.loads((tmp_path / "out" / "nodules.json").read_text())["nodules"]
    center = np.array([float(largest[f"coord{axis}"]) for axis in "XYZ"])
    distances = [float(np.linalg.norm(np.array(nodule["center_lps_mm"]) - center)) for nodule in found]
    assert min(distances) < float(largest["diameter_mm"]) / 2


def test_a_tumor_of_a_synthetic_brain_is_outlined_without_training(medbundles_command: Command, tmp_path: Path) -> None:
    brains, out = tmp_path / "brats", tmp_path / "out"
    assert medbundles_command("samples", TUMOR, "--output", brains, "--cases", 1, "--seed", 5).returncode == 0
    (truth,) = brains.glob("*/*-seg.nii.gz")
    result = medbundles_command("infer", TUMOR, "--dataset_dir", truth.parent, "--output_dir", out)
    assert result.returncode == 0, result.stderr
    (found,) = out.glob("*_seg.nii.gz")
    expected, given = (np.asanyarray(nib.load(file).dataobj) > 0 for file in (truth, found))  # type: ignore[attr-defined]
    assert 2 * (expected & given).sum() / (expected.sum() + given.sum()) > 0.6
