"""Building a network by its name, writing down how it was built, and building it again from that."""

from __future__ import annotations

import functools
import importlib
import inspect
import json
import math
import os
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any

from torch import nn

from medbundles.components.networks.contrast_network import ContrastNetwork
from medbundles.components.networks.input_normalized import InputNormalized
from medbundles.components.networks.weights import load_weights
from medbundles.errors import MISFITS, ConfigurationError, DataError, Finding, UntrustedContent, reason_of

# A description names a class; only classes defined below these packages are ever imported from one.
ALLOWED_PACKAGES = ("monai.networks.nets", "monai.networks.layers", "medbundles.components.networks")

NetworkFactory = Callable[[], nn.Module]


def build_network(
    networks: Mapping[str, NetworkFactory],
    name: str,
    normalized_channels: int | None = None,
    spatial_dims: int = 2,
    pretrained: str | os.PathLike[str] | None = None,
    foreground_prior: float | None = None,
) -> nn.Module:
    """Build the chosen network, and only that one.

    Args:
        networks: name to factory; in a config the entries carry ``_mode_: callable``.
        name: which entry to build.
        normalized_channels: number of input channels to normalize (:class:`InputNormalized`); None leaves it out.
        spatial_dims: 2 or 3, for the normalization.
        pretrained: weights to start from (``model.pt``); None starts from the network's own initialization.
        foreground_prior: what the untrained network shall predict, in (0, 1): the bias of its last convolution is set
            accordingly. Where a hundredth of all pixels is foreground, learning that alone takes thousands of steps
            (source of the idea: Lin et al., Focal Loss for Dense Object Detection, ICCV 2017).

    Raises:
        ConfigurationError: an unknown name, a prior outside of (0, 1) or no bias to set it in, or weights of another
            network (TRN007).
        DataError: the weights are missing (TRN011) or damaged (TRN007).
        UntrustedContent: the weights are a pickle that would run code (TRU002).
    """
    network = _choose(networks, name)()
    if foreground_prior is not None:
        _start_from_prior(network, name, foreground_prior)
    if normalized_channels is not None:
        network = InputNormalized(network, normalized_channels, spatial_dims)
    if pretrained is not None:
        load_weights(network, pretrained)
    return network


def start_from(network: nn.Module, weights: str | os.PathLike[str] | None = None) -> nn.Module:
    """Return the network, with weights to start from where a file is given.

    Args:
        network: built by a configuration.
        weights: such as ``discriminator.pt``; None keeps the network's own initialization.

    Raises:
        ConfigurationError: weights of another network (TRN007).
        DataError: the weights are missing (TRN011) or damaged (TRN007).
        UntrustedContent: the weights are a pickle that would run code (TRU002).
    """
    if weights is not None:
        load_weights(network, weights)
    return network


def describe_network(
    networks: Mapping[str, NetworkFactory], name: str, normalized_channels: int | None = None, spatial_dims: int = 2
) -> dict[str, Any]:
    """Return plain data that :func:`network_from_model` builds the same network from.

    Args:
        networks: name to factory, as for :func:`build_network`.
        name: which entry to describe.
        normalized_channels: as for :func:`build_network`.
        spatial_dims: as for :func:`build_network`.

    Returns:
        ``{"name", "target", "arguments", "normalized_channels", "spatial_dims"}``, ready for ``model.json``.

    Raises:
        ConfigurationError: an unknown name, a class that could not be rebuilt later, or arguments that are not plain
            data.
    """
    factory = _choose(networks, name)
    partial = factory if isinstance(factory, functools.partial) else functools.partial(factory)
    target = f"{partial.func.__module__}.{getattr(partial.func, '__qualname__', '')}"
    try:
        network_class = _trusted_class(target)
    except UntrustedContent as error:
        message = f"network {name}: {target} could not be rebuilt from model.json"
        fix = f"use a network class of {', '.join(ALLOWED_PACKAGES)}"
        raise ConfigurationError(findings=[Finding("CFG002", "error", message, fix)]) from error
    arguments = inspect.signature(network_class).bind_partial(*partial.args, **partial.keywords).arguments
    try:
        plain = json.loads(json.dumps(arguments))
    except TypeError as error:
        raise ConfigurationError(f"network {name}: its arguments are not plain data ({error})") from error
    return {
        "name": name,
        "target": target,
        "arguments": plain,
        "normalized_channels": normalized_channels,
        "spatial_dims": spatial_dims,
    }


