"""Validation at the first epoch, every so many epochs, and the last."""

from __future__ import annotations

from typing import Any

from ignite.engine import Engine, Events

from medbundles.components.handlers.events import TrainingEvents, register_training_events, track_validations
from medbundles.errors import ConfigurationError


class ScheduledValidation:
    """Run an evaluator at the end of epoch 1, of every ``interval``-th epoch and of the last one.

    List it after the handlers that end an epoch's training (learning-rate schedules), so that a validation that
    crashes finds their state saved. A run resumed after such a crash validates the epoch first, then goes on.

    Args:
        evaluator: a MONAI evaluator.
        interval: epochs between validations, at least 1.
        first: whether epoch 1 is validated whatever the interval: mistakes show early, and a best model exists.

    Raises:
        ConfigurationError: an interval below 1.
    """

    def __init__(self, evaluator: Any, interval: int, first: bool = True) -> None:
        if interval < 1:
            raise ConfigurationError(f"the validation interval must be at least 1 epoch, got {interval}")
        self.evaluator = evaluator
        self.interval = interval
        self.first = first

    def attach(self, engine: Engine) -> None:
        """Validate at the ends of this trainer's epochs."""
        register_training_events(engine)
        track_validations(self.evaluator)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)
        engine.add_event_handler(TrainingEvents.RESTORED, self._make_up_for_a_crash)

    def is_due(self, epoch: int, max_epochs: int | None) -> bool:
        """Tell whether the end of an epoch (counted from 1) is validated."""
        return epoch % self.interval == 0 or (self.first and epoch == 1) or epoch == max_epochs

    def __call__(self, engine: Engine) -> None:
        """Validate when it is due, unless the user asked to stop."""
        epoch = int(engine.state.epoch)
        if self.is_due(epoch, engine.state.max_epochs) and not getattr(engine.state, "interrupted", False):
            self.evaluator.run(epoch)

    def _make_up_for_a_crash(self, engine: Engine) -> None:
        if 0 < engine.state.epoch != self.evaluator.state.validated_epoch:
            self(engine)
