"""What a training of the lung nodule bundle meets: damaged caches, other weights, no data, no room."""

from __future__ import annotations

import json
import os
import re
import resource
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from medbundles.components.tensor_file import read_tensor_file
from medbundles.errors import ExitCode
from medbundles.io.images import read_volume, write_volume
from tests.faults.conftest import AFFINE, BUNDLE
from tests.forked_command import ForkedCommand

QUICK = ("--max_epochs", 1, "--samples_per_epoch", 4, "--preview_cases", 0, "--crop_size", "[32, 32]")
SMALL_PATCH = ("--patch_size", "[32, 32]")


def start(tmp_path: Path, prepared: Path, *words: object, run: str = "run", prepare: Any = None) -> ForkedCommand:
    command = ("train", BUNDLE, "--dataset_dir", prepared, "--output_dir", tmp_path / run, *QUICK, *SMALL_PATCH, *words)
    return ForkedCommand("medbundles", command, tmp_path, {"MEDBUNDLES_CACHE": str(tmp_path / "cache")}, prepare)


def assert_ends(tmp_path: Path, prepared: Path, code: ExitCode, *words: object, **options: Any) -> str:
    ended = start(tmp_path, prepared, *words, **options)
    assert ended.wait() == code, ended.said
    assert "Traceback" not in ended.said
    return ended.said


def cut_in_half(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def flip_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("name", "damage", "problem"),
    [
        ("image.npy", cut_in_half, r"image\.npy has \d+ bytes instead of \d+"),
        pytest.param(
            "label.npy",
            flip_a_byte,
            r"label\.npy has another checksum than when it was written",
            marks=pytest.mark.slow,
        ),
        pytest.param("content.json", cut_in_half, r"content\.json is missing or damaged", marks=pytest.mark.slow),
        pytest.param("image.npy", Path.unlink, r"image\.npy has 0 bytes instead of \d+", marks=pytest.mark.slow),
    ],
)
def test_a_damaged_cache_is_built_again_with_a_warning_and_changes_nothing(
    tmp_path: Path, prepared: Path, name: str, damage: Any, problem: str
) -> None:
    assert_ends(tmp_path, prepared, ExitCode.DONE, run="before")
    for entry in (tmp_path / "cache" / "volumes").iterdir():
        damage(entry / name)
    said = assert_ends(tmp_path, prepared, ExitCode.DONE)
    assert len(re.findall(rf"warning\[TRN006\] cache entry \w+: {problem}; it is built again", said)) == 2
    before, after = (read_tensor_file(tmp_path / run / "model.pt") for run in ("before", "run"))
    assert all(torch.equal(before[key], after[key]) for key in before)


@pytest.mark.slow
def test_a_changed_scan_is_preprocessed_again(tmp_path: Path, prepared: Path) -> None:
    assert_ends(tmp_path, prepared, ExitCode.DONE)
    before = set((tmp_path / "cache" / "volumes").iterdir())
    scan = prepared / "images" / "first.nii.gz"
    write_volume(scan, np.asarray(read_volume(scan).array) + np.int16(9), AFFINE, overwrite=True)
    said = assert_ends(tmp_path, prepared, ExitCode.DONE, run="after")
    assert "preprocessing 1 of 1 scan(s)" in said
    assert len(set((tmp_path / "cache" / "volumes").iterdir()) - before) == 1


def test_weights_of_another_network_are_refused_with_the_first_keys(tmp_path: Path, prepared: Path) -> None:
    torch.save(torch.nn.Conv2d(7, 1, 3).state_dict(), tmp_path / "other.pt")
    said = assert_ends(tmp_path, prepared, ExitCode.USAGE, "--pretrained", tmp_path / "other.pt")
    assert re.search(
        r"error\[TRN007\] other\.pt: weights of another network, \d+ differences, first: \S+: missing", said
    )


def test_an_empty_data_list_is_refused_with_what_to_do(tmp_path: Path, prepared: Path) -> None:
    (prepared / "datalist.json").write_text(json.dumps({"training": [], "testing": []}))
    said = assert_ends(tmp_path, prepared, ExitCode.DATA)
    assert re.search(r"error\[TRN011\] .*datalist\.json.*; \w+", said)
    assert not (tmp_path / "run").exists()