def network_from_model(model: Mapping[str, Any]) -> nn.Module:
    """Build the network of a ``model.json``, without weights.

    Args:
        model: the content of ``model.json`` (its key ``network`` is used), or that description itself.

    Raises:
        ConfigurationError: the description is incomplete or names arguments that the class does not have (CFG004).
        DataError: no network can be built from the arguments' values (TRN007).
        UntrustedContent: it names anything but a network class of MONAI or of this package (TRU001).
    """
    description = model.get("network", model)
    if not isinstance(description, Mapping) or not isinstance(description.get("target"), str):
        raise ConfigurationError(findings=[_mismatch("it has no network description", "train again to write one")])
    network_class = _trusted_class(description["target"])
    arguments = description.get("arguments", {})
    if not isinstance(arguments, Mapping):
        raise _damaged(f"network::arguments is {arguments!r}, expected names and values")
    _refuse_paths(arguments)
    try:
        inspect.signature(network_class).bind(**arguments)
    except TypeError as error:
        message = f"{description['target']}: {error}"
        raise ConfigurationError(findings=[_mismatch(message, "use the version of MONAI it was made with")]) from error
    try:
        network = network_class(**arguments)
        channels = description.get("normalized_channels")
        if channels is None:
            return network
        return InputNormalized(network, int(channels), int(description.get("spatial_dims", 2)))
    except MISFITS as error:
        message = f"network {description['target']} cannot be built from its arguments: {reason_of(error)}"
        raise _damaged(message) from error


def _choose(networks: Mapping[str, NetworkFactory], name: str) -> NetworkFactory:
    if name in networks:
        return networks[name]
    near = get_close_matches(name.lower(), [known.lower() for known in networks], n=1, cutoff=0.5)
    suggestion = next((f"; did you mean {known}?" for known in networks if known.lower() in near), "")
    raise ConfigurationError(f"unknown network {name!r}, known: {', '.join(networks)}{suggestion}")


def _start_from_prior(network: nn.Module, name: str, prior: float) -> None:
    if not 0.0 < prior < 1.0:
        raise ConfigurationError(f"foreground_prior of network {name}: {prior} is not between 0 and 1")
    kinds = (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d)
    # A network that joins several answers starts each of them.
    for voice in network.voices() if isinstance(network, ContrastNetwork) else [network]:
        biases = [module.bias for module in voice.modules() if isinstance(module, kinds) and module.bias is not None]
        if not biases:
            raise ConfigurationError(f"foreground_prior of network {name}: it has no convolution with a bias")
        nn.init.constant_(biases[-1], math.log(prior / (1.0 - prior)))


def _trusted_class(target: str) -> type[nn.Module]:
    module_name, _, class_name = target.rpartition(".")
    if not any(module_name == allowed or module_name.startswith(f"{allowed}.") for allowed in ALLOWED_PACKAGES):
        raise _untrusted(target)
    try:
        found = getattr(importlib.import_module(module_name), class_name, None)
    except ModuleNotFoundError as error:
        raise _untrusted(target) from error
    # The prefix alone would let a description reach whatever those modules import themselves.
    if not (inspect.isclass(found) and issubclass(found, nn.Module) and found.__module__.startswith(ALLOWED_PACKAGES)):
        raise _untrusted(target)
    return found


def _refuse_paths(arguments: Mapping[str, Any]) -> None:
    # Some networks load or download weights when they are handed a path; a description never needs one.
    paths = [name for name, value in arguments.items() if isinstance(value, str) and ("/" in value or "\\" in value)]
    if paths:
        message = f"network arguments hold paths: {paths}"
        raise UntrustedContent(findings=[Finding("TRU001", "error", message, "remove them", file="model.json")])


def _untrusted(target: str) -> UntrustedContent:
    message = f"{target!r} is not a network class of {', '.join(ALLOWED_PACKAGES)}"
    return UntrustedContent(findings=[Finding("TRU001", "error", message, "do not use this model", file="model.json")])


def _damaged(message: str) -> DataError:
    fix = "take model.json and the weights from the same run, unedited"
    return DataError(findings=[Finding("TRN007", "error", message, fix, file="model.json")])


def _mismatch(message: str, fix: str) -> Finding:
    return Finding("CFG004", "error", message, fix, file="model.json")
