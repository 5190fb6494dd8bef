"""Small CT scans, whole and broken, and the command that has to notice."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from medbundles.io.images import write_volume

BUNDLE = "lung_nodule_ct_segmentation"
AFFINE = np.diag([-0.8, -0.8, 2.0, 1.0])


@pytest.fixture
def scan() -> npt.NDArray[np.int16]:
    """A body of soft tissue with two lungs in air, ``(40, 36, 12)`` in HU."""
    rng = np.random.default_rng(3)
    array = np.full((40, 36, 12), -1000.0)
    array[4:36, 4:32] = 40.0
    array[8:18, 8:28, 1:] = array[22:32, 8:28, 1:] = -850.0
    return np.asarray(array + rng.normal(0, 20, array.shape), dtype=np.int16)


@pytest.fixture
def cases(tmp_path: Path, scan: npt.NDArray[np.int16]) -> Path:
    """A folder with one sound case for inference; tests put a bad one beside it."""
    folder = tmp_path / "scans"
    write_volume(folder / "sound.nii.gz", scan, AFFINE)
    return folder


@pytest.fixture
def prepared(tmp_path: Path, scan: npt.NDArray[np.int16]) -> Path:
    """A prepared folder of three cases: folds 0 and 1, and one to test."""
    folder = tmp_path / "prepared"
    for number, case in enumerate(("first", "second", "third")):
        label = np.zeros(scan.shape, dtype=np.uint8)
        label[10:13, 10:13, 4:6] = 1
        write_volume(folder / "images" / f"{case}.nii.gz", scan + np.int16(number), AFFINE)
        write_volume(folder / "labels" / f"{case}.nii.gz", label, AFFINE)
    rewrite_list(folder, lambda records: None)
    return folder


def rewrite_list(folder: Path, change: Callable[[dict[str, dict[str, Any]]], None]) -> None:
    """Write the data list of ``prepared`` after ``change`` has had its way with the records by case."""
    records = {
        case: {
            "image": f"images/{case}.nii.gz",
            "label": f"labels/{case}.nii.gz",
            "case": case,
            "subject": f"subject of {case}",
            "fold": min(number, 1),
        }
        for number, case in enumerate(("first", "second", "third"))
    }
    change(records)
    content = {"training": [records["first"], records["second"]], "testing": [records["third"]]}
    (folder / "datalist.json").write_text(json.dumps(content), encoding="utf-8")


@pytest.fixture
def check(
    medbundles_command: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run ``medbundles check`` on a path, with a cache of its own."""

    def run(path: Path, *options: str) -> subprocess.CompletedProcess[str]:
        environment = {"MEDBUNDLES_CACHE": str(tmp_path / "cache")}
        return medbundles_command("check", BUNDLE, path, *options, env=environment)

    return run


@pytest.fixture
def prepare_lidc(
    medbundles_command: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run ``medbundles prepare lidc`` on the test's folder ``lidc``."""

    def run(*options: object) -> subprocess.CompletedProcess[str]:
        folders = ("--source", tmp_path / "lidc", "--output", tmp_path / "out")
        return medbundles_command("prepare", "lidc", *folders, "--workers", 1, "--folds", 1, *options)

    return run


def assert_found(
    result: subprocess.CompletedProcess[str], code: str, case: str, file: str, *texts: str, level: str = "error"
) -> None:
    """Assert the exit code that belongs to the level, and one finding with everything in it."""
    said = result.stdout + result.stderr
    expected = {"error": 4 if code == "NII015" else 3}.get(level, 0)
    assert result.returncode == expected, said
    lines = [line for line in said.splitlines() if line.startswith(f"{level}[{code}] case {case}, {file}:")]
    assert lines, said
    missing = [text for text in texts if not any(re.search(text, line) for line in lines)]
    assert not missing, lines
    assert "Traceback" not in said
