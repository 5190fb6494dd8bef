"""The unzipped t1w_synthesis where medbundles is not installed."""

from __future__ import annotations

import json
import subprocess
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import jsonschema
import nibabel
import pytest
import torch
from monai.networks.nets import PatchDiscriminator

from medbundles.components.networks import PlainUNet, SliceDiscriminator, build_network, describe_network
from medbundles.export import export_bundle
from medbundles.io.diffusion_channels import DEFAULT
from medbundles.io.model_json import write_model
from tests.bundles.heads import AFFINE, SHAPE, T1W, write_raw

pytest.importorskip("dipy", reason="the extra dwi is not installed")

BUNDLE = "t1w_synthesis"
NETWORKS = {"PlainUNet": partial(PlainUNet, 3, len(DEFAULT), 1, features=[4, 4, 8, 8, 8, 4])}
SCHEMA = Path(__file__).parent / "meta_schema.json"
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle's folder out of the zip, with small networks as they are initialized."""
    run, elsewhere = tmp_path_factory.mktemp("run"), tmp_path_factory.mktemp("elsewhere")
    torch.manual_seed(0)
    torch.save(build_network(NETWORKS, "PlainUNet").state_dict(), run / "model.pt")
    judge = SliceDiscriminator(PatchDiscriminator(spatial_dims=2, in_channels=1, channels=4, norm="INSTANCE"))
    torch.save(judge.state_dict(), run / "discriminator.pt")
    description = {
        "bundle": BUNDLE,
        "network": describe_network(NETWORKS, "PlainUNet", spatial_dims=3),
        "labels": {},
        "colors": {},
        "image_channels": list(DEFAULT),
        "preprocessing": {"grid_mm": "dwi", "patch_size": [32, 32, 32], "orientation": "RAS"},
        "postprocessing": {"t1w": T1W},
        "thresholds": {},
    }
    write_model(run, description, ["model.pt", "discriminator.pt"])
    with zipfile.ZipFile(export_bundle(BUNDLE, run, run).path) as archive:
        archive.extractall(elsewhere)
    return elsewhere / BUNDLE


def test_both_networks_are_in_it(bundle: Path) -> None:
    names = {path.name for path in (bundle / "models").iterdir()}
    assert names >= {"model.pt", "discriminator.pt", "model.json"}


def test_its_metadata_follow_the_schema(bundle: Path) -> None:
    metadata = json.loads((bundle / "configs" / "metadata.json").read_text())
    jsonschema.validate(metadata, json.loads(SCHEMA.read_text()))
    assert "discriminator_data_format" in metadata


def test_monai_verifies_what_goes_in_and_comes_out(python_without_medbundles: Run, bundle: Path) -> None:
    answer = python_without_medbundles(
        "-m monai.bundle verify_net_in_out network_def --device cpu --meta_file configs/metadata.json"
        " --config_file configs/inference.yaml",
        cwd=bundle,
    )
    assert answer.returncode == 0, answer.stderr


def test_a_raw_scan_becomes_a_t1w(python_without_medbundles: Run, bundle: Path, tmp_path: Path) -> None:
    write_raw(tmp_path / "scans" / "anna")
    answer = python_without_medbundles(
        "-m monai.bundle run --config_file configs/inference.yaml --device cpu --backend eager --dataset_dir",
        *(tmp_path / "scans", "--output_dir", tmp_path / "out"),
        cwd=bundle,
    )
    assert answer.returncode == 0, answer.stderr
    made = nibabel.nifti1.load(tmp_path / "out" / "anna_t1w.nii.gz")
    assert made.shape == SHAPE
    assert abs(made.affine - AFFINE).max() < 1e-4
