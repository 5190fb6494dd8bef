"""Telling the run record how far a run came and what ended it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from ignite.engine import Engine, Events

if TYPE_CHECKING:
    from medbundles.components.workflows import RunSession


class RunStatus:
    """Note the epochs and iterations that are done, and record an exception that ends the engine's run.

    An exception that means something to the user, such as memory that ran out, is passed on as the refusal it is, any
    other unchanged. Other handlers may replace it first (a worker that a signal killed becomes an interruption), so
    this one is asked last; what it never sees, the session explains and records when the process ends.

    Args:
        session: the run's session.
    """

    def __init__(self, session: RunSession) -> None:
        self.session = session

    def attach(self, engine: Engine) -> None:
        """Watch an engine."""
        engine.add_event_handler(Events.STARTED, self._watch)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._count)

    def _watch(self, engine: Engine) -> None:
        self.session.engine = engine
        engine.logger.addFilter(_is_no_exception)
        if not engine.has_event_handler(self._record, Events.EXCEPTION_RAISED):
            engine.add_event_handler(Events.EXCEPTION_RAISED, self._record)

    def _count(self, engine: Engine) -> None:
        self.session.note(epochs=int(engine.state.epoch), iterations=int(engine.state.iteration))

    def _record(self, error: BaseException) -> None:
        told = self.session.explained(error)
        self.session.fail(told)
        if told is error:
            raise error
        raise told from error


def _is_no_exception(entry: logging.LogRecord) -> bool:
    """Leave out ignite's announcement of an exception: it is told where the program ends, not three times."""
    return "terminating due to exception" not in str(entry.msg)
