"""Findings that show only while a case is read: for whoever collects them, else for the log."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from medbundles.errors import Finding

logger = logging.getLogger(__name__)
_collected: ContextVar[list[Finding] | None] = ContextVar("collected", default=None)


def notice(finding: Finding) -> None:
    """Hand on what a transform found without refusing; where nobody collects it, a warning is logged.

    A transform returns a network's input and has no place for findings: batches are made of all it returns.
    """
    collected = _collected.get()
    if collected is not None:
        collected.append(finding)
    elif finding.level == "warning":
        logger.warning("%s", finding)


@contextmanager
def noticing() -> Iterator[list[Finding]]:
    """Collect what is noticed in the block; the list grows meanwhile."""
    found: list[Finding] = []
    token = _collected.set(found)
    try:
        yield found
    finally:
        _collected.reset(token)
