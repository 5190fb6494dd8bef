"""Values of keys that no run could mean are refused before anything starts."""

from __future__ import annotations

from typing import Any

import pytest

from medbundles.checks.config import check_config
from medbundles.checks.config_values import check_values

NETWORK = {"_target_": "monai.networks.nets.UNet", "_mode_": "callable", "spatial_dims": 2, "strides": [2, 2, 2]}
SOUND: dict[str, Any] = {
    "seed": 0, "fold": 0, "num_workers": 0, "multiprocessing_context": None, "backend": "auto", "geometry": None,
    "part": "testing", "batch_size": 1, "max_epochs": 1, "warmup_epochs": 0, "val_interval": 1, "patience": 0,
    "preview_cases": 0, "learning_rate": 1, "ema_decay": 0.0, "foreground_prior": 0.5, "candidate_threshold": 0.3,
    "mask_threshold": None, "peak_threshold": 1.0, "window_hu": [-1000, 1000], "slices": 1, "crop_size": [96, 96],
    "patch_size": [64, 64], "sampling": {"site": 1.0, "background": 0.0}, "network": "UNet", "loss": "Dice",
    "overlap": 0.9, "flips": [0, 2], "smallest_ml": {"WT": 0.0}, "replace_below_ml": 0, "fill_holes": None,
    "tolerance_mm": 0.1, "tried_thresholds": [0.5], "cleaning_criterion": "both", "contrast_endings": {"t2f": ["fla"]},
    "augmentation": 1, "gradient_clip": None, "shell": None, "b0_threshold": 0, "output_grid": 0.5,
    "networks": {"UNet": NETWORK}, "losses": {"Dice": {"_target_": "DiceLoss"}},
}  # fmt: skip


@pytest.mark.parametrize("key", SOUND)
def test_values_at_the_ends_of_their_ranges_are_accepted(key: str) -> None:
    assert check_values({key: SOUND[key], "networks": SOUND["networks"], "losses": SOUND["losses"]}) == {}


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("seed", -1, "a whole number from 0"),
        ("seed", 2**32, "a whole number from 0 to 4294967295"),
        ("num_workers", -1, "a whole number from 0"),
        ("multiprocessing_context", "thread", "null | fork | spawn | forkserver"),
        ("backend", "tensorrt", "auto | openvino | channels_last | eager"),
        ("geometry", "scanner", "null | sform | qform"),
        ("batch_size", 0, "a whole number from 1"),
        ("batch_size", True, "a whole number from 1"),
        ("max_epochs", 2.5, "a whole number from 1"),
        ("preview_cases", -1, "a whole number from 0"),
        ("learning_rate", 0, "a number above 0"),
        ("learning_rate", float("nan"), "a number above 0"),
        ("ema_decay", 1.0, "a number from 0 to below 1"),
        ("foreground_prior", 0, "a number between 0 and 1"),
        ("mask_threshold", 1.5, "a number from 0 to 1, or null"),
        ("peak_threshold", "high", "a number from 0 to 1, or null"),
        ("window_hu", [1000, -1000], "two rising numbers in HU"),
        ("window_hu", [-1000], "two rising numbers in HU"),
        ("slices", 4, "an odd whole number from 1"),
        ("slices", 0, "an odd whole number from 1"),
        ("crop_size", [50], "a list of 2 or 3 whole numbers from 1, in voxels"),
        ("patch_size", 64, "a list of 2 or 3 whole numbers from 1, in voxels"),
        ("sampling", {"site": -0.5}, "shares from 0, not all 0"),
        ("resume", "false", "true, false or a checkpoint CHECKPOINT.pt"),
        ("resume", "ture", "true, false or a checkpoint CHECKPOINT.pt"),
        ("dataset_dir", None, "a path"),
        ("output_dir", 5, "a path"),
        ("weights", 5, "a path, or null"),
        ("allow", 5, "a list of fault codes"),
        ("overlap", float("nan"), "a number from 0 to 0.9, or one for each axis"),
        ("overlap", 0.999, "a number from 0 to 0.9, or one for each axis"),
        ("overlap", [0.5, "half", 0.5], "a number from 0 to 0.9, or one for each axis"),
        ("flips", [3], "a list of axes, some of 0, 1, 2, each once"),
        ("flips", [True], "a list of axes, some of 0, 1, 2, each once"),
        ("smallest_ml", float("inf"), "a number of ml from 0, or one for each region by its name, or null"),
        ("replace_below_ml", {"ET": "3"}, "a number of ml from 0, or one for each region by its name, or null"),
        ("fill_holes", "yes", "true or false, or null"),
        ("tolerance_mm", 0, "a number above 0"),
        ("tried_thresholds", [0.0], "a list of numbers between 0 and 1"),
        ("cleaning_criterion", "hd95", "dice | lesion_dice | both"),
        ("colors", {"WT": "red"}, "three whole numbers from 0 to 255 for each name"),
        ("contrast_endings", [1, 2], "a list of words for each contrast"),
        ("contrast_endings", {"t1n": "t1"}, "a list of words for each contrast"),
        ("allow", [["NII004"]], "a list of fault codes"),
        ("smoothing_mm", 1e9, "a number from 0 to 20, in mm"),
        ("sampling", {"site": 0, "background": 0}, "shares from 0, not all 0"),
        ("augmentation", 7, "a number from 0 to 1"),
        ("gradient_clip", 0, "a number above 0, or null"),
        ("gradient_clip", -1, "a number above 0, or null"),
        ("shell", float("nan"), "a number above 0, or null"),
        ("b0_threshold", -5, "a number from 0"),
        ("output_grid", 0.01, "dwi, network or an edge of 0.5 to 10 mm"),
        ("output_grid", 11, "dwi, network or an edge of 0.5 to 10 mm"),
        ("output_grid", "t1w", "dwi, network or an edge of 0.5 to 10 mm"),
    ],
)
def test_a_value_out_of_its_range_is_refused_with_the_range(key: str, value: Any, expected: str) -> None:
    finding = check_values({key: value})[key]
    assert (finding.code, finding.level) == ("CFG002", "error")
    assert finding.message.startswith(f"{key} is {value!r}, expected {expected}")


