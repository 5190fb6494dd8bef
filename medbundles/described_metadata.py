"""``metadata.json`` of an exported bundle: the bundle's own, with the output channels that its weights have."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from medbundles.io.model_json import classes_of


def described_metadata(text: str, description: Mapping[str, Any]) -> str:
    """Return the text of ``metadata.json`` for weights of other classes than the bundle's own training has.

    Args:
        text: the bundle's ``metadata.json``.
        description: content of the weights' ``model.json``.

    Returns:
        The same text, byte for byte, where the number of output channels is the one it declares.
    """
    metadata = json.loads(text)
    output = metadata.get("network_data_format", {}).get("outputs", {}).get("pred", {})
    arguments = description["network"].get("arguments")
    channels = arguments.get("out_channels") if isinstance(arguments, Mapping) else None
    names = list(classes_of(dict(description)))
    if channels != len(names) or output.get("num_channels") in (None, channels):
        return text
    output |= {"num_channels": channels, "channel_def": {str(k): f"{name} (logit)" for k, name in enumerate(names)}}
    classes = ", ".join(f"{value}: {name}" for value, name in sorted(description["labels"].items()))
    metadata |= {"label_classes": classes, "pred_classes": classes}
    return json.dumps(metadata, indent=2, ensure_ascii=False) + "\n"
