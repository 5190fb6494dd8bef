"""A running average of a network's weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from ignite.engine import Engine, Events
from ignite.handlers import EMAHandler
from torch import nn

from medbundles.components.networks.unwrap import unwrapped

MOMENTUM_NAME = "average_momentum"


class _EMAHandler(EMAHandler):
    """Ignite's, with all tensors of a network in two calls instead of two calls a tensor: a twentieth of a step."""

    @torch.no_grad()
    def _update_ema_model(self, engine: Engine, name: str) -> None:
        momentum = getattr(engine.state, name)
        averaged = [*self.ema_model.parameters(), *self.ema_model.buffers()]
        current = [*self.model.parameters(), *self.model.buffers()]
        pairs = [pair for pair in zip(averaged, current, strict=True) if pair[0].is_floating_point()]
        torch._foreach_mul_([old for old, _ in pairs], 1.0 - momentum)
        torch._foreach_add_([old for old, _ in pairs], [new.detach() for _, new in pairs], alpha=momentum)
        for old, new in zip(averaged, current, strict=True):
            if not old.is_floating_point():
                old.copy_(new)


class WeightAverage:
    """Exponential moving average of a network, on ignite's ``EMAHandler``.

    After every iteration ``average = decay * average + (1 - decay) * weights``; floating-point buffers such as the
    running statistics of batch normalization are averaged too, integer ones copied. In the first iterations the decay
    is held below ``(1 + n) / (10 + n)`` after ``n`` iterations, so that the average forgets the initial weights.

    In a configuration: validate with ``"$@ema.model"``, give ``"@ema"`` to the checkpoint's ``objects``.

    Args:
        network: the network being trained, wrapped for distributed training or not.
        decay: share of the old average that is kept at each iteration, in [0, 1); 0 switches averaging off.
        name: attribute of ``engine.state`` that shows the momentum; another one for each average of a trainer.

    Attributes:
        model: the averaged network, or the network itself when averaging is off.
    """

    def __init__(self, network: nn.Module, decay: float = 0.0, name: str = MOMENTUM_NAME) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"decay must be in [0, 1), got {decay}")
        self.decay = decay
        self.name = name
        self.network = unwrapped(network)
        self._handler = _EMAHandler(self.network, momentum=1 - decay, handle_buffers="update") if decay > 0 else None
        self.model: nn.Module = self.network if self._handler is None else self._handler.ema_model

    def attach(self, engine: Engine) -> None:
        """Average after every iteration of this trainer."""
        if self._handler is None:
            return
        engine.add_event_handler(Events.ITERATION_STARTED(once=1), self._start_from_the_network)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._choose_momentum)
        self._handler.attach(engine, name=self.name, warn_if_exists=False)

    def state_dict(self) -> dict[str, Any]:
        """Return the averaged weights; empty when averaging is off."""
        return {} if self._handler is None else dict(self.model.state_dict())

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the averaged weights; an empty state starts from the network's weights."""
        if self._handler is not None:
            self.model.load_state_dict(state or self.network.state_dict())

    def _start_from_the_network(self) -> None:
        # Pretrained weights are loaded after this average was made. A resumed run never sees its first iteration again.
        self.model.load_state_dict(self.network.state_dict())

    def _choose_momentum(self, engine: Engine) -> None:
        iteration = int(engine.state.iteration)
        setattr(engine.state, self.name, max(1 - self.decay, 9 / (10 + iteration)))
