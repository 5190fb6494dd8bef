"""CFG002: contrasts, labels and regions of a configuration must fit each other."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medbundles.errors import ConfigurationError, Finding

# What a label file of 8 bits holds beside the background.
LARGEST_LABEL = 255


def check_regions(
    contrasts: Sequence[str], labels: Mapping[Any, str], regions: Mapping[str, Sequence[int]]
) -> list[Finding]:
    """Refuse contrasts, labels and regions that cannot be meant together.

    Args:
        contrasts: names of the network's channels, each once.
        labels: name of each label value but the background's, ``{"1": "ncr", "2": "ed", "3": "et"}``.
        regions: label values that make each region, ``{"WT": [1, 2, 3], "TC": [1, 3], "ET": [3]}``.

    Returns:
        Nothing; what is wrong is raised.

    Raises:
        ConfigurationError: CFG002 for each.
    """
    wrong = _names("contrasts", contrasts) + _labels(labels) + _regions(labels, regions)
    if wrong:
        raise ConfigurationError(findings=[Finding("CFG002", "error", text, fix) for text, fix in wrong])
    return []


def check_label_names(dataset_dir: str | os.PathLike[str], labels: Mapping[Any, str]) -> list[Finding]:
    """NII009: a folder that was prepared with other names for the label values than the configuration has.

    Args:
        dataset_dir: a prepared folder; one that says no names is left alone.
        labels: name of each label value, as for :func:`check_regions`.
    """
    file = Path(dataset_dir) / "fingerprint.json"
    try:
        prepared = json.loads(file.read_text(encoding="utf-8")).get("labels")
    except (OSError, ValueError, AttributeError):
        return []  # absent or damaged: other checks say what is needed
    ours = {str(value): name for value, name in labels.items()}
    named = prepared.items() if isinstance(prepared, Mapping) else ()
    there = {str(value): name for value, name in named if str(value) != name}  # a number is no name
    other = [f"{value} {there[value]}, not {name}" for value, name in ours.items() if there.get(value, name) != name]
    if not other:
        return []
    message = f"the folder was prepared with the labels {', '.join(other)}"
    return [Finding("NII009", "warning", message, "name --labels as the data have them", file=file.name)]


def check_generator(network: str, fusion: str, view: str) -> list[Finding]:
    """Refuse a way to fuse contrasts, or a view, that the generator of Vox2Vox does not have.

    Returns:
        Nothing; what is wrong is raised.

    Raises:
        ConfigurationError: CFG002.
    """
    if network == "Vox2Vox" and (fusion, view) != ("input", "3d"):
        message = f"fusion is {fusion} and view {view}, but Vox2Vox stacks contrasts and sees blocks in 3D"
        fix = "train another network against the discriminator, --network UNet, or leave both as they are"
        raise ConfigurationError(findings=[Finding("CFG002", "error", message, fix)])
    return []


def _names(key: str, names: Any) -> list[tuple[str, str]]:
    right = isinstance(names, list) and names and all(isinstance(name, str) and name for name in names)
    if right and len(set(names)) == len(names):
        return []
    return [(f"{key} is {names!r}, expected a list of names, each once", f"such as --{key} \"['t1c', 't2f']\"")]


def _labels(labels: Any) -> list[tuple[str, str]]:
    fix = "such as --labels \"{'1': 'lesion'}\""
    if not isinstance(labels, Mapping) or not labels:
        return [(f"labels is {labels!r}, expected a name for each label value", fix)]
    values = [value for value in labels if not (str(value).isdecimal() and 1 <= int(value) <= LARGEST_LABEL)]
    if values:
        return [(f"labels has the values {values}, expected whole numbers from 1 to {LARGEST_LABEL}", fix)]
    return [] if len(set(labels.values())) == len(labels) else _names("labels", list(labels.values()))


def _regions(labels: Any, regions: Any) -> list[tuple[str, str]]:
    fix = "such as --regions \"{'lesion': [1]}\""
    if not isinstance(regions, Mapping) or not regions:
        return [(f"regions is {regions!r}, expected the label values of each region", fix)]
    known = {int(value) for value in labels if str(value).isdecimal()} if isinstance(labels, Mapping) else set()
    wrong = []
    for name, values in regions.items():
        if not isinstance(values, list) or not values or not all(isinstance(value, int) for value in values):
            wrong.append((f"regions::{name} is {values!r}, expected a list of label values", fix))
        elif known and (unknown := sorted(set(values) - known)):
            wrong.append((f"regions::{name} has the values {unknown}, labels has {sorted(known)}", fix))
    uncovered = known - {value for values in regions.values() if isinstance(values, list) for value in values}
    if uncovered and not wrong:
        wrong.append((f"no region has the label values {sorted(uncovered)}: nothing would be learned of them", fix))
    return wrong or [(text, "expected one in the other, or no label in both") for text in crossing(regions)]


def crossing(regions: Mapping[str, Sequence[int]]) -> list[str]:
    """Name regions that share some labels while neither lies in the other: no label map can be painted of them."""
    pairs = itertools.combinations([(name, set(values)) for name, values in regions.items()], 2)
    return [
        f"regions {first} {sorted(ours)} and {second} {sorted(theirs)} cross"
        for (first, ours), (second, theirs) in pairs
        if ours & theirs and not (ours <= theirs or theirs <= ours)
    ]
