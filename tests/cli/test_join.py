"""``join``: runs that agree become one model, runs that differ are refused with every difference."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from medbundles.cli import app
from medbundles.components.networks import load_weights, network_from_model
from medbundles.components.tensor_file import write_tensor_file
from medbundles.errors import ConfigurationError, DataError, ExitCode, OutputConflict
from medbundles.io.model_json import read_model, write_model

BUNDLE = "lung_nodule_ct_segmentation"
NETWORK: dict[str, Any] = {
    "name": "BasicUNet",
    "target": "monai.networks.nets.BasicUNet",
    "arguments": {"spatial_dims": 3, "in_channels": 2, "out_channels": 2, "features": [2, 2, 2, 2, 2, 2]},
    "spatial_dims": 3,
}
MODEL: dict[str, Any] = {
    "bundle": BUNDLE,
    "network": NETWORK,
    "image_channels": ["t1c", "t2f"],
    "labels": {"0": "background", "1": "core", "2": "edema"},
    "regions": {"WT": [1, 2], "TC": [1]},
    "colors": {"WT": [80, 200, 120]},
    "preprocessing": {"spacing_mm": 1.5, "patch_size": [32, 32, 32]},
    "thresholds": {},
}


def write_run(folder: Path, seed: int, threshold: float = 0.5, **changed: Any) -> Path:
    torch.manual_seed(seed)
    write_tensor_file(folder / "model.pt", network_from_model(NETWORK).state_dict())
    chosen = {"thresholds": {"WT": threshold, "TC": 0.5}, "fill_holes": seed > 0, "chosen_by": {"score": seed}}
    write_model(folder, MODEL | {"postprocessing": chosen, "training": {"seed": seed}} | changed, ["model.pt"])
    return folder


@pytest.fixture
def runs(tmp_path: Path) -> list[Path]:
    return [write_run(tmp_path / f"fold{seed}", seed, threshold) for seed, threshold in enumerate((0.3, 0.6, 0.4))]


def join(runs: list[Path], output: Path) -> Any:
    named = f"[{','.join(map(str, runs))}]"
    return CliRunner().invoke(app, ["join", BUNDLE, "--weights", named, "--output_dir", str(output)])


def test_the_joined_model_answers_with_the_mean(runs: list[Path], tmp_path: Path) -> None:
    answer = join(runs, tmp_path / "joined")
    assert answer.exit_code == 0, answer.exception
    network = network_from_model(read_model(tmp_path / "joined" / "model.pt")).eval()
    load_weights(network, tmp_path / "joined" / "model.pt")
    image, said = torch.randn(1, 2, 32, 32, 32), []
    for run in runs:
        member = network_from_model(NETWORK).eval()
        load_weights(member, run / "model.pt")
        said.append(member(image).sigmoid())
    torch.testing.assert_close(network(image).sigmoid(), torch.stack(said).mean(0), rtol=0, atol=1e-4)


def test_labels_with_a_background_of_their_own_are_exclusive(tmp_path: Path) -> None:
    labels = {"labels": {"0": "background", "1": "a"}}
    runs = [write_run(tmp_path / f"fold{seed}", seed, **labels) for seed in range(2)]
    for run in runs:
        content = json.loads((run / "model.json").read_text())
        del content["regions"]
        (run / "model.json").write_text(json.dumps(content))
    assert join(runs, tmp_path / "joined").exit_code == 0
    arguments = read_model(tmp_path / "joined" / "model.pt")["network"]["arguments"]
    assert (arguments["exclusive"], arguments["out_channels"]) == (True, 2)


def test_it_says_what_its_members_said_and_the_middle_of_what_they_chose(runs: list[Path], tmp_path: Path) -> None:
    join(runs, tmp_path / "joined")
    model = json.loads((tmp_path / "joined" / "model.json").read_text())
    assert {key: model[key] for key in ("regions", "labels", "preprocessing", "colors")} == {
        key: MODEL[key] for key in ("regions", "labels", "preprocessing", "colors")
    }
    assert model["postprocessing"]["thresholds"] == {"WT": 0.4, "TC": 0.5}
    assert model["postprocessing"]["fill_holes"] is True
    assert [member["seed"] for member in model["training"]["members"]] == [0, 1, 2]


def test_every_difference_is_listed(runs: list[Path], tmp_path: Path) -> None:
    regions = {"TC": [1], "WT": [1, 2]}
    write_run(runs[1], 1, image_channels=["t2f", "t1c"], regions=regions)
    write_run(runs[2], 2, preprocessing={"spacing_mm": 1.0, "patch_size": [32, 32, 32]})
    error = join(runs, tmp_path / "joined").exception
    assert isinstance(error, ConfigurationError)
    assert [(finding.code, finding.file) for finding in error.findings] == [
        ("CFG004", "fold1/model.json"),
        ("CFG004", "fold1/model.json"),
        ("CFG004", "fold2/model.json"),
    ]
    assert "preprocessing::spacing_mm is 1.0, the first one has 1.5" in error.findings[2].message
    assert not (tmp_path / "joined").exists()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"bundle": "t1w_synthesis"}, f"it belongs to t1w_synthesis, not to {BUNDLE}"),
        ({"labels": {}, "regions": {}}, "it makes an image"),
        ({"postprocessing": {"second_stage": {"file": "second_stage.pt"}}}, "it holds a second network"),
    ],
)
def test_what_cannot_be_a_member_is_refused(
    runs: list[Path], tmp_path: Path, changed: dict[str, Any], said: str
) -> None:
    write_run(runs[1], 1, **changed)
    error = join(runs, tmp_path / "joined").exception
    assert isinstance(error, ConfigurationError)
    assert said in str(error)


def test_an_existing_folder_is_not_touched(runs: list[Path], tmp_path: Path) -> None:
    (tmp_path / "joined").mkdir()
    error = join(runs, tmp_path / "joined").exception
    assert isinstance(error, OutputConflict)
    assert error.exit_code == ExitCode.OUTPUT == 6
    assert list((tmp_path / "joined").iterdir()) == []


@pytest.mark.parametrize("number", [0, 1])
def test_fewer_than_two_runs_are_refused(runs: list[Path], tmp_path: Path, number: int) -> None:
    error = join(runs[:number], tmp_path / "joined").exception
    assert isinstance(error, ConfigurationError)
    assert "two or more" in str(error)


def test_a_run_that_is_named_twice_is_refused(runs: list[Path], tmp_path: Path) -> None:
    error = join([runs[0], runs[1], runs[0] / "model.pt"], tmp_path / "joined").exception
    assert isinstance(error, ConfigurationError)
    assert "each once" in str(error)


def test_weights_of_another_run_are_refused(runs: list[Path], tmp_path: Path) -> None:
    (runs[1] / "model.pt").write_bytes((runs[0] / "model.pt").read_bytes())
    error = join(runs, tmp_path / "joined").exception
    assert isinstance(error, DataError)
    assert error.findings[0].code == "TRN007"
    assert not (tmp_path / "joined").exists()
