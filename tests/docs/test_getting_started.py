"""The page for new users, executed line by line, on fewer and smaller scans."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = REPOSITORY / "docs" / "getting_started.md"
SMALLER = {
    r"--cases 16": '--cases 6 --matrix 96 --extent_mm "[100, 110]"',
    r"--max_epochs 12": "--max_epochs 1 --samples_per_epoch 16",
    r"(torchrun .*)": r"\1 --max_epochs 1 --samples_per_epoch 16 --device cpu",
}


def documented_lines(folder: Path) -> list[str]:
    blocks = re.findall(r"^```sh\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    for pattern, replacement in SMALLER.items():
        lines = [re.sub(pattern, replacement, line) for line in lines]
    return [line.replace("try/", f"{folder}/") for line in lines]


@pytest.mark.slow
def test_every_line_works(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "OMP_NUM_THREADS": "1",
        "MEDBUNDLES_CACHE": str(tmp_path / "cache"),
    }
    for line in documented_lines(tmp_path):
        answer = subprocess.run(
            line, shell=True, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=600, check=False
        )
        assert answer.returncode == 0, f"{line}\n{answer.stdout[-2000:]}\n{answer.stderr[-4000:]}"
    expected = ["run/model.pt", "run/curves.png", "evaluation/summary.json", "predictions/nodules.csv"]
    assert [name for name in expected if not (tmp_path / name).is_file()] == []
    assert (tmp_path / "export" / "lung_nodule_ct_segmentation.zip").is_file()
