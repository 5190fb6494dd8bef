"""One run of a bundle: preflight, lock, run record."""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import torch

from medbundles.components.device import choose_device
from medbundles.components.distributed import is_writer, world_size
from medbundles.components.workflows import preflight
from medbundles.components.workflows.active_config import active_config
from medbundles.components.workflows.refusal import refuse
from medbundles.components.workflows.resume import continue_record
from medbundles.components.workflows.run_record import RunRecord, Status, read_record, start_record
from medbundles.errors import Finding, Interrupted, MedbundlesError, causes
from medbundles.io.locks import FolderLock

Kind = Literal["train", "evaluate", "infer"]
Check = Callable[[], Iterable[Finding]]
WEIGHT_PATTERNS = ("*.pt", "*.safetensors")
_open_sessions: list[RunSession] = []


class RunSession:
    """What stands around every run: checks before it, a lock and a truthful ``run.json`` during and after it.

    A configuration makes one and touches it first and last in ``run``::

        run: ["$@session.begin()", "$@train::trainer.run()", "$@session.complete(@train::trainer)"]

    In a group of processes every rank checks, only the writer (rank 0) locks and writes.

    Args:
        kind: what the run does.
        bundle: the bundle's name, for the record.
        output_dir: where the run writes; locked while it runs.
        dataset_dir: what it reads; its folder must exist. ``None`` skips the checks of the data.
        device: what was asked for (``auto``, ``cpu``, ``cuda:1`` ...) or the device chosen from it.
        seed: recorded.
        overwrite: whether ``output_dir`` may hold something already.
        resume: whether to go on with the run in ``output_dir``; its configuration must be the same.
        allow: fault codes of data findings that are accepted and recorded instead of refused.
        strict: whether warnings refuse, too.
        checks: functions without arguments that return findings, for example ``functools.partial`` objects made by
            ``_mode_: callable``; a bundle adds its own here.
        model: plain description of the model the weights were trained as (``model.json``), recorded.
        weights: files of trained weights this run reads; each must exist and is recorded with its SHA-256.
        facts: anything else to record, such as the learning rate.
    """

    def __init__(
        self,
        kind: Kind,
        bundle: str,
        output_dir: str | os.PathLike[str],
        dataset_dir: str | os.PathLike[str] | None = None,
        device: str | torch.device = "auto",
        seed: int | None = None,
        overwrite: bool = False,
        resume: bool = False,
        allow: Sequence[str] | None = None,
        strict: bool = False,
        checks: Sequence[Check] | None = None,
        model: Mapping[str, Any] | None = None,
        weights: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None = None,
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        self.kind = kind
        self.bundle = bundle
        self.output_dir = Path(output_dir)
        self.dataset_dir = None if dataset_dir is None else Path(dataset_dir)
        self.device = device
        self.seed = seed
        self.overwrite = overwrite
        self.resume = resume
        self.allow = tuple(allow or ())
        self.strict = strict
        self.checks = tuple(checks or ())
        self.model = model
        self.weights = _as_paths(weights)
        self.facts = dict(facts or {})
        self.findings: list[Finding] = []
        self.record: RunRecord | None = None
        self._lock = FolderLock(self.output_dir)

    def begin(self) -> None:
        """Check everything, take the folder and write the first ``run.json``; refuse with every finding at once.

        Raises:
            MedbundlesError: a check refused; under ``python -m monai.bundle`` the text is printed and the process
                exits with the error's code.
        """
        try:
            config = active_config()
            self.findings = preflight.check_run(self, config)
            if is_writer():
                self._take_folder(config)
        except MedbundlesError as error:
            self._lock.release()
            refuse(error)

    def complete(self, engine: Any = None) -> None:
        """Record that the run is done, or how it ended early.

        Args:
            engine: the ignite engine that ran; when its state says ``interrupted``, so does the record.

        Raises:
            Interrupted: the engine was stopped by a signal after it had saved its state.
        """
        state = getattr(engine, "state", None)
        if state is not None and hasattr(state, "epoch"):
            self.facts |= {"epochs": int(state.epoch), "iterations": int(state.iteration)}
        if getattr(state, "interrupted", False):
            self.close("interrupted", "stopped by a signal; its state was saved")
            refuse(Interrupted(f"interrupted; go on with --resume true --output_dir {self.output_dir}"))
        self.close("completed")

    def fail(self, error: BaseException) -> None:
        """Record an exception that ends the run; later calls change nothing."""
        self.close(status_of(error), f"{type(error).__name__}: {error}")

    def close(self, status: Status, reason: str = "") -> None:
        """Write the end of the run and let the folder go; only the first call counts."""
        if self not in _open_sessions:
            return
        _open_sessions.remove(self)
        if self.record is not None:
            self.record.content |= self.facts
            produced = (path for pattern in WEIGHT_PATTERNS for path in sorted(self.output_dir.glob(pattern)))
            self.record.finish(status, reason, weights=[*produced, *self.weights])
        self._lock.release()

    def _take_folder(self, config: dict[str, Any] | None) -> None:
        self._lock.acquire()
        earlier = read_record(self.output_dir)
        preflight.check_output(self, earlier)
        choice = choose_device(self.device)
        facts = {
            "seed": self.seed,
            "device": str(choice.device),
            "device_reason": choice.reason,
            "processes": world_size(),
            "data": preflight.data_fingerprint(self.dataset_dir),
            **({"model": dict(self.model)} if self.model is not None else {}),
            **self.facts,
        }
        content = start_record(self.kind, self.bundle, config, self.findings, facts)
        if self.resume and earlier is not None:
            content = continue_record(earlier, content)
        self.record = RunRecord(self.output_dir, content)
        self.record.write()
        _open_sessions.append(self)
        _watch_the_end_of_the_process()


def close_open_sessions(error: BaseException | None = None) -> None:
    """Record the end of every session still open: what ended the program, or that it ended without completing."""
    for session in list(_open_sessions):
        if error is None:
            session.close("failed", "the program ended before the run was completed")
        else:
            session.fail(error)


def status_of(error: BaseException) -> Status:
    """Return how a run that ended with ``error`` is called in its record."""
    chain = list(causes(error))
    if any(isinstance(cause, Interrupted | KeyboardInterrupt) for cause in chain):
        return "interrupted"
    codes = {finding.code for cause in chain if isinstance(cause, MedbundlesError) for finding in cause.findings}
    return "diverged" if "TRN003" in codes else "failed"


def _as_paths(weights: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None) -> tuple[Path, ...]:
    if weights is None:
        return ()
    return (Path(weights),) if isinstance(weights, str | os.PathLike) else tuple(Path(item) for item in weights)


@cache
def _watch_the_end_of_the_process() -> None:
    """Record an exception nobody caught, and an exit nobody announced, once per process."""
    previous = sys.excepthook

    def record_and_report(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        close_open_sessions(error)
        previous(kind, error, trace)

    sys.excepthook = record_and_report
    atexit.register(_close_in_process, os.getpid())


def _close_in_process(process: int) -> None:
    # A forked worker inherits the hook; only the process that began the run may say how it ended.
    if os.getpid() == process:
        close_open_sessions()
