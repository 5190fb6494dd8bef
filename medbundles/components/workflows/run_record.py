"""``run.json``: what a run was, written when it starts and completed when it ends, however it ends."""

from __future__ import annotations

import json
import math
import os
import platform
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from medbundles.components.workflows import environment
from medbundles.errors import Finding
from medbundles.io.atomic import write_json
from medbundles.io.hashing import sha256_data, sha256_file

RECORD_NAME = "run.json"
Status = Literal["running", "completed", "failed", "diverged", "interrupted"]


class RunRecord:
    """The content of one ``run.json`` and when it is written.

    Args:
        folder: the run's output folder.
        content: what is known at the start, see :func:`start_record`.
    """

    def __init__(self, folder: Path, content: dict[str, Any]) -> None:
        self.folder = folder
        self.content = content
        self._started = time.monotonic()

    @property
    def status(self) -> str:
        """The status last written."""
        return str(self.content["status"])

    def write(self) -> None:
        """Write the record atomically."""
        write_json(self.folder / RECORD_NAME, plain(self.content))

    def finish(self, status: Status, reason: str = "", weights: Iterable[Path] = ()) -> None:
        """Record how the run ended.

        Args:
            status: how it ended.
            reason: one or more lines for a run that was not completed.
            weights: files to name with their SHA-256; missing ones are skipped.
        """
        self.content |= {"status": status, "ended": now(), "wall_time_s": round(time.monotonic() - self._started, 3)}
        if reason:
            self.content["reason"] = reason
        hashes = {path.name: sha256_file(path) for path in weights if path.is_file()}
        if hashes:
            self.content["weights_sha256"] = hashes
        self.write()


def start_record(
    kind: str,
    bundle: str,
    config: Mapping[str, Any] | None,
    findings: Iterable[Finding],
    facts: Mapping[str, Any],
) -> dict[str, Any]:
    """Return what is known when a run starts.

    Args:
        kind: ``train``, ``evaluate`` or ``infer``.
        bundle: the bundle's name.
        config: the raw configuration, overrides included.
        findings: what the checks noted without refusing.
        facts: seed, device and its reason, data fingerprint and so on, taken over as they are.
    """
    configuration = plain(dict(config or {}))
    return {
        "status": "running",
        "kind": kind,
        "bundle": bundle,
        "started": now(),
        "pid": os.getpid(),
        "host": platform.node(),
        "command": environment.command_line(),
        **facts,
        "versions": environment.versions(),
        "git_commit": environment.git_commit(),
        "hardware": environment.hardware(),
        "findings": [finding.as_dict() for finding in findings],
        "config_sha256": sha256_data(configuration),
        "config": configuration,
    }


def read_record(folder: Path) -> dict[str, Any] | None:
    """Return the ``run.json`` of a folder, or ``None`` when there is none that can be read."""
    try:
        content = json.loads((folder / RECORD_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def plain(value: Any) -> Any:
    """Return ``value`` as JSON can hold it; NaN, infinity and objects become text."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def now() -> str:
    """Return the time in UTC, to the second, in ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")
