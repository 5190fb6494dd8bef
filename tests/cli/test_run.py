"""The words behind ``train``, ``evaluate`` and ``infer``: overlays and overrides."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medbundles.cli.overrides import texts_to_lists
from medbundles.command_files import configuration_files
from medbundles.errors import ConfigurationError
from medbundles.io.images import write_volume

Command = Callable[..., subprocess.CompletedProcess[str]]
BUNDLE = "lung_nodule_ct_segmentation"


@pytest.mark.parametrize("name", ["train", "evaluate", "inference"])
def test_the_files_of_the_commands_are_no_overlays(repository: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match=r"there is: (?!.*\b(train|evaluate|inference)\b).*smoke$"):
        configuration_files("train", repository / "bundles" / BUNDLE, [name], [])


def test_an_overlay_of_the_bundle_goes_before_the_one_for_all(tmp_path: Path) -> None:
    (tmp_path / "configs").mkdir()
    for name in ("smoke.yaml", "train.yaml", "evaluate.yaml"):
        (tmp_path / "configs" / name).write_text("max_epochs: 1")
    files = configuration_files("evaluate", tmp_path, ["smoke"], [])
    assert files == [tmp_path / "configs" / name for name in ("train.yaml", "smoke.yaml", "evaluate.yaml")]


def test_a_command_that_a_bundle_does_not_have_is_refused(tmp_path: Path) -> None:
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "train.yaml").write_text("max_epochs: 1")
    with pytest.raises(ConfigurationError, match=r"has no configs/evaluate\.yaml, which `medbundles evaluate` needs"):
        configuration_files("evaluate", tmp_path, [], [])


@pytest.mark.parametrize(
    ("content", "value", "expected"),
    [
        ("allow: []", "NII004", ["NII004"]),
        ("allow: [NII006]", "NII004", ["NII004"]),
        ("allow: '@other'\nother: []", "NII004", ["NII004"]),
        ("allow: []", ["NII004", "NII006"], ["NII004", "NII006"]),
        ("allow: []", "$['NII004']", "$['NII004']"),
        ("allow: [1, 2]", "NII004", "NII004"),
        ("allow: NII006", "NII004", "NII004"),
        ("other: 1", "NII004", "NII004"),
        ("allow: []\nallow: []", "NII004", "NII004"),
    ],
)
def test_a_text_is_a_list_of_one_where_texts_are_listed(
    tmp_path: Path, content: str, value: Any, expected: Any
) -> None:
    file = tmp_path / "train.yaml"
    file.write_text(content)
    assert texts_to_lists({"allow": value}, [file]) == {"allow": expected}


def test_a_code_without_brackets_is_read_as_a_whole(medbundles_command: Command, tmp_path: Path) -> None:
    write_volume(tmp_path / "scans" / "anna.nii.gz", np.full((16, 16, 8), -900, np.int16), np.eye(4))
    answer = medbundles_command(
        *("infer", BUNDLE, "--dataset_dir", tmp_path / "scans", "--output_dir", tmp_path / "out", "--allow", "NII001")
    )
    assert "allow: NII001 cannot be allowed" in answer.stderr
