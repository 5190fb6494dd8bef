"""The second network of a model, built from ``model.json`` as inference needs it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import torch

from medbundles.components.companion import companion_network
from medbundles.components.transforms.rescore_findings import RescoreFindingsd

KEY = "second_stage"


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
    network = companion_network(model, KEY, weights_file, setting)
    candidate_threshold = model["thresholds"]["candidate_threshold"]
    if network is None:
        return RescoreFindingsd(None, candidate_threshold)
    description = model["postprocessing"][KEY]
    cubes = {"size": description["size"], "spacings_mm": description["spacings_mm"]}
    window = model["preprocessing"]["window_hu"]
    return RescoreFindingsd(
        network.to(device), candidate_threshold, **cubes, fill=window[0], window=window, in_place=True
    )
