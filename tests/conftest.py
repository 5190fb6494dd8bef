"""Fixtures for all tests."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

# Before torch is imported: tests run beside each other, and a child forked from a process whose OpenMP threads have
# started would hang.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from tests.forked_command import run_forked

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def repository() -> Path:
    return REPOSITORY


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real images; tests that use it are skipped where it is absent."""
    folder = Path(os.environ.get("MEDBUNDLES_REAL_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real images at {folder}; set MEDBUNDLES_REAL_DATA")
    return folder


@pytest.fixture(scope="session")
def medbundles_command() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the real command line: ``medbundles_command("check", name, path, cwd=..., env={...})``."""

    def run(
        *arguments: object, cwd: Path | None = None, env: dict[str, str] | None = None, timeout: float = 300
    ) -> subprocess.CompletedProcess[str]:
        # Rich folds messages at the terminal's width; a test looks for whole lines.
        variables = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200", **(env or {})}
        return run_forked("medbundles", arguments, cwd or REPOSITORY, variables, timeout)

    return run
