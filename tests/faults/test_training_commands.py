"""What machines and users do to a training, through both real commands (TRN001 to TRN011)."""

from __future__ import annotations

import json
import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest

from medbundles.components.tensor_file import read_tensor_file
from medbundles.errors import ExitCode
from tests.faults.troubled_bundle import BAD_CASE, CHECKPOINT_BYTES, write_troubled_bundle
from tests.forked_command import ForkedCommand

COMMANDS = {
    "medbundles": ("medbundles", "train", "tiny", "--config_file", "troubled.yaml"),
    "monai.bundle": (
        *("monai.bundle", "run", "training", "--bundle_root", "tiny"),
        *("--config_file", "['tiny/configs/train.yaml','troubled.yaml']"),
    ),
}
both_commands = pytest.mark.parametrize("command", COMMANDS)
# Where both come to the same code by the same way.
both_if_slow = pytest.mark.parametrize("command", ["medbundles", pytest.param("monai.bundle", marks=pytest.mark.slow)])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the commands start; the run goes to ``run`` in it."""
    write_troubled_bundle(tmp_path)
    return tmp_path


def start(folder: Path, *words: object, command: str = "medbundles") -> ForkedCommand:
    module, *first = COMMANDS[command]
    return ForkedCommand(module, (*first, *words), folder)


def assert_ends(folder: Path, code: ExitCode, *words: object, command: str = "medbundles") -> str:
    """Run to the end and return the one line that is left when the log's are taken away."""
    ended = start(folder, *words, command=command)
    assert ended.wait() == code, ended.said
    assert "Traceback" not in ended.said
    return [line.strip("\0") for line in ended.said.splitlines() if line.strip()][-1]  # a crash leaves a zero byte


def record(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "run" / "run.json").read_text())
    return content


def assert_goes_on(folder: Path, from_epoch: int | None = None) -> None:
    """Assert that the checkpoint loads and that the run is completed from it once the trouble is over."""
    saved = read_tensor_file(folder / "run" / "last.pt")["trainer"]["epoch"]
    assert from_epoch in (None, saved)
    (folder / "trouble.py").write_text((folder / "trouble.py").read_text().replace(".exists()", ".exists() and False"))
    assert "completed" in assert_ends(folder, ExitCode.DONE, *trouble_of(folder), "--resume", "true")


def trouble_of(folder: Path) -> tuple[str, ...]:
    config = record(folder)["config"]
    keys = ("trouble", "num_workers", "persistent_workers")
    return tuple(word for key in keys for word in (f"--{key}", str(config[key]).lower()))


@both_if_slow
def test_a_full_disk_ends_with_its_code_and_the_run_goes_on(folder: Path, command: str) -> None:
    limit = CHECKPOINT_BYTES // 2
    said = assert_ends(folder, ExitCode.ENVIRONMENT, "--trouble", f"disk {limit}", command=command)
    assert re.match(r"error\[TRN001\] (\w+)\.pt: no space left to write run/\1\.pt; free some space and", said)
    assert (record(folder)["status"], record(folder)["epochs"]) == ("failed", 2)
    assert "no space left" in record(folder)["reason"]
    assert_goes_on(folder, from_epoch=1)


def test_a_disk_too_full_for_the_record_ends_with_the_same_code(folder: Path) -> None:
    said = assert_ends(folder, ExitCode.ENVIRONMENT, "--trouble", "disk 2500")
    assert said.startswith("error[TRN001] ")
    assert record(folder)["status"] == "running"
    assert_goes_on(folder, from_epoch=1)


