"""Events that this package adds to ignite's, and what is remembered about validations."""

from __future__ import annotations

from typing import Any

from ignite.engine import Engine, EventEnum, Events


class TrainingEvents(EventEnum):
    """What handlers of a trainer may wait for besides ignite's own events.

    Attributes:
        RESTORED: the state of an earlier run has been loaded; ``engine.state.epoch`` epochs are behind it.
        WEIGHTS_WRITTEN: ``model.pt`` (and the other weight files) were replaced by better ones.
    """

    RESTORED = "restored"
    WEIGHTS_WRITTEN = "weights_written"


def register_training_events(trainer: Engine) -> None:
    """Make :class:`TrainingEvents` known to a trainer; harmless when done before."""
    if not trainer.has_registered_events(TrainingEvents.RESTORED):
        trainer.register_events(*TrainingEvents)


def track_validations(evaluator: Any) -> None:
    """Let an evaluator remember the last epoch it validated completely, in ``state.validated_epoch`` (0: none).

    ``state.epoch`` alone does not tell: an interrupted validation sets it, too.
    """
    if hasattr(evaluator.state, "validated_epoch"):
        return
    evaluator.state.validated_epoch = 0
    evaluator.add_event_handler(Events.EPOCH_COMPLETED, _remember_validation)


def _remember_validation(evaluator: Any) -> None:
    evaluator.state.validated_epoch = evaluator.state.epoch
