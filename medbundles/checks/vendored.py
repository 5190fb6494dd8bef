"""An exported bundle carries the part of this package it needs; another version must not run in its place."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import medbundles
from medbundles.errors import Finding

# What a bundle's configurations may name, and what that imports.
VENDORED_ROOMS = ("io", "checks", "components")
VENDORED_FILES = ("__init__.py", "errors.py", "py.typed")
HASH_NAME = "CONTENT.sha256"


def vendored_files(package: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield the files of the package in ``package`` that travel with a bundle, sorted, without compiled ones."""
    root = Path(package)
    yield from (root / name for name in VENDORED_FILES if (root / name).is_file())
    for room in VENDORED_ROOMS:
        yield from sorted(path for path in (root / room).rglob("*.py") if path.is_file())


def package_hash(package: str | os.PathLike[str]) -> str:
    """Return one SHA-256 over names and contents of the files that travel with a bundle.

    Line ends do not count: a checkout on Windows is the same version.
    """
    digest = hashlib.sha256()
    for path in vendored_files(package):
        digest.update(path.relative_to(package).as_posix().encode() + b"\0")
        digest.update(path.read_bytes().replace(b"\r\n", b"\n") + b"\0")
    return digest.hexdigest()


def check_loaded_version(bundle_root: str | os.PathLike[str]) -> list[Finding]:
    """Find out whether an exported bundle runs with another version of this package than its own (CFG005).

    Args:
        bundle_root: the bundle's folder; one without a ``medbundles`` folder in it was not exported and passes.
    """
    recorded = Path(bundle_root) / "medbundles" / HASH_NAME
    loaded = Path(medbundles.__file__).resolve().parent
    if not recorded.is_file() or recorded.resolve().parent == loaded:
        return []
    if recorded.read_text(encoding="utf-8").strip() == package_hash(loaded):
        return []
    message = (
        f"medbundles {medbundles.__version__} of {loaded} is loaded, this bundle was exported with another version"
    )
    folder = Path(bundle_root).resolve()
    fix = f"start in {folder}, with PYTHONPATH={folder}, or in an environment without medbundles"
    return [Finding("CFG005", "error", message, fix)]
