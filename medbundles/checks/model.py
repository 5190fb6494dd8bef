"""CFG004: what ``model.json`` says must be possible and must agree with itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from medbundles.checks.config_values import RULES
from medbundles.errors import Finding

PARTS = ("preprocessing", "postprocessing", "thresholds")


def check_description(model: Mapping[str, Any], file: str = "model.json") -> list[Finding]:
    """Check the values that inference takes from ``model.json``, before anything is computed with them.

    Args:
        model: its content; the values of ``preprocessing`` and ``thresholds`` are judged as the keys of the same name.
        file: the name to report.

    Returns:
        One error for each value that cannot be meant.
    """
    fix = "take model.json and the weights from the same run, unedited"
    wrong = [
        f"{part}::{key} is {value!r}, expected {RULES[key].expected}"
        for part in PARTS
        for key, value in (model.get(part) or {}).items()
        # Where a key may be null to mean "as model.json says", model.json itself has to say it.
        if key in RULES and (value is None or not RULES[key].fits(value))
    ]
    wrong += _check_channels(model) + _check_labels(model)
    return [Finding("CFG004", "error", text, fix, file=file) for text in wrong]


def _check_channels(model: Mapping[str, Any]) -> list[str]:
    """Compare the network's input channels with what it is fed: every image, slice by slice where it takes stacks."""
    images = model.get("image_channels", [])
    if "image_channels" in model and not _are_names(images):
        return [f"image_channels is {images!r}, expected a list of names"]
    channels, slices = _input_channels(model["network"]), model["preprocessing"].get("slices")
    said = [f"preprocessing::slices is {slices!r}"] if isinstance(slices, int) else []
    said += [f"image_channels names {len(images)}"] if images and (len(images) > 1 or not said) else []
    fed = max(1, len(images)) * (slices if isinstance(slices, int) else 1)
    if channels is None or not said or fed == channels:
        return []
    return [f"{' and '.join(said)}, but the network has {channels!r} input channels"]


def _check_labels(model: Mapping[str, Any]) -> list[str]:
    """Compare the labels with the network's output channels, one each, the background's among them or not.

    A network without labels makes an image.
    """
    labels, arguments = model.get("labels", {}), model["network"].get("arguments")
    if not all(str(value).isdecimal() for value in labels):
        return [f"labels are {sorted(labels)}, expected whole numbers"]
    channels = arguments.get("out_channels") if isinstance(arguments, Mapping) else None
    if not labels or not isinstance(channels, int) or len(labels) - channels in (0, 1):
        return []
    return [f"labels names {len(labels)} values, but the network has {channels} output channels"]


def _are_names(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(name, str) for name in value)


def _input_channels(network: Mapping[str, Any]) -> Any:
    arguments = network.get("arguments")
    return arguments.get("in_channels") if isinstance(arguments, Mapping) else None
