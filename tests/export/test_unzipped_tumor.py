"""The unzipped brain_tumor_mri_segmentation where medbundles is not installed."""

from __future__ import annotations

import json
import subprocess
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import jsonschema
import nibabel
import numpy as np
import pytest
import torch

from medbundles.components.networks import ContrastNetwork, build_network, describe_network
from medbundles.export import export_bundle
from medbundles.io.model_json import write_model
from tests.bundles import tumors

BUNDLE = "brain_tumor_mri_segmentation"
SMALL = {"features": 4, "channels": [4, 8, 8], "strides": [2, 2], "num_res_units": 1}
NETWORKS = {"UNet": partial(ContrastNetwork, "UNet", len(tumors.CONTRASTS), 3, fusion="feature", arguments=SMALL)}
SCHEMA = Path(__file__).parent / "meta_schema.json"
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle's folder out of the zip, with a small network as it is initialized."""
    run, elsewhere = tmp_path_factory.mktemp("run"), tmp_path_factory.mktemp("elsewhere")
    torch.manual_seed(0)
    torch.save(build_network(NETWORKS, "UNet").state_dict(), run / "model.pt")
    description = {
        "bundle": BUNDLE,
        "network": describe_network(NETWORKS, "UNet", spatial_dims=3),
        "labels": {"0": "background", "1": "ncr", "2": "ed", "3": "et"},
        "regions": {"WT": [1, 2, 3], "TC": [1, 3], "ET": [3]},
        "colors": {"WT": [80, 200, 120]},
        "image_channels": list(tumors.CONTRASTS),
        "preprocessing": {"spacing_mm": 2.0, "patch_size": [32, 32, 32], "orientation": "RAS"},
        "postprocessing": {"thresholds": {"WT": 0.4}},
        "thresholds": {},
    }
    write_model(run, description, ["model.pt"])
    with zipfile.ZipFile(export_bundle(BUNDLE, run, run).path) as archive:
        archive.extractall(elsewhere)
    return elsewhere / BUNDLE


def test_its_metadata_follow_the_schema(bundle: Path) -> None:
    metadata = json.loads((bundle / "configs" / "metadata.json").read_text())
    jsonschema.validate(metadata, json.loads(SCHEMA.read_text()))


def test_monai_verifies_what_goes_in_and_comes_out(python_without_medbundles: Run, bundle: Path) -> None:
    answer = python_without_medbundles(
        "-m monai.bundle verify_net_in_out network_def --device cpu --meta_file configs/metadata.json"
        " --config_file configs/inference.yaml",
        cwd=bundle,
    )
    assert answer.returncode == 0, answer.stderr


def test_a_raw_case_that_lacks_contrasts_is_segmented(
    python_without_medbundles: Run, bundle: Path, tmp_path: Path
) -> None:
    tumors.write_raw(tmp_path / "scans" / "anna", names=("t1c", "t2f"))
    answer = python_without_medbundles(
        "-m monai.bundle run --config_file configs/inference.yaml --device cpu --backend eager --dataset_dir",
        *(tmp_path / "scans", "--output_dir", tmp_path / "out"),
        cwd=bundle,
    )
    assert answer.returncode == 0, answer.stderr
    made = nibabel.nifti1.load(tmp_path / "out" / "anna_seg.nii.gz")
    assert made.shape == tumors.SHAPE
    assert abs(made.affine - tumors.AFFINE).max() < 1e-4
    assert set(np.unique(np.asarray(made.dataobj))) <= {0, 1, 2, 3}
