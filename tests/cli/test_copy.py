"""``copy``: a bundle of one's own, ready to be edited and run from anywhere."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import yaml

from medbundles.registry import read_bundle, with_bundle_root

Command = Callable[..., subprocess.CompletedProcess[str]]
BUNDLE = "lung_nodule_ct_segmentation"


def test_a_copy_is_a_bundle_with_its_own_root(medbundles_command: Command, tmp_path: Path) -> None:
    target = tmp_path / "my lungs"
    assert medbundles_command("copy", BUNDLE, target, cwd=tmp_path).returncode == 0
    assert read_bundle(str(target)).name == "my lungs"
    config = yaml.safe_load((target / "configs" / "train.yaml").read_text())
    assert config["bundle_root"] == str(target)


def test_an_existing_folder_is_not_touched(medbundles_command: Command, tmp_path: Path) -> None:
    answer = medbundles_command("copy", BUNDLE, tmp_path)
    assert answer.returncode == 6
    assert list(tmp_path.iterdir()) == []


def test_only_the_top_level_key_is_replaced() -> None:
    text = "bundle_root: bundles/a   # where it lies\nother:\n  bundle_root: bundles/b\npath: $@bundle_root + '/x'\n"
    assert with_bundle_root(text, ".") == text.replace("bundles/a", '"."')


def test_the_hint_names_the_copy_s_path_and_the_data(medbundles_command: Command, tmp_path: Path) -> None:
    answer = medbundles_command("copy", BUNDLE, "copied", cwd=tmp_path)
    assert "medbundles train copied --dataset_dir" in answer.stdout


def test_commands_in_comments_move_with_the_bundle() -> None:
    text = "#   run --config_file bundles/a/configs/train.yaml\npath: bundles/a/configs/train.yaml\n"
    assert with_bundle_root(text, "/my").startswith("#   run --config_file /my/configs/train.yaml\n")
    assert with_bundle_root(text, ".").startswith("#   run --config_file configs/train.yaml\n")
    assert with_bundle_root(text, ".").endswith("path: bundles/a/configs/train.yaml\n")
