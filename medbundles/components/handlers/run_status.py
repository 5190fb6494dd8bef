"""Telling the run record how far a run came and what ended it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ignite.engine import Engine, Events

if TYPE_CHECKING:
    from medbundles.components.workflows import RunSession


class RunStatus:
    """Note the epochs and iterations that are done, and record an exception that ends the engine's run.

    An exception is passed on unchanged. Other handlers may replace it first (a worker that a signal killed becomes an
    interruption), so this one is asked last; what it never sees, the session records when the process ends.

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
        if not engine.has_event_handler(self._record, Events.EXCEPTION_RAISED):
            engine.add_event_handler(Events.EXCEPTION_RAISED, self._record)

    def _count(self, engine: Engine) -> None:
        self.session.note(epochs=int(engine.state.epoch), iterations=int(engine.state.iteration))

    def _record(self, error: BaseException) -> None:
        self.session.fail(error)
        raise error
