"""The medbundles command, run for a measurement, and scans made for it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

BUNDLE = "lung_nodule_ct_segmentation"


def run(*words: str | Path) -> None:
    """Run the command quietly; a failure ends the measurement with what it said."""
    command = [sys.executable, "-m", "medbundles", *map(str, words)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode:
        sys.exit(f"{' '.join(command)}\n{answer.stdout}{answer.stderr}")


def synthetic_data(folder: Path, cases: int, folds: int) -> Path:
    """Make scans and prepare them; returns the prepared folder."""
    run("samples", BUNDLE, "--output", folder / "luna16", "--cases", str(cases))
    run("prepare", "luna16", "--source", folder / "luna16", "--output", folder / "data", "--folds", str(folds))
    return folder / "data"
