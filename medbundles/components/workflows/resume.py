"""Going on with an earlier run: its configuration must be the same, and the record keeps what happened before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from medbundles.components.workflows.run_record import plain

# Keys that may differ between a run and its continuation: where, on what and for how long, not what is computed.
VOLATILE_KEYS = frozenset(
    {
        "output_dir", "dataset_dir", "bundle_root", "max_epochs", "device", "num_workers", "cache",
        "overwrite", "resume", "allow", "strict", "initialize", "run", "training", "finalize", "imports",
    }
)  # fmt: skip
KEPT_OF_AN_ATTEMPT = ("status", "started", "ended", "wall_time_s", "reason", "command", "device", "pid", "host")


def config_difference(earlier: Mapping[str, Any], current: Mapping[str, Any]) -> list[str]:
    """Return one line for each value that differs between two configurations, volatile keys left out.

    Args:
        earlier: the configuration in ``run.json``.
        current: the configuration of the run that wants to go on.

    Returns:
        Lines such as ``learning_rate: 0.001 before, 0.01 now``, deepest ids first found, in the order of the ids.
    """
    before, now = _leaves(plain(dict(earlier))), _leaves(plain(dict(current)))
    lines = []
    for key in sorted(before.keys() | now.keys()):
        if key.split("::")[0] not in VOLATILE_KEYS and before.get(key, _Absent) != now.get(key, _Absent):
            lines.append(f"{key}: {_shown(before, key)} before, {_shown(now, key)} now")
    return lines


def continue_record(earlier: Mapping[str, Any], content: dict[str, Any]) -> dict[str, Any]:
    """Return a continuation's record: the new content with the earlier attempts listed under ``attempts``.

    An attempt that still says ``running`` has lost its process, or the folder could not have been locked: ``killed``.
    """
    attempt = {key: earlier[key] for key in KEPT_OF_AN_ATTEMPT if key in earlier}
    if attempt.get("status") == "running":
        attempt["status"] = "killed"
    return content | {"attempts": [*earlier.get("attempts", []), attempt]}


class _Absent:
    """Stands for a value that is not there; equal to nothing a configuration can hold."""


def _leaves(value: Any, prefix: str = "") -> dict[str, Any]:
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found: dict[str, Any] = {}
    for key, item in children:
        found |= _leaves(item, f"{prefix}::{key}" if prefix else str(key))
    return found or {prefix: value}


def _shown(leaves: Mapping[str, Any], key: str) -> str:
    return repr(leaves[key]) if key in leaves else "absent"
