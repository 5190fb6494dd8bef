"""Base of handlers that collect something of every case and write it once."""

from __future__ import annotations

from abc import ABC, abstractmethod

from ignite.engine import Engine, Events


class CollectingHandler(ABC):
    """Collect at every iteration of an engine, write when it is through."""

    def attach(self, engine: Engine) -> None:
        """Collect at every iteration of ``engine`` and write at its end."""
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.collect)
        engine.add_event_handler(Events.COMPLETED, self.write)

    @abstractmethod
    def start(self, engine: Engine) -> None:
        """Forget earlier runs; refuse now what could not be written after hours of work."""

    @abstractmethod
    def collect(self, engine: Engine) -> None:
        """Take what is needed of the engine's output."""

    @abstractmethod
    def write(self, engine: Engine) -> None:
        """Write what was collected."""
