"""Loading weights when an engine starts."""

from __future__ import annotations

import os

from ignite.engine import Engine, Events
from torch import nn

from medbundles.components.networks import load_weights


class LoadWeights:
    """Load a weights file into a network at the start of an engine's run.

    MONAI's ``CheckpointLoader`` skips differing keys silently when told to and raises torch's own texts; this names
    the file and the first differing keys.

    Args:
        network: the network to fill.
        path: ``model.pt``.
    """

    def __init__(self, network: nn.Module, path: str | os.PathLike[str]) -> None:
        self.network = network
        self.path = path

    def attach(self, engine: Engine) -> None:
        """Load when ``engine`` starts."""
        engine.add_event_handler(Events.STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Load the weights.

        Raises:
            DataError: the file is missing (TRN011) or damaged (TRN007).
            ConfigurationError: the weights belong to another network (TRN007).
            UntrustedContent: the file is a pickle that would run code (TRU002).
        """
        load_weights(self.network, self.path)
