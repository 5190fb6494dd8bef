"""What MONAI's tools and apps expect of every bundle."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigWorkflow

from tests.bundles.conftest import ROOT

BUNDLES = sorted(path.parents[1] for path in ROOT.glob("bundles/*/configs/metadata.json"))
WORKFLOWS = {
    "train": (["train.yaml"], "train"),
    "evaluate": (["train.yaml", "evaluate.yaml"], "train"),
    "inference": (["inference.yaml"], "infer"),
    **{
        path.stem: (["train.yaml", path.name], "train")
        for name in ("malignancy", "roi_stage", "vox2vox")
        for path in sorted(ROOT.glob(f"bundles/*/configs/{name}.yaml"))
    },
}


# What each bundle has of them.
CASES = [
    pytest.param(bundle, workflow, id=f"{workflow}-{bundle.name}")
    for bundle in BUNDLES
    for workflow, (names, _) in WORKFLOWS.items()
    if all((bundle / "configs" / name).is_file() for name in names)
]


# The short training of each bundle.
TRAINED = {
    "brain_tumor_mri_segmentation": "trained_tumors",
    "lung_nodule_ct_segmentation": "trained",
    "organ_cascade_segmentation": "trained_organs",
    "t1w_synthesis": "trained_heads",
}


@pytest.fixture
def trained_model(bundle: Path, request: pytest.FixtureRequest) -> Path:
    folder: Path = request.getfixturevalue(TRAINED[bundle.name])
    return folder


@pytest.mark.parametrize(("bundle", "workflow"), CASES)
def test_every_property_stands_where_monai_looks_for_it(
    bundle: Path, workflow: str, trained_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    names, kind = WORKFLOWS[workflow]
    files = [str(bundle / "configs" / name) for name in names]
    # The data of the defaults are absent here, as they are where the Model Zoo verifies a bundle.
    built = ConfigWorkflow(files, workflow_type=kind, logging_file=False, weights=str(trained_model / "model.pt"))
    built.initialize()
    assert built.check_properties() == []


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda path: path.name)
def test_the_network_takes_what_the_metadata_promise(
    bundle: Path, trained_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    formats = json.loads((bundle / "configs" / "metadata.json").read_text())["network_data_format"]
    files = str(bundle / "configs" / "inference.yaml")
    built = ConfigWorkflow(files, workflow_type="infer", logging_file=False, weights=str(trained_model / "model.pt"))
    built.initialize()
    channels = formats["inputs"]["image"]["num_channels"]
    # Twice and three times the multiple that the pattern, such as "16*n", allows.
    step = int(formats["inputs"]["image"]["spatial_shape"][0].split("*")[0])
    sizes = (2 * step, *[3 * step] * (len(formats["inputs"]["image"]["spatial_shape"]) - 1))
    with torch.no_grad():
        output = built.network_def.eval()(torch.zeros(1, channels, *sizes))
    assert output.shape == (1, formats["outputs"]["pred"]["num_channels"], *sizes)


def test_the_discriminator_takes_what_its_metadata_promise(
    trained_heads: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    folder = ROOT / "bundles" / "t1w_synthesis" / "configs"
    formats = json.loads((folder / "metadata.json").read_text())["discriminator_data_format"]
    weights = str(trained_heads / "discriminator.pt")
    built = ConfigWorkflow(
        str(folder / "train.yaml"), workflow_type="train", logging_file=False, pretrained_discriminator=weights
    )
    built.initialize()
    network = built.parser.get_parsed_content("discriminator").network.eval()
    with torch.no_grad():
        output = network(torch.zeros(1, formats["inputs"]["image"]["num_channels"], 64, 72))
    assert output[-1].shape[:2] == (1, formats["outputs"]["pred"]["num_channels"])


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda path: path.name)
def test_a_bundle_has_the_files_every_bundle_has(bundle: Path) -> None:
    expected = ["configs/train.yaml", "configs/evaluate.yaml", "configs/inference.yaml", "configs/metadata.json"]
    expected += ["configs/logging.conf", "docs/README.md", "docs/data_license.txt", "LICENSE"]
    assert [name for name in expected if not (bundle / name).is_file()] == []
