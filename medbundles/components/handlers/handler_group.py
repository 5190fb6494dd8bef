"""Handlers by name."""

from __future__ import annotations

from typing import Any

from ignite.engine import Engine


class HandlerGroup:
    """Attach several handlers, in the order they are written.

    MONAI demands that ``train::handlers`` is a list, and overlays can reach a list's items by position only. A list
    with this one item gives every handler a name::

        handlers:
          - _target_: medbundles.components.handlers.HandlerGroup
            reseed: {_target_: medbundles.components.handlers.EpochReseed, seed: "@seed"}
            checkpoint: {_target_: medbundles.components.handlers.ResumableCheckpoint, ...}

    Args:
        **handlers: objects with ``attach(engine)``; ``None`` (what ``_disabled_: true`` leaves) is passed over.
    """

    def __init__(self, **handlers: Any) -> None:
        self.handlers = handlers

    def attach(self, engine: Engine) -> None:
        """Attach all handlers to the engine."""
        for handler in self.handlers.values():
            if handler is not None:
                handler.attach(engine)
