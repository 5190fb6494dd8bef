"""Keeping a single bad batch from throwing the weights far off."""

from __future__ import annotations

from typing import Any

import torch
from ignite.engine import Engine
from monai.engines.utils import IterationEvents

from medbundles.errors import ConfigurationError


class GradientClip:
    """Scale gradients down to a largest norm before every step of MONAI's ``SupervisedTrainer``.

    With a gradient scaler (mixed precision on a GPU) the gradients are brought to their true size first.

    Args:
        optimizer: whose weights' gradients are meant, all of them together.
        largest_norm: gradients of a larger Euclidean norm are scaled down to it; None leaves them alone.

    Raises:
        ConfigurationError: a norm that is not above 0.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, largest_norm: float | None = 1.0) -> None:
        if largest_norm is not None and not largest_norm > 0.0:
            raise ConfigurationError(f"gradient_clip is a norm above 0 or null, found {largest_norm}")
        self.optimizer = optimizer
        self.largest_norm = largest_norm

    def attach(self, engine: Engine) -> None:
        """Clip between this trainer's backward passes and its steps."""
        if self.largest_norm is not None:
            engine.add_event_handler(IterationEvents.BACKWARD_COMPLETED, self)

    def __call__(self, engine: Any) -> None:
        """Clip the gradients of this iteration."""
        if self.largest_norm is None:
            return
        scaler = getattr(engine, "scaler", None)
        if scaler is not None:
            scaler.unscale_(self.optimizer)
        weights = [weight for group in self.optimizer.param_groups for weight in group["params"]]
        torch.nn.utils.clip_grad_norm_(weights, self.largest_norm)
