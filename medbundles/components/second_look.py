"""The second network of a model, built from ``model.json`` as inference needs it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from medbundles.components.networks import load_weights, network_from_model
from medbundles.components.transforms.rescore_findings import RescoreFindingsd
from medbundles.errors import ConfigurationError, DataError, Finding
from medbundles.io.hashing import sha256_file

KEY = "second_stage"
SETTINGS = ("auto", "none")


def second_look(
    model: Mapping[str, Any],
    weights_file: str | os.PathLike[str],
    setting: str | None = "auto",
    device: str | torch.device = "cpu",
) -> RescoreFindingsd:
    """Return the transform that judges findings again; one that changes nothing where the model has no second network.

    It writes over the probabilities it is given, where it can.

    Args:
        model: the content of ``model.json``; what describes the second network lies under ``postprocessing``.
        weights_file: the first network's weights; those of the second lie beside them.
        setting: ``auto`` uses the second network of a model that has one, ``none`` (or None) leaves it out.
        device: where the second network computes.

    Raises:
        ConfigurationError: an unknown setting (CFG002), or weights of another network (TRN007).
        DataError: the second network's weights are missing (TRN011), damaged or not those of this model (TRN007).
        UntrustedContent: the weights hold more than tensors (TRU002).
    """
    if setting is not None and setting not in SETTINGS:
        message = f"second_stage is {setting!r}, expected auto or none"
        raise ConfigurationError(findings=[Finding("CFG002", "error", message, "correct it")])
    description = model.get("postprocessing", {}).get(KEY)
    candidate_threshold = model["thresholds"]["candidate_threshold"]
    if not description or setting in (None, "none"):
        return RescoreFindingsd(None, candidate_threshold)
    path = Path(weights_file).with_name(description["file"])
    _refuse_others(path, model)
    network = network_from_model(description["network"])
    load_weights(network, path)
    cubes = {"size": description["size"], "spacings_mm": description["spacings_mm"]}
    window = model["preprocessing"]["window_hu"]
    return RescoreFindingsd(
        network.to(device), candidate_threshold, **cubes, fill=window[0], window=window, in_place=True
    )


def _refuse_others(path: Path, model: Mapping[str, Any]) -> None:
    fix = "copy all files of the run, or pass --second_stage none"
    if not path.is_file():
        message = f"no {path.name} beside model.json, which names it"
        raise DataError(findings=[Finding("TRN011", "error", message, fix, file=path.name)])
    expected = model["files"].get(path.name)
    if expected is not None and sha256_file(path) != expected:
        message = f"{path.name} is not the file that model.json describes (SHA-256 differs)"
        raise DataError(findings=[Finding("TRN007", "error", message, fix, file=path.name)])
