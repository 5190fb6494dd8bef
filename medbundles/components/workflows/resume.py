"""Going on with an earlier run: its configuration must be the same, and the record keeps what happened before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from medbundles.checks.config import differences
from medbundles.components.workflows.run_record import plain

# Keys that may differ between a run and its continuation: where, on what and for how long, not what is computed.
VOLATILE_KEYS = frozenset(
    {
        "output_dir", "dataset_dir", "bundle_root", "max_epochs", "device", "num_workers", "cache",
        "multiprocessing_context", "overwrite", "resume", "allow", "strict", "patience",
        "initialize", "run", "training", "finalize", "imports",
    }
)  # fmt: skip
KEPT_OF_AN_ATTEMPT = (
    "status", "started", "ended", "wall_time_s", "reason", "epochs", "iterations", "command", "device", "pid", "host",
)  # fmt: skip


def config_difference(earlier: Mapping[str, Any], current: Mapping[str, Any]) -> list[str]:
    """Return one line for each value that differs between two configurations, volatile keys left out.

    Args:
        earlier: the configuration in ``run.json``.
        current: the configuration of the run that wants to go on.

    Returns:
        Lines such as ``learning_rate: 0.001 before, 0.01 now``, in the order of the ids.
    """
    before, now = (
        {key: plain(value) for key, value in config.items() if key not in VOLATILE_KEYS}
        for config in (earlier, current)
    )
    return [f"{id_}: {theirs} before, {ours} now" for id_, theirs, ours in differences(before, now)]


def continue_record(earlier: Mapping[str, Any], content: dict[str, Any]) -> dict[str, Any]:
    """Return a continuation's record: the new content with the earlier attempts listed under ``attempts``.

    An attempt that still says ``running`` has lost its process, or the folder could not have been locked: ``killed``.
    """
    attempt = {key: earlier[key] for key in KEPT_OF_AN_ATTEMPT if key in earlier}
    if attempt.get("status") == "running":
        attempt["status"] = "killed"
    return content | {"attempts": [*earlier.get("attempts", []), attempt]}