def test_a_missing_data_list_is_refused_with_what_to_do(tmp_path: Path, prepared: Path) -> None:
    (prepared / "datalist.json").unlink()
    said = assert_ends(tmp_path, prepared, ExitCode.DATA)
    assert re.search(r"error\[TRN011\] .*datalist\.json.*prepare", said)


def test_weights_to_start_from_that_are_not_there_are_refused(tmp_path: Path, prepared: Path) -> None:
    said = assert_ends(tmp_path, prepared, ExitCode.DATA, "--pretrained", tmp_path / "nowhere.pt")
    assert re.search(r"error\[TRN011\] nowhere\.pt: no weights at .*; \w+", said)
    assert not (tmp_path / "run").exists()


def test_a_crop_larger_than_memory_is_told_with_its_case(tmp_path: Path, prepared: Path) -> None:
    words = ("--crop_size", "[300000, 300000]", "--sampling", "{'site': 1.0}")
    said = assert_ends(tmp_path, prepared, ExitCode.ENVIRONMENT, *words)
    assert re.search(
        r"error\[TRN004\] out of memory in epoch 1 with batch_size 16, patch_size \[32, 32\] "
        r"\(case \w+: Unable to allocate .*\): the process took up to \d+\.\d\d GiB",
        said,
    )


def _with_little_memory(gibibytes: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (gibibytes << 30, gibibytes << 30))


@pytest.mark.slow
def test_a_batch_larger_than_the_limit_of_memory_is_told_in_numbers(tmp_path: Path, prepared: Path) -> None:
    words = ("--crop_size", "[768, 768]", "--patch_size", "[768, 768]", "--samples_per_epoch", 32, "--batch_size", 32)
    limited = partial(_with_little_memory, 4)
    said = assert_ends(tmp_path, prepared, ExitCode.ENVIRONMENT, *words, prepare=limited)
    assert re.search(r"error\[TRN004\] out of memory in epoch 1.* with batch_size 32, patch_size \[768", said)
    content = json.loads((tmp_path / "run" / "run.json").read_text())
    assert content["status"] == "failed"
    assert "GiB are left for it now" in content["reason"]


@pytest.mark.slow
@pytest.mark.parametrize("limit", [1_000, 20_000, 300_000, 1_000_000])
def test_a_disk_that_fills_at_any_file_ends_with_its_code_and_the_run_goes_on(
    tmp_path: Path, prepared: Path, limit: int
) -> None:
    words = ("--max_epochs", 60, "--val_interval", 20)
    full = start(tmp_path, prepared, *words)
    full.wait_for((tmp_path / "run" / "previous.pt").exists)
    # Its own output goes to a file as well, which stays below the least of the limits.
    resource.prlimit(full.pid, resource.RLIMIT_FSIZE, (limit, limit))
    assert full.wait() == ExitCode.ENVIRONMENT, full.said
    assert "no space left" in full.said
    assert "Traceback" not in full.said
    for name in ("last.pt", "previous.pt", "best.pt", "model.pt"):
        assert read_tensor_file(tmp_path / "run" / name)
    assert_ends(tmp_path, prepared, ExitCode.DONE, *words, "--resume", "true")


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1])
def test_a_cache_that_is_lost_while_a_run_goes_on_ends_it_with_the_case(
    tmp_path: Path, prepared: Path, workers: int
) -> None:
    lost = start(tmp_path, prepared, "--max_epochs", 1000, "--val_interval", 1000, "--num_workers", workers)
    lost.wait_for((tmp_path / "run" / "previous.pt").exists)
    for entry in (tmp_path / "cache" / "volumes").iterdir():
        (entry / "image.npy").unlink()
    assert lost.wait() == ExitCode.DATA, lost.said
    assert re.search(r"\nerror\[TRN008\] case (first|second): cannot be read or .*: FileNotFoundError: .*", lost.said)
    assert_ends(tmp_path, prepared, ExitCode.DONE, "--resume", "true", "--val_interval", 1000)
