"""``plan.json`` of a prepared folder: what was chosen for training on it. Users may edit it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from medbundles.errors import DataError, Finding

PLAN_NAME = "plan.json"
PLAN_FORMAT = 1

Plan = dict[str, Any]


def read_plan(dataset_dir: str | os.PathLike[str]) -> Plan:
    """Return the plan of a prepared folder.

    ``channels``, ``labels`` (name by value), ``colors`` (by name), ``normalization`` (by channel: ``{"kind": "CT",
    "window_hu": [low, high]}`` or ``{"kind": "MR", "percentile": 99.9}``), ``spacing_mm`` and ``patch_size`` (right,
    anterior, superior), ``mirror_axes``, ``roi`` (``use``, ``spacing_mm``, ``patch_size``, ``margin``,
    ``smallest_voxels``), and ``reasons`` for each.

    Raises:
        DataError: there is none (TRN011), or it is damaged or of another format (TRN007).
    """
    path = Path(dataset_dir) / PLAN_NAME
    if not path.is_file():
        fix = "make the folder with `medbundles prepare decathlon`"
        raise DataError(findings=[Finding("TRN011", "error", f"no {PLAN_NAME} in {path.parent}", fix)])
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise _damaged(f"not JSON: {error}") from error
    if not isinstance(content, dict) or content.get("format") != PLAN_FORMAT:
        raise _damaged(f"expected a plan of format {PLAN_FORMAT}")
    return content


def _damaged(message: str) -> DataError:
    return DataError(findings=[Finding("TRN007", "error", message, "prepare the folder again", file=PLAN_NAME)])
