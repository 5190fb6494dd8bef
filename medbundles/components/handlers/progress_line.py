"""Showing that long work goes on."""

from __future__ import annotations

import atexit
import logging
import sys
import time
from typing import Any

from ignite.engine import Engine, Events

from medbundles.components.distributed import is_writer
from medbundles.components.handlers.outputs import first_output

logger = logging.getLogger(__name__)


class ProgressLine:
    """A bar on a terminal; otherwise one line in the log for each epoch and each validation.

    Args:
        evaluator: the evaluator that the trainer runs, to show its progress and its scores, too.
        loss: the loss of the trainer's output that is shown.
        terminal: whether there is a terminal; the default looks at the standard error stream.
    """

    def __init__(self, evaluator: Any = None, loss: str = "loss", terminal: bool | None = None) -> None:
        self.evaluator = evaluator
        self.loss = loss
        self.terminal = sys.stderr.isatty() if terminal is None else terminal
        self._bar: Any = None
        self._tasks: dict[str, Any] = {}
        self._started = 0.0
        self._total: float | None = 0.0
        self._iterations = 0

    def attach(self, engine: Engine) -> None:
        """Show the progress of this engine."""
        if not is_writer():
            return
        engine.add_event_handler(Events.EPOCH_STARTED, self._start, "epoch")
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._advance, "epoch")
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._add_loss)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._report_epoch)
        engine.add_event_handler(Events.COMPLETED, self._close)
        if self.evaluator is not None:
            self.evaluator.add_event_handler(Events.EPOCH_STARTED, self._start, "validation")
            self.evaluator.add_event_handler(Events.ITERATION_COMPLETED, self._advance, "validation")
            self.evaluator.add_event_handler(Events.EPOCH_COMPLETED, self._report_validation)

    def _start(self, engine: Engine, name: str) -> None:
        if name == "epoch":
            self._started, self._total, self._iterations = time.perf_counter(), 0.0, 0
        if not self.terminal:
            return
        if self._bar is None:
            from rich.console import Console
            from rich.progress import Progress

            self._bar = Progress(console=Console(stderr=True, force_terminal=True), transient=True)
            self._bar.start()
            # A bar that an exception leaves behind would leave the terminal without a cursor.
            atexit.register(self._bar.stop)
        for task in self._tasks.values():
            self._bar.remove_task(task)
        self._tasks = {name: self._bar.add_task(f"{name} {engine.state.epoch}", total=engine.state.epoch_length)}

    def _advance(self, _: Engine, name: str) -> None:
        if self._bar is not None and name in self._tasks:
            self._bar.advance(self._tasks[name])

    def _add_loss(self, engine: Engine) -> None:
        self._iterations += 1
        loss = first_output(engine.state.output).get(self.loss)
        self._total = None if loss is None or self._total is None else self._total + float(loss)

    def _report_epoch(self, engine: Engine) -> None:
        seconds = time.perf_counter() - self._started
        if self._total is None:  # an evaluation or inference: its one epoch goes through the cases
            logger.info("%d case(s) in %.1f s", self._iterations, seconds)
            return
        loss = self._total / max(self._iterations, 1)
        logger.info("epoch %d/%d: loss %.4g, %.1f s", engine.state.epoch, engine.state.max_epochs, loss, seconds)

    def _report_validation(self, evaluator: Any) -> None:
        scores = ", ".join(
            f"{name} {float(value):.4g}" for name, value in evaluator.state.metrics.items() if _is_scalar(value)
        )
        state = evaluator.state
        known = state.best_metric_epoch > 0
        best = f"; best {state.best_metric:.4g} at epoch {state.best_metric_epoch}" if known else ""
        logger.info("validation %d: %s%s", state.epoch, scores, best)

    def _close(self, _: Engine) -> None:
        if self._bar is not None:
            atexit.unregister(self._bar.stop)
            self._bar.stop()
            self._bar, self._tasks = None, {}


def _is_scalar(value: Any) -> bool:
    return isinstance(value, int | float) or (hasattr(value, "numel") and value.numel() == 1)
