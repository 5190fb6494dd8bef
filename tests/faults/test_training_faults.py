from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import time
from collections.abc import Callable
from multiprocessing.context import ForkProcess
from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Engine, Events
from tiny_training import TinyTraining

from medbundles.components.handlers import StopOnNan, StopOnSignal
from medbundles.components.handlers.history import read_history
from medbundles.components.tensor_file import read_tensor_file
from medbundles.errors import DataError, ExitCode, MedbundlesError

# Processes that are killed here are forked: starting Python with torch and MONAI anew takes longer than all else.
FORK = multiprocessing.get_context("fork")


def in_child(work: Callable[[], None]) -> ForkProcess:
    def run() -> None:
        try:
            work()
        except MedbundlesError as error:
            os._exit(error.exit_code)
        except KeyboardInterrupt:
            os._exit(ExitCode.INTERRUPTED)
        os._exit(0)

    process = FORK.Process(target=run)
    process.start()
    return process


def exit_code(process: ForkProcess) -> int | None:
    process.join(60)
    return process.exitcode


class BreakValidation:
    """Fails in the middle of a validation."""

    def __init__(self, training_epoch: int) -> None:
        self.epoch = training_epoch

    def __call__(self, evaluator: Engine) -> None:
        if evaluator.state.epoch == self.epoch and evaluator.state.iteration == 2:
            raise RuntimeError("out of memory")


def test_a_crash_in_a_validation_costs_no_training_and_the_resumed_run_is_the_same(tmp_path: Path) -> None:
    whole = TinyTraining(tmp_path / "whole", history={}).run()
    training = TinyTraining(tmp_path / "parts", history={})
    training.evaluator.add_event_handler(Events.ITERATION_COMPLETED, BreakValidation(2))
    with pytest.raises(RuntimeError, match="out of memory"):
        training.run()
    resumed = TinyTraining(tmp_path / "parts", resume=True, history={}).run()
    assert len(resumed.losses) == 2 * 4
    assert resumed.evaluator.state.best_metric == whole.evaluator.state.best_metric
    histories = [
        [(row["losses"], row.get("metrics")) for row in read_history(tmp_path / name / "history.jsonl")]
        for name in ("whole", "parts")
    ]
    assert histories[0] == histories[1]
    weights = [read_tensor_file(tmp_path / name / "model.pt") for name in ("whole", "parts")]
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])


@pytest.mark.parametrize("write", [6, 9])
def test_kill_while_a_checkpoint_is_written_leaves_a_good_one(tmp_path: Path, write: int) -> None:
    writes = 0
    fsync = os.fsync

    def die_half_way(descriptor: int) -> None:
        # The temporary file is written, its rename is still to come.
        nonlocal writes
        writes += 1
        if writes == write:
            os.truncate(descriptor, os.fstat(descriptor).st_size // 2)
            os.kill(os.getpid(), signal.SIGKILL)
        fsync(descriptor)

    def work() -> None:
        os.fsync = die_half_way  # only in the child
        TinyTraining(tmp_path, epochs=3).run()

    assert exit_code(in_child(work)) == -signal.SIGKILL
    assert any(path.name.startswith(".") for path in tmp_path.iterdir())
    for path in tmp_path.glob("[!.]*.pt"):
        read_tensor_file(path)
    assert TinyTraining(tmp_path, epochs=3, resume=True).run().trainer.state.epoch == 3


def test_a_full_disk_ends_with_its_exit_code_and_the_previous_checkpoint_loads(tmp_path: Path) -> None:
    def fill(engine: Engine) -> None:
        if engine.state.epoch == 2:
            resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))

    def work() -> None:
        training = TinyTraining(tmp_path, epochs=3)
        training.trainer.add_event_handler(Events.EPOCH_STARTED, fill)
        training.run()

    assert exit_code(in_child(work)) == ExitCode.ENVIRONMENT
    assert read_tensor_file(tmp_path / "last.pt")["trainer"]["epoch"] == 1
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


class PoisonWeights:
    def attach(self, engine: Any) -> None:
        engine.add_event_handler(Events.ITERATION_STARTED, self)

    def __call__(self, engine: Any) -> None:
        if engine.state.iteration == 6:
            torch.nn.init.constant_(next(engine.network.parameters()), float("nan"))


def test_a_loss_that_is_no_number_names_the_cases_and_keeps_the_last_good_checkpoint(tmp_path: Path) -> None:
    training = TinyTraining(tmp_path, extra_handlers=[PoisonWeights(), StopOnNan()])
    with pytest.raises(DataError, match=r"TRN003.*loss is nan in epoch 2, iteration 6; cases.*: case\d, case\d;"):
        training.run()
    assert read_tensor_file(tmp_path / "last.pt")["trainer"]["epoch"] == 1


