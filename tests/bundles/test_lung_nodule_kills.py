"""A training that is killed at any moment leaves files that load, and goes on as if nothing had happened (TRN001)."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from medbundles.components.tensor_file import read_tensor_file
from tests.bundles.conftest import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")]

KILLS = 20
# How many of them must have cut a checkpoint in the middle; about half of all aim at one.
CUTS = 5
LARGE_CHECKPOINT = 20_000_000  # bytes
WIDE = "[32, 64, 128, 256]"  # makes the checkpoint large; a training step on so few samples stays cheap
EPOCHS = 6
TRAINING = (
    *("-m", "medbundles", "train", "lung_nodule_ct_segmentation", "--networks::UNet::channels", WIDE),
    *("--max_epochs", str(EPOCHS), "--val_interval", "2", "--samples_per_epoch", "6", "--preview_cases", "1"),
)
# Longest wait for a random kill, from when the run has its folder: two epochs with their validations.
LONGEST_WAIT = 3.0  # seconds


class Killer:
    """Starts the command again and again and kills it; keeps count of what was cut."""

    def __init__(self, data: Path, environment: dict[str, str]) -> None:
        self.data, self.environment = data, environment
        self.kills = self.cuts = 0

    def start(self, folder: Path) -> subprocess.Popen[str]:
        command = [sys.executable, *TRAINING, "--dataset_dir", self.data, "--output_dir", folder, "--resume", "true"]
        with (folder.parent / f"{folder.name}.log").open("a") as log:
            return subprocess.Popen(
                list(map(str, command)), cwd=ROOT, env=self.environment, stdout=log, stderr=log, text=True
            )

    def finish(self, folder: Path) -> None:
        process = self.start(folder)
        assert process.wait(120) == 0, said(folder)

    def kill(self, folder: Path, chance: random.Random) -> bool:
        """Start the run, kill it in a write or anywhere, and return False when it was done before that."""
        wait, write = chance.uniform(0, LONGEST_WAIT), chance.randint(1, 6)
        aims_at_a_write = chance.random() < 0.6
        process = self.start(folder)
        try:
            self._wait_until_it_runs(process, folder)
            if aims_at_a_write:
                self._wait_for_a_write(process, folder, write)
            else:
                time.sleep(wait)
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait(60)
        if process.returncode == 0:
            return False
        assert process.returncode == -signal.SIGKILL, said(folder)
        self.kills += 1
        self.cuts += any(0 < size < LARGE_CHECKPOINT for size in checkpoints_under_way(folder).values())
        return True

    @staticmethod
    def _wait_until_it_runs(process: subprocess.Popen[str], folder: Path) -> None:
        while process.poll() is None:
            record = folder / "run.json"
            if record.exists() and json.loads(record.read_text())["pid"] == process.pid:
                return
            time.sleep(0.01)

    @staticmethod
    def _wait_for_a_write(process: subprocess.Popen[str], folder: Path, number: int) -> None:
        """Return in the middle of the numbered write of a checkpoint."""
        seen: set[str] = set()
        while process.poll() is None:
            for name, size in checkpoints_under_way(folder).items():
                # previous.pt is a second name of a whole file.
                if 0 < size < LARGE_CHECKPOINT and name not in seen:
                    seen.add(name)
                    if len(seen) == number:
                        return


def checkpoints_under_way(folder: Path) -> dict[str, int]:
    """Return the temporary files of checkpoints in a folder and their sizes in bytes."""
    found: dict[str, int] = {}
    for entry in os.scandir(folder):
        if entry.name.startswith(".") and entry.name.endswith(("-last.pt", "-best.pt")):
            try:
                found[entry.name] = entry.stat().st_size
            except FileNotFoundError:  # finished in between
                continue
    return found


def said(folder: Path) -> str:
    return (folder.parent / f"{folder.name}.log").read_text()


def assert_loads(folder: Path) -> None:
    """Assert that every file that has its final name is whole."""
    for path in folder.rglob("[!.]*"):
        if path.suffix == ".pt":
            assert read_tensor_file(path)
        elif path.suffix == ".json":
            assert json.loads(path.read_text())
        elif path.suffix == ".jsonl":
            assert all(json.loads(line) for line in path.read_text().splitlines())
        elif path.suffix == ".png":
            with Image.open(path) as image:
                image.load()


def leaves(value: Any, where: str = "") -> Iterator[tuple[str, Any]]:
    """Yield everything in nested dictionaries and lists by its place."""
    if isinstance(value, dict | list | tuple):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in items:
            yield from leaves(item, f"{where}/{key}")
    else:
        yield where, value


def assert_same_tensors(ours: Path, theirs: Path) -> None:
    found, expected = (dict(leaves(read_tensor_file(path))) for path in (ours, theirs))
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(found[name], value) if isinstance(value, torch.Tensor) else found[name] == value, name


def history(folder: Path) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    return [{key: value for key, value in row.items() if "seconds" not in key} for row in rows]


def description(folder: Path) -> dict[str, Any]:
    model: dict[str, Any] = json.loads((folder / "model.json").read_text())
    training = {key: value for key, value in model["training"].items() if key not in ("command", "finished")}
    return model | {"training": training}


def assert_same_run(ours: Path, theirs: Path) -> None:
    for name in ("model.pt", "best.pt", "last.pt"):
        assert_same_tensors(ours / name, theirs / name)
    assert history(ours) == history(theirs)
    assert description(ours) == description(theirs)


def test_a_training_killed_twenty_times_ends_like_one_that_was_not(
    chest_data: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    chance = random.Random(20)
    killer = Killer(chest_data, environment)
    straight = tmp_path / "straight"
    killer.finish(straight)
    assert (straight / "last.pt").stat().st_size > LARGE_CHECKPOINT
    folder = tmp_path / "killed 0"
    while killer.kills < KILLS:
        if killer.kill(folder, chance):
            assert_loads(folder)
            continue
        # It was done before its time came: compare, and go on in another folder.
        assert_same_run(folder, straight)
        folder = tmp_path / f"killed {killer.kills}"
    killer.finish(folder)
    assert_same_run(folder, straight)
    assert not [path for path in folder.rglob(".*")]
    assert killer.cuts >= CUTS
