"""The first commands of the page for new bundles give a bundle that runs under its own name."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def copied(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the page's first block of commands has run."""
    folder = tmp_path_factory.mktemp("root")
    page = (repository / "docs" / "how_to" / "add_a_bundle.md").read_text(encoding="utf-8")
    commands = re.findall(r"^```sh\n(.*?)^```", page, re.MULTILINE | re.DOTALL)[0]
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    subprocess.run(commands, shell=True, cwd=folder, env=environment, check=True, timeout=120)
    return folder


def test_the_copy_has_its_own_name_everywhere(copied: Path) -> None:
    configs = copied / "bundles" / "my_bundle" / "configs"
    train, inference, evaluate = (
        yaml.safe_load((configs / f"{name}.yaml").read_text()) for name in ("train", "inference", "evaluate")
    )
    assert train["bundle_root"] == inference["bundle_root"] == "bundles/my_bundle"
    named = [config["session"]["bundle"] for config in (train, inference)] + [train["model_record"]["bundle"]]
    named += [inference["session"]["expected"]["bundle"], evaluate["session::expected"]["bundle"]]
    assert set(named) == {"my_bundle"}
    assert "lung_nodule_ct_segmentation" not in "".join(path.read_text() for path in configs.glob("*.yaml"))


def test_the_copy_is_accepted_up_to_the_missing_data(medbundles_command: Command, copied: Path) -> None:
    answer = medbundles_command("train", "bundles/my_bundle", "--dataset_dir", "nothing", cwd=copied)
    assert answer.returncode == 3, answer.stderr
    assert answer.stderr.count("error[") == answer.stderr.count("error[TRN011]") == 1
