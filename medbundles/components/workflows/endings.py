"""However a program ends, the records of its runs say so."""

from __future__ import annotations

import atexit
import os
import sys
from functools import cache
from types import TracebackType
from typing import TYPE_CHECKING

from medbundles.components.workflows.failures import explained
from medbundles.components.workflows.refusal import monai_is_the_program, refuse
from medbundles.components.workflows.run_record import Status
from medbundles.errors import Interrupted, MedbundlesError, causes

if TYPE_CHECKING:
    from medbundles.components.workflows.session import RunSession

_open_sessions: list[RunSession] = []


def watch(session: RunSession) -> None:
    """Make sure that a session that has begun is closed."""
    _open_sessions.append(session)
    _watch_the_end_of_the_process()


def forget(session: RunSession) -> bool:
    """Return whether a session was still open, and watch it no longer."""
    if session not in _open_sessions:
        return False
    _open_sessions.remove(session)
    return True


def close_open_sessions(error: BaseException | None = None) -> None:
    """Record the end of every session still open: what ended the program, or that it ended without completing."""
    for session in tuple(_open_sessions):
        if error is None:
            session.close("failed", "the program ended before the run was completed")
        else:
            session.fail(error)


def explain(error: BaseException) -> BaseException:
    """Return what ended the program as the run that was going on explains it."""
    return _open_sessions[-1].explained(error) if _open_sessions else explained(error)


def status_of(error: BaseException) -> Status:
    """Return how a run that ended with ``error`` is called in its record."""
    chain = list(causes(error))
    if any(isinstance(cause, Interrupted | KeyboardInterrupt) for cause in chain):
        return "interrupted"
    codes = {finding.code for cause in chain if isinstance(cause, MedbundlesError) for finding in cause.findings}
    return "diverged" if "TRN003" in codes else "failed"


@cache
def _watch_the_end_of_the_process() -> None:
    """Record an exception nobody caught, and an exit nobody announced, once per process."""
    previous = sys.excepthook

    def record_and_report(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        told = explain(error)
        close_open_sessions(told)
        refusal = next((cause for cause in causes(told) if isinstance(cause, MedbundlesError)), None)
        if refusal is not None and monai_is_the_program():
            # What Python makes of an exit asked for here is the exit status; a traceback would bury the text.
            refuse(refusal)
        previous(kind, error, trace)

    sys.excepthook = record_and_report
    atexit.register(_close_in_process, os.getpid())


def _close_in_process(process: int) -> None:
    # A forked worker inherits the hook; only the process that began the run may say how it ended.
    if os.getpid() == process:
        close_open_sessions()
