"""A released bundle without training: the real configurations, weights as they are initialized."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from monai.networks.nets import UNet

from medbundles.components.networks import build_network, describe_network
from medbundles.export import Export, export_bundle
from medbundles.io.model_json import write_model

BUNDLE = "lung_nodule_ct_segmentation"
NETWORKS = {
    "UNet": partial(
        UNet,
        spatial_dims=2,
        in_channels=7,
        out_channels=1,
        channels=[8, 16],
        strides=[2],
        num_res_units=1,
        norm="batch",
    )
}


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's folder with ``model.pt`` and ``model.json``."""
    folder = tmp_path_factory.mktemp("run")
    torch.manual_seed(0)
    network = build_network(NETWORKS, "UNet", normalized_channels=7)
    torch.save(network.state_dict(), folder / "model.pt")
    description = {
        "bundle": BUNDLE,
        "network": describe_network(NETWORKS, "UNet", normalized_channels=7),
        "labels": {"0": "background", "1": "nodule"},
        "image_channels": ["ct"],
        "colors": {"nodule": [230, 60, 40]},
        "preprocessing": {"window_hu": [-1000, 1000], "slices": 7, "orientation": "RAS", "spacing": None},
        "postprocessing": {"smoothing_mm": 1.0},
        "thresholds": {"mask_threshold": 0.5, "peak_threshold": 0.5, "candidate_threshold": 0.3},
    }
    write_model(folder, description, ["model.pt"])
    return folder


@pytest.fixture(scope="session")
def exported(run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Export:
    return export_bundle(BUNDLE, tmp_path_factory.mktemp("zip"), run_folder)


@pytest.fixture(scope="session")
def unzipped(exported: Export, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle's folder out of the zip, in a place that knows nothing of the repository."""
    folder = tmp_path_factory.mktemp("elsewhere")
    with zipfile.ZipFile(exported.path) as archive:
        archive.extractall(folder)
    return folder / BUNDLE


@pytest.fixture(scope="session")
def python_without_medbundles() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run Python in a folder with all libraries, but without this package."""
    # Without the site module nothing reads the .pth file of an editable installation.
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("PYTHON")},
        "PYTHONPATH": sysconfig.get_path("purelib"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1",
    }

    def run(line: str, *arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-S", *shlex.split(line), *map(str, arguments)]
        return subprocess.run(
            command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300, check=False
        )

    return run
