"""Independent pieces of work on several processes, with a progress bar on a terminal."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import TypeVar

from medbundles.errors import Interrupted
from medbundles.io.workers import start_worker

Task = TypeVar("Task")
Result = TypeVar("Result")

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def usable_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_all(
    function: Callable[[Task], Result], tasks: Sequence[Task], workers: int | None = None, title: str = ""
) -> Iterator[Result]:
    """Yield the results in the order in which they are finished.

    Args:
        function: defined at the top of a module, so that a spawned process finds it.
        tasks: arguments, one a call.
        workers: processes; None takes every usable core; 1 works in this process.
        title: what the progress bar says.

    Raises:
        Interrupted: SIGINT or SIGTERM; what is under way is finished first.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    count = min(workers or usable_cores(), len(tasks))
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task(title, total=len(tasks))
        done = 0
        try:
            for result in _results(function, tasks, count):
                done += 1
                progress.advance(bar)
                yield result
        except KeyboardInterrupt as error:
            raise Interrupted(f"stopped after {done} of {len(tasks)} {title}; start again to continue") from error


def _results(function: Callable[[Task], Result], tasks: Sequence[Task], count: int) -> Iterator[Result]:
    return map(function, tasks) if count <= 1 else _in_processes(function, tasks, count)


def _in_processes(function: Callable[[Task], Result], tasks: Sequence[Task], count: int) -> Iterator[Result]:
    context = multiprocessing.get_context("spawn")
    # One thread a process: several processes with several threads each only wait for each other.
    before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
    pool = ProcessPoolExecutor(count, mp_context=context, initializer=start_worker)
    try:
        waiting = [pool.submit(function, task) for task in tasks]
        for future in as_completed(waiting):
            yield future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
