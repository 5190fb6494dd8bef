"""The real commands in a process that has torch and MONAI imported already: starting Python takes longer than all else.

``python -m medbundles ...`` and ``python -m monai.bundle ...`` run as Python itself would run them, with the exit
status, the output and the signals of a process of their own. It is forked from a server that nothing else has run in.
"""

from __future__ import annotations

import atexit
import importlib.util
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
import types
from collections.abc import Callable, Mapping
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any

import numpy as np
import torch

SERVER = multiprocessing.get_context("forkserver")
PRELOADED = [
    "monai.bundle",
    "matplotlib.figure",
    "medbundles.cli",
    "medbundles.components.handlers",
    "medbundles.components.metrics",
    "medbundles.components.transforms",
    "medbundles.components.workflows",
    "torch.utils.tensorboard",
]


class ForkedCommand:
    """A command under way.

    Args:
        module: what follows ``python -m``.
        words: the arguments.
        folder: the working directory; the output is kept in ``folder/said.txt``.
        environment: variables to set.
        prepare: called before the command starts, with the process that runs it; must be importable.
    """

    def __init__(
        self,
        module: str,
        words: tuple[object, ...],
        folder: Path,
        environment: Mapping[str, str] | None = None,
        prepare: Callable[[], Any] | None = None,
    ) -> None:
        SERVER.set_forkserver_preload(PRELOADED)
        self.log = folder / "said.txt"
        arguments = (module, [str(word) for word in words], folder, dict(environment or {}), prepare)
        self._process = SERVER.Process(target=_run, args=arguments)
        self._process.start()
        self.pid = self._process.pid or 0

    def wait(self, seconds: float = 120) -> int:
        """Return the exit status; the number of a signal that ended the process is negative, as in subprocess."""
        self._process.join(seconds)
        if self._process.exitcode is None:
            self._process.kill()
            raise AssertionError(f"it hangs: {self.said}")
        return self._process.exitcode

    def wait_for(self, condition: Callable[[], Any], seconds: float = 60) -> None:
        """Wait until something is the case while the command runs."""
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, self.said
            assert self._process.exitcode is None, self.said
            time.sleep(0.005)

    @property
    def said(self) -> str:
        """What came on the standard output and error streams."""
        return self.log.read_text(encoding="utf-8") if self.log.exists() else ""


def run_forked(
    module: str, words: tuple[object, ...], folder: Path, environment: Mapping[str, str], seconds: float
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, as ``subprocess.run(..., capture_output=True, text=True)`` would.

    Args:
        module: what follows ``python -m``.
        words: the arguments.
        folder: the working directory.
        environment: all variables.
        seconds: after which it is killed.

    Raises:
        subprocess.TimeoutExpired: if it takes longer.
    """
    SERVER.set_forkserver_preload(PRELOADED)
    texts = [str(word) for word in words]
    with tempfile.TemporaryDirectory() as name:
        said = (Path(name) / "out.txt", Path(name) / "error.txt")
        process = SERVER.Process(target=_run_apart, args=(module, texts, folder, dict(environment), said))
        process.start()
        process.join(seconds)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired([module, *texts], seconds, *(file.read_text() for file in said))
        output, errors = (file.read_text(encoding="utf-8") for file in said)
        return subprocess.CompletedProcess([module, *texts], process.exitcode, output, errors)


def _run_apart(
    module: str, words: list[str], folder: Path, environment: dict[str, str], said: tuple[Path, Path]
) -> None:
    os.environ.clear()
    os.environ.update(environment)
    for number, file in enumerate(said, start=1):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
    _become(module, words, folder)


def _run(
    module: str, words: list[str], folder: Path, environment: dict[str, str], prepare: Callable[[], Any] | None
) -> None:
    os.environ.update({"OMP_NUM_THREADS": "1", "COLUMNS": "200", "CUDA_VISIBLE_DEVICES": "", **environment})
    stream = os.open(folder / "said.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
    os.dup2(stream, 1)
    os.dup2(stream, 2)
    _become(module, words, folder, prepare)


def _become(module: str, words: list[str], folder: Path, prepare: Callable[[], Any] | None = None) -> None:
    os.chdir(folder)
    # A process of its own would have a state of its own.
    random.seed()
    np.random.seed()
    torch.seed()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # Loader workers are started as anywhere else, not by another server.
    multiprocessing.set_start_method(None, force=True)
    if prepare is not None:
        prepare()
    # As `python -m` does it.
    sys.path[:0] = [str(folder), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    specification = importlib.util.find_spec(f"{module}.__main__")
    assert specification is not None
    assert isinstance(specification.loader, SourceFileLoader)
    code = specification.loader.get_code(specification.name)
    assert code is not None
    main = types.ModuleType("__main__")
    main.__spec__, main.__file__ = specification, specification.origin
    sys.modules["__main__"] = main
    sys.argv = [str(specification.origin), *words]
    os._exit(_status(lambda: exec(code, vars(main))))


def _status(work: Callable[[], Any]) -> int:
    """Run what the interpreter would run and end as it would: an exception nobody caught is reported."""
    try:
        try:
            work()
        except SystemExit:
            raise
        except BaseException as error:  # noqa: BLE001 - what the interpreter does at the end of a program
            sys.excepthook(type(error), error, error.__traceback__)
            return 1
        return 0
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
