"""What every network architecture must be able to do so that contrasts can be fused in it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from medbundles.errors import ConfigurationError

Arguments = Mapping[str, Any]


class Backbone(ABC):
    """A family of encoder-decoder networks: as a whole, and taken apart into an encoder's stages and a decoder.

    Attributes:
        name: as in a configuration.
        defaults: every argument there is, with its default.
        width_name: the argument that says how many channels the first stage has; other widths follow it.
        scriptable: whether TorchScript can express it.
    """

    name: str
    defaults: Arguments
    width_name: str
    scriptable: bool = True

    def complete(self, arguments: Arguments | None) -> dict[str, Any]:
        """Return the arguments with defaults for those not given.

        Raises:
            ConfigurationError: a name that this backbone does not have.
        """
        given = dict(arguments or {})
        unknown = sorted(set(given) - set(self.defaults))
        if unknown:
            known = ", ".join(self.defaults)
            raise ConfigurationError(f"network {self.name} has no argument {', '.join(unknown)}; known: {known}")
        return {**self.defaults, **given}

    def width(self, arguments: Arguments) -> int:
        """Return the channels of the first stage."""
        found = arguments[self.width_name]
        return int(found[0] if isinstance(found, Sequence) else found)

    def with_width(self, arguments: Arguments, width: int) -> dict[str, Any]:
        """Return arguments of a network that is narrower (or wider) everywhere by the same factor."""
        found = arguments[self.width_name]
        if isinstance(found, Sequence):
            return {**arguments, self.width_name: scaled(found, width, self.width(arguments))}
        return {**arguments, self.width_name: width}

    @abstractmethod
    def multiple(self, arguments: Arguments) -> int:
        """Return what the sizes of an image must be multiples of."""

    @abstractmethod
    def channels(self, arguments: Arguments) -> list[int]:
        """Return the channels after each of the encoder's stages."""

    @abstractmethod
    def whole(self, spatial_dims: int, in_channels: int, out_channels: int, arguments: Arguments) -> nn.Module:
        """Return the network: ``(B, in_channels, H, W[, D])`` to logits ``(B, out_channels, H, W[, D])``."""

    @abstractmethod
    def stages(self, spatial_dims: int, arguments: Arguments) -> list[nn.Module]:
        """Return an encoder of one input channel; each stage takes what the one before gives."""

    @abstractmethod
    def decoder(self, spatial_dims: int, out_channels: int, arguments: Arguments) -> nn.Module:
        """Return a module from the list of all stages' features, finest first, to logits."""


def scaled(widths: Sequence[int], width: int, first: int) -> list[int]:
    """Return widths multiplied by ``width / first``, each at least 1."""
    return [max(1, round(each * width / first)) for each in widths]
