"""A second network of a model, whose weights lie beside the first one's: built from ``model.json``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from medbundles.components.networks import load_weights, network_from_model
from medbundles.errors import ConfigurationError, DataError, Finding
from medbundles.io.hashing import sha256_file

SETTINGS = ("auto", "none")


def companion_network(
    model: Mapping[str, Any], key: str, weights_file: str | os.PathLike[str], setting: str | None = "auto"
) -> nn.Module | None:
    """Return the second network of a model in inference mode; None where it has none or it is left out.

    Args:
        model: the content of ``model.json``; ``postprocessing::KEY`` has the network's description and ``file``.
        key: what the second network is called there, and what the option is called that leaves it out.
        weights_file: the first network's weights; those of the second lie beside them.
        setting: ``auto`` takes the second network of a model that has one, ``none`` (or None) leaves it out.

    Raises:
        ConfigurationError: an unknown setting (CFG002), or weights of another network (TRN007).
        DataError: the second network's weights are missing (TRN011), damaged or not those of this model (TRN007).
        UntrustedContent: the weights hold more than tensors (TRU002).
    """
    if setting is not None and setting not in SETTINGS:
        message = f"{key} is {setting!r}, expected auto or none"
        raise ConfigurationError(findings=[Finding("CFG002", "error", message, "correct it")])
    description = (model.get("postprocessing") or {}).get(key)
    if not description or setting in (None, "none"):
        return None
    path = Path(weights_file).with_name(description["file"])
    _refuse_others(path, model, f"copy all files of the run, or pass --{key} none")
    network = network_from_model(description["network"])
    load_weights(network, path)
    return network.eval()


def _refuse_others(path: Path, model: Mapping[str, Any], fix: str) -> None:
    if not path.is_file():
        message = f"no {path.name} beside model.json, which names it"
        raise DataError(findings=[Finding("TRN011", "error", message, fix, file=path.name)])
    expected = model["files"].get(path.name)
    if expected is not None and sha256_file(path) != expected:
        message = f"{path.name} is not the file that model.json describes (SHA-256 differs)"
        raise DataError(findings=[Finding("TRN007", "error", message, fix, file=path.name)])
