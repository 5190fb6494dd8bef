"""Handlers in a group of two processes: all must take the same decision at the same moment."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path

import torch.distributed as dist
from ignite.engine import Engine, Events
from tiny_training import TinyTraining

from medbundles.components.handlers import EarlyStop, StopOnSignal

FORK = multiprocessing.get_context("fork")
PROCESSES = 2


def iterations_in_a_group(folder: Path, work: Callable[[int], int]) -> list[int]:
    """Run ``work(rank)`` in two forked processes of a gloo group; return what each returned."""
    results = FORK.SimpleQueue()

    def member(rank: int) -> None:
        store = f"file://{folder}/store"
        dist.init_process_group("gloo", init_method=store, rank=rank, world_size=PROCESSES)
        results.put((rank, work(rank)))
        dist.destroy_process_group()
        os._exit(0)

    members = [FORK.Process(target=member, args=(rank,)) for rank in range(PROCESSES)]
    for process in members:
        process.start()
    for process in members:
        process.join(60)
    assert [process.exitcode for process in members] == [0, 0]
    return [value for _, value in sorted(results.get() for _ in members)]


def test_all_processes_stop_early_together_though_their_scores_differ(tmp_path: Path) -> None:
    def work(rank: int) -> int:
        scores = [3, 2, 1, 0, 0] if rank == 0 else [1, 2, 3, 4, 5]
        training = TinyTraining(tmp_path / str(rank), 5, scores=scores, interval=1, lower_is_better=False)
        EarlyStop(2, training.evaluator).attach(training.trainer)
        return int(training.run().trainer.state.epoch)

    assert iterations_in_a_group(tmp_path, work) == [3, 3]


def test_a_signal_to_one_process_stops_all_after_the_same_iteration(tmp_path: Path) -> None:
    def work(rank: int) -> int:
        def press_ctrl_c(engine: Engine) -> None:
            if rank == 1 and engine.state.iteration == 6:
                os.kill(os.getpid(), signal.SIGTERM)

        training = TinyTraining(tmp_path / str(rank), extra_handlers=[StopOnSignal()])
        training.trainer.add_event_handler(Events.ITERATION_STARTED, press_ctrl_c)
        training.run()
        assert training.trainer.state.interrupted
        return int(training.trainer.state.iteration)

    assert iterations_in_a_group(tmp_path, work) == [6, 6]


def test_one_process_writes_the_checkpoints_of_all(tmp_path: Path) -> None:
    def work(rank: int) -> int:
        return int(TinyTraining(tmp_path / str(rank), epochs=1).run().trainer.state.epoch)

    assert iterations_in_a_group(tmp_path, work) == [1, 1]
    assert (tmp_path / "0/last.pt").exists()
    assert not (tmp_path / "1").exists()