class Child:
    """A run that goes on until it gets a signal; ``pause`` seconds an iteration from the second epoch on."""

    def __init__(self, folder: Path, workers: int = 0, pause: float = 0.02) -> None:
        self.running = FORK.Event()
        self.in_order = FORK.Event()
        self.folder, self.workers, self.pause = folder, workers, pause
        self.process = in_child(self._work)
        assert self.running.wait(60)

    def _work(self) -> None:
        os.setpgrp()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        training = TinyTraining(self.folder, 1000, self.workers, extra_handlers=[StopOnSignal()])
        training.trainer.add_event_handler(Events.ITERATION_COMPLETED, self._wait)
        training.run()
        if training.trainer.state.interrupted:
            self.in_order.set()

    def _wait(self, engine: Engine) -> None:
        if engine.state.epoch == 2:
            self.running.set()
            time.sleep(self.pause)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_in_order(tmp_path: Path, number: int) -> None:
    child = Child(tmp_path)
    os.kill(child.process.pid or 0, number)
    assert exit_code(child.process) == 0
    assert child.in_order.is_set()
    assert read_tensor_file(tmp_path / "last.pt")["trainer"]["epoch"] >= 1


def test_a_second_signal_ends_the_run_at_once(tmp_path: Path) -> None:
    child = Child(tmp_path, pause=50)
    for _ in range(2):
        os.kill(child.process.pid or 0, signal.SIGINT)
        time.sleep(0.5)
    started = time.monotonic()
    assert exit_code(child.process) == ExitCode.INTERRUPTED
    assert time.monotonic() - started < 40
    assert not child.in_order.is_set()


def test_a_terminal_interrupt_that_reaches_the_loader_workers_too_ends_in_order(tmp_path: Path) -> None:
    child = Child(tmp_path, workers=2)
    os.killpg(child.process.pid or 0, signal.SIGINT)
    assert exit_code(child.process) == 0
    assert child.in_order.is_set()


def test_a_worker_ended_by_the_signal_counts_as_the_interruption_it_is(tmp_path: Path) -> None:
    child = Child(tmp_path, workers=2, pause=1)
    os.killpg(child.process.pid or 0, signal.SIGTERM)
    assert exit_code(child.process) in (0, ExitCode.INTERRUPTED)
    assert read_tensor_file(tmp_path / "last.pt")["trainer"]["epoch"] >= 1


def test_a_stop_in_the_middle_of_an_epoch_repeats_the_epoch_bit_equally(tmp_path: Path) -> None:
    def press_ctrl_c(engine: Engine) -> None:
        if engine.state.iteration == 10:
            os.kill(os.getpid(), signal.SIGINT)

    TinyTraining(tmp_path / "whole").run()
    training = TinyTraining(tmp_path / "parts", extra_handlers=[StopOnSignal()])
    training.trainer.add_event_handler(Events.ITERATION_STARTED, press_ctrl_c)
    training.run()
    assert training.trainer.state.interrupted
    assert read_tensor_file(tmp_path / "parts/last.pt")["trainer"]["epoch"] == 2
    TinyTraining(tmp_path / "parts", resume=True).run()
    weights = [read_tensor_file(tmp_path / name / "last.pt")["networks"]["generator"] for name in ("whole", "parts")]
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])


def test_a_stop_during_a_validation_gives_it_up_and_makes_up_for_it(tmp_path: Path) -> None:
    def press_ctrl_c(evaluator: Engine) -> None:
        if evaluator.state.epoch == 2 and evaluator.state.iteration == 1:
            os.kill(os.getpid(), signal.SIGINT)

    training = TinyTraining(tmp_path)
    StopOnSignal(training.evaluator).attach(training.trainer)
    training.evaluator.add_event_handler(Events.ITERATION_STARTED, press_ctrl_c)
    training.run()
    assert training.evaluator.state.iteration == 1
    assert read_tensor_file(tmp_path / "last.pt")["evaluator"]["validated_epoch"] == 1
    resumed = TinyTraining(tmp_path, epochs=2, resume=True).run()
    assert (resumed.losses, resumed.evaluator.state.validated_epoch) == ([], 2)


def test_handlers_of_signals_are_as_before_when_the_run_is_over(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    TinyTraining(tmp_path, epochs=1, extra_handlers=[StopOnSignal()]).run()
    assert signal.getsignal(signal.SIGTERM) is before
