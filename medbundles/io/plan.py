"""``plan.json`` of a prepared folder: what was chosen for training on it. Users may edit it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeGuard

from medbundles.errors import DataError, Finding

PLAN_NAME = "plan.json"
PLAN_FORMAT = 1
# Patches are multiples of this many voxels, as three halvings need.
STEP = 8
FIX = "correct it, or prepare the folder again"

Plan = dict[str, Any]
# Where there is no data at all, so that a configuration can be built and looked at; the session refuses to run it.
EXAMPLE: Plan = {
    "format": PLAN_FORMAT,
    "task": "none",
    "cases": 0,
    "channels": ["image"],
    "labels": {"1": "first", "2": "second"},
    "colors": {"first": [230, 60, 40], "second": [80, 200, 120]},
    "normalization": {"image": {"kind": "MR", "percentile": 99.9}},
    "spacing_mm": [1.0, 1.0, 1.0],
    "patch_size": [48, 48, 48],
    "mirror_axes": [],
    "roi": {"use": False, "spacing_mm": 2.0, "patch_size": [48, 48, 48], "margin": 0.2, "smallest_voxels": 24},
    "reasons": {},
}


def read_plan(dataset_dir: str | os.PathLike[str]) -> Plan:
    """Return the plan of a prepared folder, or an example where there is no such folder.

    ``channels``, ``labels`` (name by value), ``colors`` (by name), ``normalization`` (by channel: ``{"kind": "CT",
    "window_hu": [low, high]}`` or ``{"kind": "MR", "percentile": 99.9}``), ``spacing_mm`` and ``patch_size`` (right,
    anterior, superior), ``mirror_axes``, ``roi`` (``use``, ``spacing_mm``, ``patch_size``, ``margin``,
    ``smallest_voxels``), and ``reasons`` for each.

    Raises:
        DataError: there is none (TRN011), or it is damaged, of another format or holds what cannot be meant (TRN007).
    """
    path = Path(dataset_dir) / PLAN_NAME
    if not path.parent.exists():
        return EXAMPLE
    if not path.is_file():
        fix = "make the folder with `medbundles prepare decathlon`"
        raise DataError(findings=[Finding("TRN011", "error", f"no {PLAN_NAME} in {path.parent}", fix)])
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise _damaged(f"not JSON: {error}") from error
    if not isinstance(content, dict) or content.get("format") != PLAN_FORMAT:
        raise _damaged(f"expected a plan of format {PLAN_FORMAT}")
    wrong = [
        Finding("TRN007", "error", f"{key} is {content.get(key)!r}, expected {expected}", FIX, file=PLAN_NAME)
        for key, (fits, expected) in EXPECTED.items()
        if not fits(content.get(key))
    ]
    if not wrong and sorted(content["channels"]) != sorted(content["normalization"]):
        message = f"channels are {content['channels']}, normalization has {list(content['normalization'])}"
        wrong.append(Finding("TRN007", "error", message, FIX, file=PLAN_NAME))
    if wrong:
        raise DataError(findings=wrong)
    return content


def modality_of(normalization: Mapping[str, Mapping[str, Any]]) -> str | None:
    """Return CT where all channels are, None where intensities have no unit."""
    return "CT" if all(entry["kind"] == "CT" for entry in normalization.values()) else None


def is_normalization(entry: Any) -> bool:
    """Return whether it says how a channel is normalized: a rising window of HU, or a percentile."""
    if not isinstance(entry, Mapping):
        return False
    kind, window, percentile = entry.get("kind"), entry.get("window_hu"), entry.get("percentile")
    if kind == "CT":
        return _are(window, _is_number, 2) and window[0] < window[1]
    return kind == "MR" and _is_number(percentile) and 50 < percentile <= 100


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _are(values: Any, fits: Callable[[Any], bool], count: int | None = None) -> TypeGuard[Sequence[Any]]:
    return isinstance(values, list | tuple) and count in (None, len(values)) and all(fits(value) for value in values)


def _is_edge(value: Any) -> bool:
    return _is_number(value) and value > 0


def _are_voxels(value: Any) -> bool:
    return _are(value, lambda edge: isinstance(edge, int) and edge >= STEP and edge % STEP == 0, 3)


def _is_label(item: tuple[Any, Any]) -> bool:
    return str(item[0]).isdecimal() and int(item[0]) > 0 and isinstance(item[1], str)


def _is_roi(value: Any) -> bool:
    if not isinstance(value, Mapping) or not isinstance(value.get("use"), bool):
        return False
    margin = value.get("margin")
    return (
        _is_edge(value.get("spacing_mm"))
        and _are_voxels(value.get("patch_size"))
        and _is_number(margin)
        and margin >= 0
    )


# What each entry has to be, so that an edited plan is refused whole and at once.
EXPECTED: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "channels": (
        lambda value: _are(value, lambda name: isinstance(name, str)) and len(value) == len(set(value)) > 0,
        "names, each once",
    ),
    "labels": (
        lambda value: isinstance(value, Mapping) and bool(value) and all(map(_is_label, value.items())),
        "a name for each label value above 0",
    ),
    "normalization": (
        lambda value: isinstance(value, Mapping) and all(map(is_normalization, value.values())),
        "for each channel kind CT with a rising window_hu, or kind MR with a percentile above 50 up to 100",
    ),
    "spacing_mm": (lambda value: _are(value, _is_edge, 3), "three edges in mm above 0"),
    "patch_size": (_are_voxels, f"three multiples of {STEP}"),
    "mirror_axes": (lambda value: _are(value, lambda axis: axis in (0, 1, 2)), "some of 0, 1, 2"),
    "roi": (_is_roi, f"use (true or false), spacing_mm, patch_size (multiples of {STEP}) and margin"),
}


def _damaged(message: str) -> DataError:
    return DataError(findings=[Finding("TRN007", "error", message, "prepare the folder again", file=PLAN_NAME)])
