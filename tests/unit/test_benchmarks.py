"""The scripts in benchmarks/ explain themselves and run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from medbundles.io.datalist import write_datalist
from medbundles.io.images import write_volume


def call(repository: Path, *words: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, repository / "benchmarks" / "lung_recipes.py", *words]
    return subprocess.run(
        command, cwd=repository, env=os.environ | environment, capture_output=True, text=True, timeout=300, check=False
    )


def test_the_comparison_of_recipes_explains_itself(repository: Path) -> None:
    answer = call(repository, "--help")
    assert answer.returncode == 0, answer.stderr
    assert "--recipe" in answer.stdout


def test_an_unknown_recipe_is_refused_with_the_known_ones(repository: Path) -> None:
    answer = call(repository, "--recipe", "UNet, L1")
    assert answer.returncode == 2
    assert "UNet, Dice + cross entropy" in answer.stderr


@pytest.mark.slow
def test_a_recipe_gives_a_row_of_figures(repository: Path, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    training = []
    for number in range(3):
        scan = generator.normal(-850, 30, (96, 96, 12)).astype(np.int16)
        label = np.zeros(scan.shape, np.uint8)
        label[40:48, 40:48, 4:8] = 1
        scan[label > 0] = 40
        files = {"image": f"images/{number}.nii.gz", "label": f"labels/{number}.nii.gz"}
        for key, array in (("image", scan), ("label", label)):
            write_volume(tmp_path / files[key], array, np.diag([0.8, 0.8, 2.0, 1.0]))
        training.append({**files, "case": str(number), "subject": str(number), "fold": number})
    write_datalist(tmp_path, training, [])
    options = (
        "--steps",
        "2",
        "--epochs",
        "1",
        "--validation_scans",
        "1",
        "--recipe",
        "small=--networks::UNet::features 4",
    )
    answer = call(repository, "--dataset_dir", tmp_path, *options, MEDBUNDLES_CACHE=str(tmp_path / "cache"))
    assert answer.returncode == 0, answer.stderr
    assert re.fullmatch(r"\| small( \| ([\d.,]+|-)){6} \|", answer.stdout.splitlines()[-1])
