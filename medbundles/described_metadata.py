"""``metadata.json`` of an exported bundle: the bundle's own, with the channels that its weights have."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from medbundles.io.model_json import classes_of

# What a network's code needs beyond what all bundles need.
NETWORK_PACKAGES = {"SwinUNETR": "einops"}
# The regions whose names the brain tumor bundle's own metadata spell out.
DESCRIBED_REGIONS = ("WT", "TC", "ET")


def described_metadata(text: str, description: Mapping[str, Any]) -> str:
    """Return the text of ``metadata.json`` for weights of other images or classes than the bundle's own training has.

    Args:
        text: the bundle's ``metadata.json``.
        description: content of the weights' ``model.json``.

    Returns:
        The same text, byte for byte, where the channels are those it declares.
    """
    metadata = json.loads(text)
    changed = _with_inputs(metadata, description) | _with_outputs(metadata, description)
    changed |= _with_packages(metadata, description)
    return json.dumps(metadata, indent=2, ensure_ascii=False) + "\n" if changed else text


def _with_inputs(metadata: dict[str, Any], description: Mapping[str, Any]) -> bool:
    """Describe the channels that the network takes; tell whether they are others than the bundle's own."""
    image = metadata.get("network_data_format", {}).get("inputs", {}).get("image", {})
    channels = _arguments(description).get("in_channels")
    names = list(description.get("image_channels") or [])
    own = [str(channel).casefold() for channel in image.get("channel_def", {}).values()]
    same = len(own) == len(names) and all(name.casefold() in text for name, text in zip(names, own, strict=True))
    if channels != len(names) or not own or same:
        return False
    image |= {"num_channels": channels, "channel_def": {str(number): name for number, name in enumerate(names)}}
    return True


def _with_outputs(metadata: dict[str, Any], description: Mapping[str, Any]) -> bool:
    """Describe the regions or classes that the network tells apart; tell whether they are others."""
    output = metadata.get("network_data_format", {}).get("outputs", {}).get("pred", {})
    channels = _arguments(description).get("out_channels")
    regions = description.get("regions")
    names = list(regions or classes_of(dict(description)))
    same = output.get("num_channels") in (None, channels) and (not regions or names == list(DESCRIBED_REGIONS))
    if channels != len(names) or same:
        return False
    output |= {"num_channels": channels, "channel_def": {str(k): f"{name} (logit)" for k, name in enumerate(names)}}
    classes = ", ".join(f"{value}: {name}" for value, name in sorted(description["labels"].items()))
    metadata |= {"label_classes": classes, "pred_classes": f"logits of {', '.join(names)}" if regions else classes}
    return True


def _with_packages(metadata: dict[str, Any], description: Mapping[str, Any]) -> bool:
    """Require what this network needs and the bundle's other ones do not; tell whether there is such."""
    packages = metadata.get("required_packages_version", {})
    needed = {name: package for name, package in NETWORK_PACKAGES.items() if f'"{name}"' in json.dumps(description)}
    missing = set(needed.values()) - set(packages)
    packages |= {package: version(package) for package in sorted(missing)}
    return bool(missing)


def _arguments(description: Mapping[str, Any]) -> Mapping[str, Any]:
    arguments = description["network"].get("arguments")
    return arguments if isinstance(arguments, Mapping) else {}
