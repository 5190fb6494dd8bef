"""What an exported bundle says of its output is what its weights put out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

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