def test_what_a_killed_run_left_half_written_is_removed_when_it_goes_on(folder: Path) -> None:
    killed = start(folder, "--trouble", "slow", "--max_epochs", 1000)
    killed.wait_for((folder / "run" / "last.pt").exists)
    os.kill(killed.pid, signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    (folder / "run" / "previews").mkdir()
    left = [folder / "run" / name for name in (".0123abcd-last.pt", ".0123abcd-run.json", "previews/.0123abcd-1.png")]
    for path in left:
        path.write_bytes(b"half")
    assert_goes_on(folder)
    assert not [path for path in left if path.exists()]
    assert record(folder)["attempts"][0]["status"] == "killed"


@both_commands
def test_a_loss_that_is_no_number_names_the_cases(folder: Path, command: str) -> None:
    said = assert_ends(folder, ExitCode.DATA, "--trouble", "nan", command=command)
    assert re.match(r"error\[TRN003\] loss is nan in epoch 2, iteration 4; cases of the batch: case0, case1;", said)
    assert record(folder)["status"] == "diverged"
    assert read_tensor_file(folder / "run" / "last.pt")["trainer"]["epoch"] == 1


@both_if_slow
def test_a_step_without_memory_says_so_in_numbers(folder: Path, command: str) -> None:
    said = assert_ends(folder, ExitCode.ENVIRONMENT, "--trouble", "huge step", command=command)
    assert re.match(
        r"error\[TRN004\] out of memory in epoch 2, iteration 4 with batch_size 2, a batch of 2 x 20000, cases case0, "
        r"case1 \(it wanted 4194304\.00 GiB more\): the process took up to \d+\.\d\d GiB of the machine's memory, \d",
        said,
    )
    assert "lower batch_size or patch_size" in said
    assert record(folder)["status"] == "failed"
    assert record(folder)["reason"].startswith("EnvironmentFailure: error[TRN004] out of memory in epoch 2")
    assert_goes_on(folder, from_epoch=1)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_case_without_memory_is_named_with_numbers(folder: Path, workers: int) -> None:
    said = assert_ends(folder, ExitCode.ENVIRONMENT, "--trouble", "case huge", "--num_workers", workers)
    assert re.match(rf"error\[TRN004\] out of memory in epoch 2.*\(case {BAD_CASE}: .*\): the process took up to", said)


def test_two_runs_at_once_cannot_write_to_one_folder(folder: Path) -> None:
    first = start(folder, "--trouble", "slow", "--max_epochs", 1000)
    first.wait_for((folder / "run" / "last.pt").exists)
    try:
        said = assert_ends(folder, ExitCode.OUTPUT, "--resume", "true")
        assert "error[TRN005] run.lock: another run is writing to run" in said
    finally:
        os.kill(first.pid, signal.SIGKILL)
    assert first.wait() == -signal.SIGKILL
    assert record(folder)["status"] == "running"


def test_a_finished_run_is_not_written_over(folder: Path) -> None:
    assert_ends(folder, ExitCode.DONE)
    assert "error[TRN005] run holds a run that has status completed" in assert_ends(folder, ExitCode.OUTPUT)


@both_if_slow
def test_a_damaged_checkpoint_names_the_good_one_to_go_on_from(folder: Path, command: str) -> None:
    assert_ends(folder, ExitCode.DONE, command=command)
    file = folder / "run" / "last.pt"
    file.write_bytes(file.read_bytes()[:1000])
    said = assert_ends(folder, ExitCode.DATA, "--resume", "True", "--max_epochs", 4, command=command)
    assert re.match(r"error\[TRN007\] last\.pt: damaged: .*; best\.pt of epoch 3 is good: --resume run/best\.pt", said)
    assert_ends(folder, ExitCode.DONE, "--resume", "run/best.pt", "--max_epochs", 4, command=command)


@pytest.mark.parametrize(
    "workers",
    [
        ("--num_workers", 2),
        pytest.param(("--num_workers", 1, "--persistent_workers", "true"), marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize(
    "trouble", ["killed", *(pytest.param(how, marks=pytest.mark.slow) for how in ("crashes", "leaves"))]
)
def test_a_worker_that_dies_is_told_of_its_case(folder: Path, trouble: str, workers: tuple[Any, ...]) -> None:
    said = assert_ends(folder, ExitCode.ENVIRONMENT, "--trouble", f"case {trouble}", *workers)
    # Where it had a batch to hand over, its end is noticed before the reason of it.
    assert re.match(
        rf"error\[TRN008\] case {BAD_CASE}: a loader worker (has ended|was ended by the signal \w.*); "
        rf"it was reading {BAD_CASE}; memory may have run out",
        said,
    )
    assert record(folder)["status"] == "failed"
    assert BAD_CASE in record(folder)["reason"]
    assert_goes_on(folder, from_epoch=1)


@pytest.mark.slow
@pytest.mark.parametrize("trouble", ["killed", "unreadable"])
def test_a_spawned_worker_in_trouble_is_told_of_its_case(folder: Path, trouble: str) -> None:
    spawned = ("--num_workers", 1, "--multiprocessing_context", "spawn")
    code = ExitCode.ENVIRONMENT if trouble == "killed" else ExitCode.DATA
    said = assert_ends(folder, code, "--trouble", f"case {trouble}", *spawned)
    assert said.startswith(f"error[TRN008] case {BAD_CASE}: ")


@both_if_slow
@pytest.mark.parametrize("workers", [0, 1])
def test_a_case_that_cannot_be_read_is_named_with_the_reason(folder: Path, workers: int, command: str) -> None:
    words = ("--trouble", "case unreadable", "--num_workers", workers)
    said = assert_ends(folder, ExitCode.DATA, *words, command=command)
    assert said.startswith(
        f"error[TRN008] case {BAD_CASE}: cannot be read or transformed: OSError: the file ends after 7 bytes; check"
    )
    assert BAD_CASE in record(folder)["reason"]
    assert read_tensor_file(folder / "run" / "last.pt")["trainer"]["epoch"] == 1


@pytest.mark.parametrize("workers", [0, 1])
def test_a_mistake_in_a_transform_keeps_its_traceback_and_names_the_case(folder: Path, workers: int) -> None:
    ended = start(folder, "--trouble", "case mistake", "--num_workers", workers)
    assert ended.wait() == ExitCode.BUG
    assert "no_such_method" in ended.said
    assert f"while case {BAD_CASE} was read" in ended.said


@both_if_slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_command_in_order(folder: Path, command: str, number: signal.Signals) -> None:
    stopped = start(folder, "--trouble", "slow", "--max_epochs", 1000, command=command)
    stopped.wait_for((folder / "run" / "last.pt").exists)
    os.kill(stopped.pid, number)
    assert stopped.wait() == ExitCode.INTERRUPTED, stopped.said
    assert "interrupted; go on with --resume true --output_dir run" in stopped.said
    assert record(folder)["status"] == "interrupted"
    assert "Traceback" not in stopped.said


@both_commands
def test_an_absent_device_is_refused_before_anything_is_written(folder: Path, command: str) -> None:
    said = assert_ends(folder, ExitCode.ENVIRONMENT, "--device", "cuda", command=command)
    assert said.startswith("error[TRN010] device cuda was asked for, ")
    assert not (folder / "run").exists()


@both_if_slow
def test_the_device_that_auto_chooses_is_printed_with_the_reason(folder: Path, command: str) -> None:
    ended = start(folder, "--device", "auto", command=command)
    assert ended.wait() == ExitCode.DONE
    assert "device: cpu (auto: no " in ended.said
    assert record(folder)["device_reason"].startswith("auto: no ")


def test_a_cache_that_cannot_be_written_is_refused_before_anything_is_written(folder: Path) -> None:
    (folder / "file").touch()
    (folder / "cache.yaml").write_text("cache: file/cache\n")
    said = assert_ends(folder, ExitCode.ENVIRONMENT, "--config_file", "cache.yaml")
    assert said.startswith("the cache file/cache cannot be written: ")
    assert not (folder / "run").exists()
