"""Stopping when validation no longer improves."""

from __future__ import annotations

import logging
from typing import Any, cast

import ignite.distributed as idist
from ignite.engine import Engine, Events

from medbundles.components.handlers.events import TrainingEvents, register_training_events, track_validations
from medbundles.errors import ConfigurationError

COUNTER = "validations_without_improvement"
BEST_SO_FAR = "best_metric_so_far"
logger = logging.getLogger(__name__)


class EarlyStop:
    """End training when the evaluator's key metric has not improved for ``patience`` validations.

    The count is kept in the evaluator's state, which :class:`ResumableCheckpoint` saves: a resumed run goes on
    counting. In a group of processes the writer's count decides, so all stop together.

    Args:
        patience: validations without improvement; 0 never stops.
        evaluator: the MONAI evaluator whose key metric counts.

    Raises:
        ConfigurationError: a negative patience.
    """

    def __init__(self, patience: int, evaluator: Any) -> None:
        if patience < 0:
            raise ConfigurationError(f"patience must be 0 (off) or a number of validations, got {patience}")
        self.patience = patience
        self.evaluator = evaluator

    def attach(self, engine: Engine) -> None:
        """Stop this trainer; ``engine`` is the trainer, not the evaluator."""
        if self.patience == 0:
            return
        register_training_events(engine)
        track_validations(self.evaluator)
        setattr(self.evaluator.state, COUNTER, 0)
        setattr(self.evaluator.state, BEST_SO_FAR, None)
        self.evaluator.state_dict_user_keys.extend([COUNTER, BEST_SO_FAR])
        self.evaluator.add_event_handler(Events.EPOCH_COMPLETED, self._count, engine)
        engine.add_event_handler(TrainingEvents.RESTORED, self._stop_when_out_of_patience)

    def _count(self, evaluator: Any, trainer: Engine) -> None:
        # Of equal scores the later is kept as the best, but nothing got better.
        best, before = evaluator.state.best_metric, getattr(evaluator.state, BEST_SO_FAR)
        improved = best == best and best != before  # NaN is no improvement
        setattr(evaluator.state, BEST_SO_FAR, evaluator.state.best_metric)
        count = 0 if improved else getattr(evaluator.state, COUNTER) + 1
        count = int(cast(float, idist.broadcast(float(count), src=0)))
        setattr(evaluator.state, COUNTER, count)
        self._stop_when_out_of_patience(trainer)

    def _stop_when_out_of_patience(self, trainer: Engine) -> None:
        count = getattr(self.evaluator.state, COUNTER)
        if count >= self.patience:
            logger.info("no improvement in %d validations: training ends at epoch %d", count, trainer.state.epoch)
            trainer.terminate()
