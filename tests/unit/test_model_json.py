"""``model.json``: what is missing or impossible in it is refused by name."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from medbundles.checks.model import check_description
from medbundles.components.handlers.model_record import command_line
from medbundles.components.workflows import RunSession
from medbundles.components.workflows.preflight import check_weights
from medbundles.errors import ConfigurationError, DataError
from medbundles.io.model_json import classes_of, cleaning_of, locate_weights, read_model, thresholds_of


def sha256_of_nothing() -> str:
    return hashlib.sha256(b"").hexdigest()


NETWORK = {"spatial_dims": 3, "in_channels": 7, "out_channels": 1}
MODEL: dict[str, Any] = {
    "format": 1,
    "bundle": "tiny",
    "network": {"target": "monai.networks.nets.UNet", "arguments": NETWORK},
    "labels": {"0": "background"},
    "preprocessing": {"window_hu": [-1000, 1000], "slices": 7},
    "thresholds": {"mask_threshold": 0.5},
    "files": {"model.pt": sha256_of_nothing()},
}


def weights(folder: Path, content: Any) -> Path:
    (folder / "model.json").write_text(json.dumps(content))
    (folder / "model.pt").write_bytes(b"")
    return folder / "model.pt"


def test_what_was_written_is_read(tmp_path: Path) -> None:
    model = read_model(weights(tmp_path, MODEL))
    assert model == MODEL
    assert model["preprocessing"]["window_hu"][0] == -1000
    assert json.loads(json.dumps(model)) == MODEL


def test_a_key_that_is_missing_inside_is_refused_by_its_path(tmp_path: Path) -> None:
    model = read_model(weights(tmp_path, MODEL))
    with pytest.raises(DataError, match=r"TRN007.*lacks thresholds::peak_threshold"):
        model["thresholds"]["peak_threshold"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([], "holds no description"),
        ({"format": 1}, "lacks bundle, network"),
        (MODEL | {"format": 2}, "has format 2, this version reads 1"),
        (MODEL | {"thresholds": None}, "thresholds must hold keys and values"),
        (MODEL | {"files": {}}, "files names no weights"),
        (MODEL | {"files": {"model.pt": None}}, "SHA-256 differs"),
        (MODEL | {"files": {"other.pt": "0" * 64}}, "SHA-256 differs"),
    ],
)
def test_a_damaged_description_is_refused(tmp_path: Path, content: Any, said: str) -> None:
    with pytest.raises(DataError, match=f"TRN007.*{said}"):
        read_model(weights(tmp_path, content))


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    file = weights(tmp_path, MODEL)
    (tmp_path / "model.json").write_text('{"format": 1, "bun')
    with pytest.raises(DataError, match=r"TRN007.*damaged"):
        read_model(file)


@pytest.mark.parametrize(
    ("part", "key", "value", "said"),
    [
        ("preprocessing", "window_hu", "wide", "preprocessing::window_hu is 'wide', expected two rising numbers"),
        ("thresholds", "mask_threshold", 7, "thresholds::mask_threshold is 7, expected a number from 0 to 1"),
        ("thresholds", "mask_threshold", None, "thresholds::mask_threshold is None, expected a number from 0 to 1"),
        ("preprocessing", "slices", 9, "preprocessing::slices is 9, but the network has 7 input channels"),
        (
            None,
            "image_channels",
            ["ct", "pet"],
            "preprocessing::slices is 7 and image_channels names 2, but the network",
        ),
        (
            None,
            "labels",
            {"0": "background", "1": "benign", "2": "malignant"},
            "labels names 3 values, but the network",
        ),
        (None, "labels", {"nodule": "1"}, "labels are ['nodule'], expected whole numbers"),
        (None, "image_channels", None, "image_channels is None, expected a list of names"),
        (None, "image_channels", [7], "image_channels is [7], expected a list of names"),
        ("preprocessing", "orientation", "XYZ", "preprocessing::orientation is 'XYZ', expected 'RAS'"),
        ("preprocessing", "spacing", [1, 1, 1], "preprocessing::spacing is [1, 1, 1], expected None"),
        (None, "colors", {"nodule": [1, 2]}, "colors::nodule is [1, 2], expected three whole numbers"),
        (None, "colors", [1], "colors is [1], expected a color for each label"),
        ("preprocessing", "grid_mm", "abc", "preprocessing::grid_mm is 'abc', expected dwi or an edge of"),
        ("preprocessing", "grid_mm", -1.5, "preprocessing::grid_mm is -1.5, expected dwi or an edge of"),
        ("preprocessing", "grid_mm", 0, "preprocessing::grid_mm is 0, expected dwi or an edge of"),
        ("preprocessing", "grid_mm", None, "preprocessing::grid_mm is None, expected dwi or an edge of"),
        ("preprocessing", "patch_size", [64, 64], "preprocessing::patch_size is [64, 64], but the network has 3"),
        (None, "image_channels", ["ct", "ct"], "image_channels is ['ct', 'ct'], expected a list of names, each once"),
        (None, "postprocessing", {"t1w": {"mean": 380, "std": None}}, "postprocessing::t1w::std is None, expected"),
        (None, "postprocessing", {"t1w": {"mean": "dark", "std": 1}}, "postprocessing::t1w::mean is 'dark', expected"),
        (None, "postprocessing", {"smallest_ml": {"WT": -1}}, "postprocessing::smallest_ml is {'WT': -1}, expected"),
        (None, "postprocessing", {"fill_holes": "yes"}, "postprocessing::fill_holes is 'yes', expected true or false"),
        (None, "postprocessing", {"t1w": [380, 150]}, "postprocessing::t1w is [380, 150], expected a mean and a std"),
        (None, "postprocessing", {"second_stage": "yes"}, "postprocessing::second_stage is 'yes', expected a file"),
    ],
)
def test_values_that_cannot_be_meant_are_refused(part: str | None, key: str, value: Any, said: str) -> None:
    changed = {key: value} if part is None else {part: MODEL[part] | {key: value}}
    (finding,) = check_description(MODEL | changed)
    assert finding.code == "CFG004"
    assert finding.message.startswith(said)


@pytest.mark.parametrize("grid", ["dwi", 0.7, 10])
def test_grids_that_scans_are_brought_to_are_taken(grid: float | str) -> None:
    assert check_description(MODEL | {"preprocessing": {"grid_mm": grid}}) == []


def test_a_channel_that_no_diffusion_mri_has_is_told_once() -> None:
    changed = {"preprocessing": {"grid_mm": 1.5}, "image_channels": ["mean_b0", "foo", "l1", "l2", "l3", "fa", "md"]}
    (finding,) = check_description(MODEL | changed)
    assert finding.message.startswith("image_channels names 'foo', expected some of mean_b0, mean_dwi")


SECOND = {"file": "second_stage.pt", "network": {"arguments": {"n_input_channels": 2}}, "size": 32}


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("size", "32", "size is '32', expected a whole number from 2"),
        ("size", 0, "size is 0, expected a whole number from 2"),
        ("spacings_mm", [0.75], "spacings_mm has 1 entries, but its network has 2 input channels"),
        ("spacings_mm", [0.75, -1], "spacings_mm is [0.75, -1], expected distances above 0"),
        ("file", "../x/second_stage.pt", "file is '../x/second_stage.pt', expected the name"),
    ],
)
def test_what_a_second_look_cannot_be_is_refused_by_its_key(key: str, value: Any, said: str) -> None:
    second = SECOND | {"spacings_mm": [0.75, 1.5]} | {key: value}
    (finding,) = check_description(MODEL | {"postprocessing": {"second_stage": second}})
    assert finding.message.startswith(f"postprocessing::second_stage::{said}")


def test_the_first_look_alone_has_thresholds_of_its_own() -> None:
    model = MODEL | {"postprocessing": {"second_stage": {"first_look_thresholds": {"mask_threshold": 0.9}}}}
    assert thresholds_of(model, "auto") == {"mask_threshold": 0.5}
    assert thresholds_of(model, "none") == {"mask_threshold": 0.9}
    assert thresholds_of(MODEL, "none") == {"mask_threshold": 0.5}


def test_weights_under_another_name_or_in_another_format_are_still_those_described(tmp_path: Path) -> None:
    file = weights(tmp_path, MODEL)
    for name in ("renamed.pt", "model.safetensors"):
        assert read_model(file.rename(tmp_path / name)) == MODEL
        (tmp_path / name).rename(file)


def test_a_model_of_other_images_than_the_bundle_s_is_refused(tmp_path: Path) -> None:
    file = weights(tmp_path, MODEL | {"image_channels": ["t1w"]})
    run = RunSession(
        "infer", "tiny", tmp_path / "run", device="cpu", weights=file, channels=["ct"], expected={"bundle": "tiny"}
    )
    with pytest.raises(ConfigurationError, match=r"CFG004.*image_channels::0 is 't1w' in model\.json and 'ct'"):
        run.begin()


@pytest.mark.parametrize("channels", ["ct", 3])
def test_channels_that_are_no_list_are_refused_in_one_line(tmp_path: Path, channels: Any) -> None:
    file = weights(tmp_path, MODEL | {"image_channels": channels})
    run = RunSession(
        "infer", "tiny", tmp_path / "run", device="cpu", weights=file, channels=channels, expected={"bundle": "tiny"}
    )
    with pytest.raises(ConfigurationError) as refusal:
        run.begin()
    (finding,) = refusal.value.findings
    assert finding.message == f"image_channels is {channels!r}, expected a list of names, each once"


def test_a_run_is_refused_before_it_starts(tmp_path: Path) -> None:
    file = weights(tmp_path, MODEL | {"preprocessing": {"slices": 4}})
    with pytest.raises(ConfigurationError, match=r"CFG004.*slices is 4"):
        check_weights([file], {"bundle": "tiny"})


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        ("/home/anna/.venv/lib/python3.12/site-packages/monai/bundle/__main__.py", "python -m monai.bundle run 'a b'"),
        ("/home/anna/.venv/bin/medbundles", "medbundles run 'a b'"),
        ("/home/anna/project/medbundles/__main__.py", "medbundles run 'a b'"),
    ],
)
def test_the_recorded_command_can_be_typed_anywhere(
    monkeypatch: pytest.MonkeyPatch, program: str, expected: str
) -> None:
    monkeypatch.setattr("sys.argv", [program, "run", "a b"])
    assert command_line() == expected


def test_classes_are_in_the_order_of_the_channels_with_their_colors() -> None:
    labels = {"10": "late", "2": "malignant", "0": "background", "1": "benign"}
    found = classes_of({"labels": labels, "colors": {"malignant": [230, 60, 40], "benign": [40, 160, 240]}})
    assert list(found) == ["benign", "malignant", "late"]
    assert found["malignant"] == (230, 60, 40)


def test_a_class_without_a_color_is_gray() -> None:
    assert classes_of({"labels": {"0": "background", "1": "nodule"}}) == {"nodule": (160, 160, 160)}


REGIONS = {"WT": [1, 2], "ET": [2]}


@pytest.mark.parametrize(
    ("regions", "outputs", "said"),
    [
        (REGIONS, 2, None),
        (REGIONS, 3, "regions names 2, but the network has 3 output channels"),
        ({"WT": [1, 4]}, 1, "regions::WT is [1, 4], expected some of the labels [1, 2]"),
        ([], 1, "regions is [], expected the label values of each"),
    ],
)
def test_regions_must_be_made_of_the_labels_and_have_an_output_each(
    regions: Any, outputs: int, said: str | None
) -> None:
    network = {"target": "monai.networks.nets.UNet", "arguments": {"out_channels": outputs}}
    labels = {"0": "background", "1": "core", "2": "rim"}
    model = {"network": network, "labels": labels, "regions": regions, "preprocessing": {}}
    assert [finding.message for finding in check_description(model)] == ([] if said is None else [said])


def test_what_is_asked_for_of_one_region_leaves_the_others_as_they_were_chosen() -> None:
    model = {"postprocessing": {"thresholds": {"WT": 0.6, "ET": 0.6}, "smallest_ml": {"WT": 1.0}}}
    asked = cleaning_of(model, thresholds={"ET": 0.4}, smallest_ml=None)
    assert (asked["thresholds"], asked["smallest_ml"]) == ({"WT": 0.6, "ET": 0.4}, {"WT": 1.0})


def test_one_number_is_asked_for_of_all_regions() -> None:
    assert cleaning_of({"postprocessing": {"thresholds": {"WT": 0.6}}}, thresholds=0.5)["thresholds"] == 0.5


def test_a_window_is_held_against_the_axes_that_the_network_says_beside_its_arguments() -> None:
    network = {"name": "n", "target": "t", "arguments": {}, "spatial_dims": 3}
    (finding,) = check_description(MODEL | {"network": network, "preprocessing": {"patch_size": [64, 64]}})
    assert finding.message.startswith("preprocessing::patch_size is [64, 64], but the network has 3")


def test_a_bundle_at_the_root_of_a_disk_has_no_weights() -> None:
    with pytest.raises(DataError, match="TRN011"):
        locate_weights(Path(Path.cwd().anchor) / "nowhere")
