"""Stopping when the loss is no number any more."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ignite.engine import Engine, Events

from medbundles.components.handlers.outputs import case_names, first_output
from medbundles.errors import DataError, Finding


class StopOnNan:
    """Raise as soon as a loss is NaN or infinite, naming the cases of the batch.

    ignite's ``TerminateOnNan`` looks at every tensor of the output, images included, and ends the run as if it were
    done. Here only the losses are looked at, and the last checkpoint, written at the end of an earlier epoch, stays.

    Args:
        keys: losses in the trainer's output.

    Raises:
        DataError: when attached and a loss is not finite (TRN003).
    """

    def __init__(self, keys: Sequence[str] = ("loss",)) -> None:
        self.keys = tuple(keys)

    def attach(self, engine: Engine) -> None:
        """Look at the losses after every iteration of this trainer."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Refuse to go on from a loss that is not finite."""
        output = first_output(engine.state.output)
        for key in self.keys:
            if key in output and not math.isfinite(float(output[key])):
                raise DataError(findings=[self._finding(engine, key, float(output[key]))])

    def _finding(self, engine: Engine, key: str, value: float) -> Finding:
        cases = ", ".join(sorted(set(case_names(engine.state.batch)))) or "unknown"
        message = (
            f"{key} is {value} in epoch {engine.state.epoch}, iteration {engine.state.iteration}; "
            f"cases of the batch: {cases}"
        )
        fix = "look at these cases or lower learning_rate; the checkpoint of the last complete epoch is untouched"
        return Finding("TRN003", "error", message, fix)
