"""What a prepared folder says of itself in ``fingerprint.json``."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

from medbundles.errors import DataError, Finding

NAME = "fingerprint.json"
logger = logging.getLogger(__name__)


def read_fingerprint(dataset_dir: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the fingerprint of a prepared folder.

    A configuration can be built where the data are absent: a warning says so, and there is nothing in it.

    Raises:
        DataError: it is damaged (TRN011).
    """
    root = Path(dataset_dir)
    path = (root.parent if root.suffix == ".json" else root) / NAME
    if not path.is_file():
        logger.warning("no %s in %s", NAME, root)
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        fix = "prepare the data again"
        raise DataError(findings=[Finding("TRN011", "error", f"damaged: {error}", fix, file=NAME)]) from error
    return content if isinstance(content, dict) else {}


def target_statistics(dataset_dir: str | os.PathLike[str]) -> dict[str, float]:
    """Return mean and standard deviation of the training cases' T1w inside their masks, before they were z-scored.

    What a network makes is brought back to intensities by these, never by those of the case it is applied to.
    """
    found = read_fingerprint(dataset_dir).get("t1w") or {}
    return {name: float(found[name]) for name in ("mean", "std") if found.get(name) is not None}


def network_grid(dataset_dir: str | os.PathLike[str]) -> float | str:
    """Return what new scans are brought to before the network sees them: an edge in mm, or ``dwi`` for their own grid.

    Where the training cases were on their T1w's grids, it is the median of their smallest edges.
    """
    content = read_fingerprint(dataset_dir)
    grid = content.get("grid", "dwi")
    if grid == "t1w":
        return float(min(content["summary"]["spacing_mm"]["median"]))
    return grid if grid == "dwi" else float(grid)
