"""Stopping in good order when the user or the system asks for it."""

from __future__ import annotations

import logging
import os
import signal
import threading
from types import FrameType
from typing import Any

import ignite.distributed as idist
from ignite.engine import Engine, Events

from medbundles.errors import Interrupted

SIGNALS = (signal.SIGINT, signal.SIGTERM)
logger = logging.getLogger(__name__)


class StopOnSignal:
    """On SIGINT or SIGTERM finish the iteration and end the run; a second signal acts at once.

    Nothing is saved in the middle of an epoch: the checkpoint of the last complete epoch stays, and a resumed run
    starts the interrupted epoch from its beginning. That costs part of an epoch and keeps a resumed run bit-equal to
    one that was never stopped. A stop during a validation gives up the validation; it is made up for on resuming.

    ``engine.state.interrupted`` says afterwards whether the run was stopped. In a group of processes, where the signal
    reaches each at another iteration, all stop after the same one. Outside the main thread, where Python allows no
    signal handlers, this does nothing.

    Args:
        evaluator: an evaluator that the trainer runs, to be stopped as well.
    """

    def __init__(self, evaluator: Any = None) -> None:
        self.evaluator = evaluator
        self._previous: dict[int, Any] = {}
        self._received = False
        self._process = 0

    def attach(self, engine: Any) -> None:
        """Watch for signals while this trainer runs."""
        engine.state.interrupted = False
        engine.add_event_handler(Events.STARTED, self._watch)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._stop_together)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._stop_together)
        engine.add_event_handler(Events.COMPLETED, self._unwatch)
        engine.add_event_handler(Events.EXCEPTION_RAISED, self._explain)
        if self.evaluator is not None:
            self.evaluator.add_event_handler(Events.ITERATION_COMPLETED, self._stop_validation, engine)

    def _watch(self, engine: Any) -> None:
        engine.state.interrupted = False
        self._received = False
        self._process = os.getpid()
        if threading.current_thread() is threading.main_thread():
            self._previous = {number: signal.signal(number, self._receive) for number in SIGNALS}

    def _unwatch(self, _: Engine | None = None) -> None:
        for number, previous in self._previous.items():
            signal.signal(number, previous)
        self._previous = {}

    def _receive(self, number: int, _: FrameType | None) -> None:
        if os.getpid() != self._process:
            self._receive_in_worker(number)
            return
        self._received = True
        self._unwatch()
        logger.warning("%s: finishing the iteration; once more to end at once", signal.Signals(number).name)

    @staticmethod
    def _receive_in_worker(number: int) -> None:
        """Act as a forked loader worker: Ctrl-C reaches it too, but the trainer still waits for its batches."""
        if number == signal.SIGTERM:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    def _stop_together(self, trainer: Any) -> None:
        received = self._received
        if idist.get_world_size() > 1:
            received = bool(idist.all_reduce(int(received), op="MAX"))
        if received:
            trainer.state.interrupted = True
            trainer.terminate()

    def _stop_validation(self, evaluator: Engine, trainer: Engine) -> None:
        # Processes may validate different numbers of cases, so a group can only agree between validations.
        if self._received and idist.get_world_size() == 1:
            evaluator.terminate()
            self._stop_together(trainer)

    def _explain(self, error: BaseException) -> None:
        """Pass an exception on, as an interruption when the signal caused it by ending a loader's worker."""
        received = self._received
        self._unwatch()
        if received and isinstance(error, RuntimeError) and "DataLoader worker" in str(error):
            raise Interrupted("interrupted; the checkpoint of the last complete epoch is untouched") from error
        raise error
