"""What a stop from outside leaves of a command with worker processes: an exit code, what is finished, no process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from medbundles.errors import Interrupted

pytestmark = pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="looks for processes in /proc")
SAMPLES = ("samples", "lung_nodule_ct_segmentation", "--matrix", "48", "--extent_mm", "[40, 60]")


def wait_until(condition: Callable[[], object], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def is_begun(output: Path) -> bool:
    index = output / "samples.json"
    return index.exists() and bool(json.loads(index.read_text())["samples"])


@pytest.mark.parametrize(
    ("blow", "status"), [(signal.SIGTERM, 130), (signal.SIGKILL, -signal.SIGKILL)], ids=["kill", "kill -9"]
)
def test_no_worker_outlives_samples_that_are_stopped(tmp_path: Path, blow: signal.Signals, status: int) -> None:
    command = [sys.executable, "-m", "medbundles", *SAMPLES, "--output", str(tmp_path / "out")]
    process = subprocess.Popen(
        [*command, "--cases", "400", "--workers", "2"],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    wait_until(lambda: is_begun(tmp_path / "out") or process.poll() is not None)
    workers = children_of(process.pid)
    process.send_signal(blow)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == status, said
    assert len(workers) >= 2
    wait_until(lambda: not any(map(is_running, workers)), 20)
    if blow == signal.SIGTERM:
        assert "of 400 chest CTs; start again to continue" in said
        assert "Traceback" not in said


def test_samples_that_were_stopped_before_the_first_was_done_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from medbundles.samples import lung_nodule_ct_segmentation as samples

    def stop(task: object) -> None:
        (tmp_path / "half.mhd").write_text("written before the stop")
        raise KeyboardInterrupt

    monkeypatch.setattr(samples, "_write_scan", stop)
    with pytest.raises(Interrupted, match="stopped after 0 of 1 chest CTs"):
        samples.write_samples(tmp_path, cases=1, matrix=48, extent_mm=(40, 60), workers=1)
    monkeypatch.undo()
    samples.write_samples(tmp_path, cases=1, matrix=48, extent_mm=(40, 60), workers=1)
    assert is_begun(tmp_path)
