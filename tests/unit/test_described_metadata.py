"""What an exported bundle says of its output is what its weights put out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from medbundles.described_metadata import described_metadata

TWO = {"0": "background", "1": "benign", "2": "malignant"}


def model(channels: int, labels: dict[str, str]) -> dict[str, Any]:
    return {"network": {"arguments": {"out_channels": channels}}, "labels": labels}


def own(repository: Path) -> str:
    return (repository / "bundles/lung_nodule_ct_segmentation/configs/metadata.json").read_text()


def test_weights_of_the_bundles_own_training_leave_every_byte(repository: Path) -> None:
    text = own(repository)
    assert described_metadata(text, model(1, {"0": "background", "1": "nodule"})) == text


def test_weights_of_two_classes_name_their_channels(repository: Path) -> None:
    metadata = json.loads(described_metadata(own(repository), model(2, TWO)))
    output = metadata["network_data_format"]["outputs"]["pred"]
    assert (output["num_channels"], list(output["channel_def"].values())) == (
        2,
        ["benign (logit)", "malignant (logit)"],
    )
    assert metadata["pred_classes"] == "0: background, 1: benign, 2: malignant"


def test_weights_that_do_not_say_their_channels_change_nothing(repository: Path) -> None:
    text = own(repository)
    assert described_metadata(text, {"network": {}, "labels": TWO}) == text


def tumor_model(contrasts: list[str], backbone: str = "UNet") -> dict[str, Any]:
    arguments = {"backbone": backbone, "in_channels": len(contrasts), "out_channels": 3}
    regions = {"WT": [1, 2, 3], "TC": [1, 3], "ET": [3]}
    labels = {"0": "background", "1": "ncr", "2": "ed", "3": "et"}
    return {"network": {"arguments": arguments}, "labels": labels, "regions": regions, "image_channels": contrasts}


def described_tumors(repository: Path, description: dict[str, Any]) -> tuple[dict[str, Any], str]:
    text = (repository / "bundles/brain_tumor_mri_segmentation/configs/metadata.json").read_text()
    described = described_metadata(text, description)
    return json.loads(described), "same" if described == text else "other"


def test_the_bundles_own_contrasts_leave_every_byte(repository: Path) -> None:
    assert described_tumors(repository, tumor_model(["t1n", "t1c", "t2w", "t2f"]))[1] == "same"


def test_as_many_contrasts_of_other_names_are_named(repository: Path) -> None:
    metadata, _ = described_tumors(repository, tumor_model(["t1n", "t1c", "dwi", "adc"]))
    assert list(metadata["network_data_format"]["inputs"]["image"]["channel_def"].values())[2:] == ["dwi", "adc"]


def test_a_transformer_requires_what_its_code_needs(repository: Path) -> None:
    metadata, _ = described_tumors(repository, tumor_model(["t1n", "t1c", "t2w", "t2f"], "SwinUNETR"))
    assert metadata["required_packages_version"]["einops"]


@pytest.mark.parametrize("bundle", ["brain_tumor_mri_segmentation", "lung_nodule_ct_segmentation", "t1w_synthesis"])
def test_released_weights_leave_every_byte(repository: Path, bundle: str) -> None:
    text = (repository / "bundles" / bundle / "configs/metadata.json").read_text()
    assert described_metadata(text, json.loads((repository / "models" / bundle / "model.json").read_text())) == text
