"""Several trained networks as one: their probabilities, averaged or combined by a small convolution."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from medbundles.components.networks.builder import network_from_model
from medbundles.components.networks.weights import read_weights_or_advise
from medbundles.components.tensor_file import load_state
from medbundles.errors import ConfigurationError, Finding
from medbundles.io.model_json import MODEL_JSON, Model, read_model

Combination = Literal["mean", "learned"]
CONVOLUTIONS = {2: nn.Conv2d, 3: nn.Conv3d}
# A mean nearer to 0 or 1 than this is taken for it, so that logits stay finite.
LEAST = 1.0e-4
# What the learned combination adds to the members' own weights.
CORRECTION = "correction."


class JoinedNetworks(nn.Module):
    """Ask several networks for the probability of each region, and answer with what they say together.

    ``mean`` averages the probabilities: sigmoids of regions, which may hold each other, or softmaxes of exclusive
    classes, the background's among them. ``learned`` adds to the mean's logits a 3^3 convolution over the probabilities
    of all regions of all members; its weights start from 0, so that it begins exactly as the mean. On logits, because
    there it also learns where all members are certain and wrong. The members never learn and stay in inference mode.

    Source: the ensemble of Vox2Vox (Cirillo et al., arXiv 2003.13653, 2020), ten folds joined by a 3^3 convolution.

    Args:
        networks: descriptions of the members (:func:`medbundles.components.networks.describe_network`), at least one;
            all take the same image and return logits ``(B, out_channels, H, W[, D])``.
        out_channels: channels of the output, one for each region or class.
        in_channels: channels of the input, for whoever reads a description; the members have their own.
        combination: ``mean`` or ``learned``.
        spatial_dims: 2 or 3.
        exclusive: whether the channels are classes of which a voxel has one; the output is the logarithm of their
            probabilities then.

    Raises:
        ConfigurationError: no members, or another combination or number of dimensions; an incomplete description
            (CFG004).
        DataError: a member cannot be built from its arguments (TRN007).
        UntrustedContent: a description names anything but a network class of MONAI or of this package (TRU001).
    """

    def __init__(
        self,
        networks: Sequence[Mapping[str, Any]],
        out_channels: int,
        in_channels: int | None = None,
        combination: Combination = "mean",
        spatial_dims: int = 3,
        exclusive: bool = False,
    ) -> None:
        super().__init__()
        if not networks or combination not in get_args(Combination) or spatial_dims not in CONVOLUTIONS:
            raise ConfigurationError(
                f"joining takes networks, a combination of {get_args(Combination)} and 2 or 3 spatial_dims, found "
                f"{len(networks)} networks, {combination!r} and {spatial_dims}"
            )
        self.members = nn.ModuleList(network_from_model(description) for description in networks)
        self.members.requires_grad_(False).eval()
        self.least = LEAST
        self.exclusive = exclusive
        self.correction: nn.Module | None = None
        if combination == "learned":
            said = len(networks) * out_channels
            self.correction = CONVOLUTIONS[spatial_dims](said, out_channels, kernel_size=3, padding=1)
            for parameter in self.correction.parameters():
                nn.init.zeros_(parameter)

    def train(self, mode: bool = True) -> JoinedNetworks:
        """Let the combination learn; the members stay as at inference."""
        super().train(mode)
        self.members.eval()
        return self

    def forward(self, image: Tensor) -> Tensor:
        """Return logits ``(B, out_channels, H, W[, D])`` in single precision.

        Their sigmoid is the joint probability, of exclusive classes their softmax.

        Args:
            image: ``(B, C, H, W[, D])``, as the members take it.
        """
        said: list[Tensor] = []
        with torch.no_grad():
            for member in self.members:
                logits = member(image).float()
                said += [logits.softmax(dim=1) if self.exclusive else logits.sigmoid()]
        mean = torch.stack(said).mean(dim=0).clamp(self.least, 1.0 - self.least)
        # torch.logit is unknown to OpenVINO.
        joint: Tensor = torch.log(mean) if self.exclusive else torch.log(mean / (1.0 - mean))
        if self.correction is not None:
            joint = joint + self.correction(torch.cat(said, dim=1)).float()
        return joint


def describe_joined(
    networks: Sequence[Mapping[str, Any]],
    in_channels: int,
    out_channels: int,
    combination: Combination = "mean",
    spatial_dims: int = 3,
    exclusive: bool = False,
) -> dict[str, Any]:
    """Return plain data that :func:`medbundles.components.networks.network_from_model` builds joined networks from.

    Args:
        networks: descriptions of the members.
        in_channels: see :class:`JoinedNetworks`.
        out_channels: likewise.
        combination: likewise.
        spatial_dims: likewise.
        exclusive: likewise.
    """
    arguments = {
        "networks": [dict(description) for description in networks],
        "in_channels": in_channels,
        "out_channels": out_channels,
        "combination": combination,
        "spatial_dims": spatial_dims,
        **({"exclusive": True} if exclusive else {}),
    }
    return {
        "name": JoinedNetworks.__name__,
        "target": f"{JoinedNetworks.__module__}.{JoinedNetworks.__qualname__}",
        "arguments": arguments,
        "normalized_channels": None,
        "spatial_dims": spatial_dims,
    }


def read_joined(weights: str | os.PathLike[str] | None) -> Model:
    """Read the ``model.json`` of joined networks.

    Args:
        weights: their ``model.pt``.

    Raises:
        ConfigurationError: no weights are given, or those of a single network (CFG004).
        DataError: ``model.json`` is missing (TRN011), damaged or describes other weights (TRN007).
    """
    fix = "join trained networks by `medbundles join`, and pass its model.pt as --pretrained"
    if weights is None:
        message = "a combination is learned for networks that are joined already; --pretrained names none"
        raise ConfigurationError(findings=[Finding("CFG004", "error", message, fix)])
    model = read_model(weights)
    if model["network"].get("target") != f"{JoinedNetworks.__module__}.{JoinedNetworks.__qualname__}":
        message = f"it describes a single network, {model['network'].get('name')}, where joined ones are needed"
        raise ConfigurationError(findings=[Finding("CFG004", "error", message, fix, file=MODEL_JSON)])
    return model


def learned_description(model: Model) -> dict[str, Any]:
    """Return the description of the same members with a combination that can learn."""
    description: dict[str, Any] = model["network"]
    return {**description, "arguments": {**description["arguments"], "combination": "learned"}}


def learned_combination(weights: str | os.PathLike[str]) -> JoinedNetworks:
    """Build joined networks whose combination can learn, from the mean or from what it has learned already.

    Args:
        weights: ``model.pt`` of joined networks.

    Raises:
        ConfigurationError: weights of another network (TRN007), or of a single one (CFG004).
        DataError: the weights are missing (TRN011) or damaged (TRN007).
        UntrustedContent: the weights are a pickle that would run code (TRU002).
    """
    network = network_from_model(learned_description(read_joined(weights)))
    assert isinstance(network, JoinedNetworks)
    untaught = {name: value for name, value in network.state_dict().items() if name.startswith(CORRECTION)}
    load_state(network, {**untaught, **read_weights_or_advise(weights)}, Path(weights).name)
    return network