@pytest.mark.parametrize("value", ["$@other * 2", "@absent", "1e-3"])
def test_what_is_known_only_later_or_is_refused_elsewhere_is_left_alone(value: str) -> None:
    assert check_values({"learning_rate": value}) == {}


def test_a_value_is_judged_through_a_reference() -> None:
    assert "batch_size" in check_values({"batch_size": "@size", "size": 0})


@pytest.mark.parametrize(
    ("key", "name", "fix"), [("network", "UNett", "did you mean UNet?"), ("loss", "Focal", "choose one of Dice")]
)
def test_a_choice_without_an_entry_is_refused_with_what_there_is(key: str, name: str, fix: str) -> None:
    finding = check_values(SOUND | {key: name})[key]
    assert name in finding.message
    assert finding.fix == fix


def test_a_patch_the_network_cannot_halve_is_refused_with_one_it_can() -> None:
    finding = check_values(SOUND | {"patch_size": [50, 64]})["patch_size"]
    assert "multiples of 8" in finding.message
    assert finding.fix == "such as [48, 64]"


def test_a_crop_smaller_than_the_patch_is_refused() -> None:
    assert "at least the patch_size" in check_values(SOUND | {"crop_size": [32, 96]})["crop_size"].message


def test_true_as_text_is_advised_in_the_spelling_of_monai_s_command_line() -> None:
    assert check_values({"resume": "true"})["resume"].fix == "on monai.bundle's command line write True"


def test_sizes_with_another_number_of_axes_than_the_network_are_refused() -> None:
    refused = check_values(SOUND | {"patch_size": [64, 64, 64]})
    assert refused.keys() == {"patch_size"}
    assert "expected 2 numbers" in refused["patch_size"].message


def test_one_mistake_is_one_finding() -> None:
    loader = {"_target_": "DataLoader", "dataset": [], "num_workers": "@num_workers"}
    (finding,) = check_config({"num_workers": "many", "loader": loader, "run": "$@loader"})
    assert finding.message == "num_workers is 'many', expected a whole number from 0"
