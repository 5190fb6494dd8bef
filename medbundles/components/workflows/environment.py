"""What a run record says about the machine and the software."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

import medbundles

PACKAGES = ("torch", "monai", "pytorch-ignite", "numpy", "nibabel")


def versions() -> dict[str, str]:
    """Return the versions of Python, this package and what it computes with."""
    found = {"python": platform.python_version(), "medbundles": medbundles.__version__}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def hardware() -> dict[str, Any]:
    """Return what computes: processor, number of cores and threads, GPUs with their memory in GiB."""
    gpus = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
    return {
        "machine": platform.machine(),
        "system": f"{platform.system()} {platform.release()}",
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpus": [{"name": gpu.name, "memory_gib": round(gpu.total_memory / 2**30, 1)} for gpu in gpus],
    }


def git_commit() -> str | None:
    """Return the commit this package is checked out at, with ``-dirty`` when files differ; ``None`` if installed."""
    package = Path(medbundles.__file__).resolve().parent
    # An environment's folder may lie inside of somebody's own repository, whose commit says nothing about this code.
    tracked = _git(package, "ls-files", "__init__.py")
    return _git(package, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*") if tracked else None


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        answer = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() or None if answer.returncode == 0 else None


def command_line() -> list[str]:
    """Return the command that started this process."""
    return list(sys.orig_argv)
