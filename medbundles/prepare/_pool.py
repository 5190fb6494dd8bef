"""Cases in parallel processes, with a progress bar where somebody can see it."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from medbundles.errors import EnvironmentFailure, Finding, Interrupted
from medbundles.io.memory import available_memory_bytes
from medbundles.io.workers import start_worker

Job = TypeVar("Job")
Result = TypeVar("Result")


def run_jobs(
    function: Callable[[Job], Result],
    jobs: Sequence[Job],
    bytes_of: Callable[[Job], int],
    workers: int | None,
    title: str,
) -> list[Result]:
    """Call ``function`` with every job and return the results in the jobs' order.

    Args:
        function: a module-level function (it is pickled for the workers, which are spawned).
        jobs: one argument each.
        bytes_of: memory that a job takes.
        workers: processes that the user asked for, never more than fit; None takes the cores and the memory there are.
            With one, everything runs in this process.
        title: what the progress bar says.

    Raises:
        EnvironmentFailure: not even the largest job alone fits, or a worker died, most likely for lack of memory
            (NII015).
        Interrupted: SIGINT or SIGTERM; cases under way are finished first, the next run continues after them.
    """
    count = _choose_workers(workers, len(jobs), max(map(bytes_of, jobs), default=0))
    finished: dict[int, Result] = {}
    try:
        finished.update(_watched(_results(function, jobs, count), len(jobs), title))
    except BrokenProcessPool as error:
        fix = "start again with fewer --workers; it continues where it stopped"
        raise EnvironmentFailure(findings=[Finding("NII015", "error", "a worker process died", fix)]) from error
    except KeyboardInterrupt as error:
        raise Interrupted(f"stopped after {len(finished)} of {len(jobs)} cases; start again to continue") from error
    return [finished[place] for place in range(len(jobs))]


def _choose_workers(asked: int | None, jobs: int, bytes_per_job: int) -> int:
    """Return how many processes to use: the cores there are, bounded by the jobs and by the memory that is free."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    available = available_memory_bytes()
    fitting = cores if available is None else available // max(bytes_per_job, 1)
    if fitting < 1:
        message = f"the largest case takes {bytes_per_job / 1e9:.1f} GB, {(available or 0) / 1e9:.1f} GB are free"
        raise EnvironmentFailure(findings=[Finding("NII015", "error", message, "use a machine with more memory")])
    return max(1, min(asked or cores, jobs, fitting))


def _results(function: Callable[[Job], Result], jobs: Sequence[Job], workers: int) -> Iterator[tuple[int, Result]]:
    if workers == 1:
        yield from ((place, function(job)) for place, job in enumerate(jobs))
        return
    context = multiprocessing.get_context("spawn")
    waiting = enumerate(jobs)
    with ProcessPoolExecutor(workers, mp_context=context, initializer=start_worker) as executor:
        # No more jobs than workers are handed out: those cannot be taken back when the user interrupts.
        running: dict[Future[Result], int] = {
            executor.submit(function, job): place for place, job in itertools.islice(waiting, workers)
        }
        while running:
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                for place, job in itertools.islice(waiting, 1):
                    running[executor.submit(function, job)] = place
                yield running.pop(future), future.result()


def _watched(results: Iterator[tuple[int, Result]], total: int, title: str) -> Iterator[tuple[int, Result]]:
    if not sys.stderr.isatty():
        yield from results
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(title, total=total)
        for result in results:
            yield result
            progress.advance(task)
