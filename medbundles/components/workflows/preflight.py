"""What is checked before a run starts, in this order: configuration, device, weights, output, data."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medbundles.components.device import select_device
from medbundles.components.workflows.resume import config_difference
from medbundles.components.workflows.run_record import RECORD_NAME
from medbundles.errors import ConfigurationError, DataError, Finding, MedbundlesError, OutputConflict
from medbundles.io.datalist import DATALIST_NAME
from medbundles.io.hashing import sha256_data, sha256_file
from medbundles.io.locks import LOCK_NAME

if TYPE_CHECKING:
    from medbundles.components.workflows.session import RunSession


def check_run(session: RunSession, config: dict[str, Any] | None) -> list[Finding]:
    """Run every check that needs no lock.

    Args:
        session: the run that wants to start.
        config: the raw configuration, or ``None`` for a session made in Python.

    Returns:
        The findings that do not refuse, for the run record.

    Raises:
        MedbundlesError: of the class of the first refusal, with the findings of all.
    """
    select_device(session.device)
    return []


def check_output(session: RunSession, earlier: Mapping[str, Any] | None) -> None:
    """Refuse an output folder that holds something nobody allowed to touch; its lock is held already.

    Raises:
        OutputConflict: the folder holds files and neither ``overwrite`` nor ``resume`` is set (TRN005).
    """
    held = [path.name for path in session.output_dir.iterdir() if path.name != LOCK_NAME]
    if held and not session.overwrite and not session.resume:
        message = f"{session.output_dir} exists and holds {len(held)} file(s)"
        fix = "choose another --output_dir, or pass --overwrite true, or go on with --resume true"
        raise OutputConflict(findings=[Finding("TRN005", "error", message, fix)])


def data_fingerprint(dataset_dir: Path | None) -> dict[str, Any] | None:
    """Return what identifies the data a run reads: hashes of the data list and of the fingerprint beside it."""
    if dataset_dir is None:
        return None
    folder = dataset_dir if dataset_dir.is_dir() else dataset_dir.parent
    hashes = {
        f"{Path(name).stem}_sha256": sha256_file(folder / name)
        for name in (DATALIST_NAME, "fingerprint.json")
        if (folder / name).is_file()
    }
    if not hashes:
        files = sorted(
            (str(path.relative_to(folder)), path.stat().st_size) for path in folder.rglob("*") if path.is_file()
        )
        hashes = {"files": len(files), "names_and_sizes_sha256": sha256_data(files)}
    return {"dataset_dir": str(dataset_dir), **hashes}
