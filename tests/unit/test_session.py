"""RunSession: checks, lock and run record around a run."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from multiprocessing import get_context
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from ignite.engine import Engine

from medbundles.checks.vendored import HASH_NAME
from medbundles.components.handlers import RunStatus
from medbundles.components.workflows import RunSession, close_open_sessions
from medbundles.components.workflows.active_config import active_config
from medbundles.components.workflows.preflight import check_configuration, check_same_run
from medbundles.errors import (
    ConfigurationError,
    DataError,
    EnvironmentFailure,
    Finding,
    Interrupted,
    OutputConflict,
    PartialFailure,
)
from medbundles.io.hashing import sha256_file

REPOSITORY = Path(__file__).resolve().parents[2]


def session(folder: Path, **options: Any) -> RunSession:
    return RunSession(kind="train", bundle="tiny", output_dir=folder / "run", device="cpu", **options)


def record(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "run" / "run.json").read_text())
    return content


def test_the_record_says_running_before_and_completed_after(tmp_path: Path) -> None:
    run = session(tmp_path, seed=3)
    run.begin()
    assert record(tmp_path)["status"] == "running"
    run.complete()
    written = record(tmp_path)
    assert (written["status"], written["seed"], written["device"]) == ("completed", 3, "cpu")
    assert {"python", "torch", "monai", "pytorch-ignite", "numpy", "medbundles"} <= written["versions"].keys()
    assert written["wall_time_s"] >= 0
    assert written["command"]
    assert written["hardware"]["cores"]


def test_the_record_holds_the_hash_of_the_weights(tmp_path: Path) -> None:
    run = session(tmp_path)
    run.begin()
    torch.save({"w": torch.zeros(1)}, tmp_path / "run" / "model.pt")
    run.complete()
    assert record(tmp_path)["weights_sha256"] == {"model.pt": sha256_file(tmp_path / "run" / "model.pt")}


def test_a_folder_that_holds_something_is_refused_and_stays_untouched(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine.txt").write_text("mine")
    with pytest.raises(OutputConflict, match=r"holds 1 file\(s\)"):
        session(tmp_path).begin()
    assert not (tmp_path / "run" / "run.json").exists()
    session(tmp_path, overwrite=True).begin()


def test_a_refused_run_leaves_no_folder_behind(tmp_path: Path) -> None:
    run = RunSession(kind="train", bundle="tiny", output_dir=tmp_path / "new" / "run", device="cuda:77")
    with pytest.raises(EnvironmentFailure, match="cuda:77"):
        run.begin()
    assert list(tmp_path.iterdir()) == []


def test_a_refused_run_leaves_a_folder_that_was_there(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with pytest.raises(EnvironmentFailure, match="cuda:77"):
        RunSession(kind="train", bundle="tiny", output_dir=tmp_path / "run", device="cuda:77").begin()
    assert (tmp_path / "run").is_dir()


def test_a_run_that_failed_before_its_first_iteration_does_not_block_the_next(tmp_path: Path) -> None:
    failed = session(tmp_path)
    failed.begin()
    failed.fail(ValueError("a wrong argument"))
    again = session(tmp_path)
    again.begin()
    again.complete()
    assert record(tmp_path)["status"] == "completed"


def test_a_run_that_failed_later_is_kept(tmp_path: Path) -> None:
    failed = session(tmp_path)
    failed.begin()
    failed.note(epochs=1, iterations=2)
    failed.fail(ValueError("a wrong value"))
    with pytest.raises(OutputConflict, match="has status failed"):
        session(tmp_path).begin()


def test_a_checkpoint_without_its_run_s_record_is_not_resumed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "last.pt").touch()
    with pytest.raises(DataError, match=r"no run\.json beside"):
        session(tmp_path, resume=str(tmp_path / "elsewhere" / "last.pt")).begin()


def test_two_runs_cannot_write_to_one_folder(tmp_path: Path) -> None:
    first = session(tmp_path)
    first.begin()
    with pytest.raises(OutputConflict, match="another run is writing"):
        session(tmp_path, overwrite=True).begin()
    first.complete()
    session(tmp_path, overwrite=True).begin()


def test_everything_that_refuses_is_said_at_once_with_the_first_exit_code(tmp_path: Path) -> None:
    run = RunSession(
        kind="train",
        bundle="tiny",
        output_dir=tmp_path,
        dataset_dir=tmp_path / "absent",
        device="cuda:99",
        weights=[tmp_path / "absent.pt", None],
    )
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(EnvironmentFailure) as refused:
        run.begin()
    assert [finding.code for finding in refused.value.findings] == ["TRN010", "TRN011", "TRN005", "TRN011"]


def test_a_bundles_own_check_can_refuse_and_its_notes_are_recorded(tmp_path: Path) -> None:
    note, error = Finding("NII012", "note", "small"), Finding("NII013", "error", "not HU", allowable=True)
    session(tmp_path / "a", checks=[lambda: [note]]).begin()
    assert record(tmp_path / "a")["findings"][0]["message"] == "small"
    with pytest.raises(DataError, match="NII013"):
        session(tmp_path / "b", checks=[lambda: [note, error]]).begin()
    session(tmp_path / "c", checks=[lambda: [error]], allow=["NII013"]).begin()


def test_an_interrupted_engine_ends_as_interrupted(tmp_path: Path) -> None:
    run = session(tmp_path)
    run.begin()
    with pytest.raises(Interrupted, match="--resume true"):
        run.complete(SimpleNamespace(state=SimpleNamespace(interrupted=True, epoch=2, iteration=7)))
    assert (record(tmp_path)["status"], record(tmp_path)["epochs"]) == ("interrupted", 2)


def test_cases_that_were_left_out_end_the_run_as_partial(tmp_path: Path) -> None:
    run = session(tmp_path)
    run.begin()
    run.findings.append(Finding("NII001", "error", "cut short", case="A"))
    with pytest.raises(PartialFailure, match=r"1 case\(s\) were left out: A"):
        run.complete()
    assert record(tmp_path)["status"] == "completed"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ValueError("wrong"), "failed"),
        (KeyboardInterrupt(), "interrupted"),
        (DataError(findings=[Finding("TRN003", "error", "loss is nan")]), "diverged"),
    ],
)
def test_an_exception_in_an_engine_is_recorded_and_passed_on(tmp_path: Path, error: BaseException, status: str) -> None:
    run = session(tmp_path)
    run.begin()

    def step(engine: Engine, batch: int) -> None:
        if engine.state.iteration == 3:
            raise error

    engine = Engine(step)
    RunStatus(run).attach(engine)
    with pytest.raises(type(error)):
        engine.run([1, 2], max_epochs=2)
    close_open_sessions()
    written = record(tmp_path)
    assert (written["status"], written["epochs"], written["iterations"]) == (status, 1, 2)


@pytest.mark.parametrize(
    ("cause", "reason"),
    [
        (ValueError("no such voxel"), "ValueError: no such voxel"),
        (StopIteration(), "RuntimeError: applying transform Crop"),
        (KeyboardInterrupt(), "KeyboardInterrupt: "),
    ],
)
def test_the_reason_of_a_failure_is_what_led_to_it_not_what_was_put_around_it(
    tmp_path: Path, cause: BaseException, reason: str
) -> None:
    run = session(tmp_path)
    run.begin()
    wrapped = RuntimeError("applying transform Crop")
    wrapped.__cause__ = cause
    run.fail(wrapped)
    assert record(tmp_path)["reason"] == reason


def test_an_exception_nobody_catches_is_recorded(tmp_path: Path) -> None:
    code = (
        "from medbundles.components.workflows import RunSession\n"
        f"RunSession(kind='train', bundle='tiny', output_dir={str(tmp_path / 'run')!r}, device='cpu').begin()\n"
        "raise ValueError('nobody caught me')\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "ValueError: nobody caught me" in ended.stderr
    assert (record(tmp_path)["status"], record(tmp_path)["reason"]) == ("failed", "ValueError: nobody caught me")


def test_a_program_that_ends_without_completing_its_run_leaves_a_failed_record(tmp_path: Path) -> None:
    session(tmp_path).begin()
    close_open_sessions()
    assert record(tmp_path)["reason"] == "the program ended before the run was completed"


def begin_and_die(folder: Path) -> None:
    session(folder).begin()
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork and SIGKILL")
def test_a_killed_run_is_recognized_and_can_be_resumed(tmp_path: Path) -> None:
    process = get_context("fork").Process(target=begin_and_die, args=(tmp_path,))
    process.start()
    process.join()
    assert record(tmp_path)["status"] == "running"
    with pytest.raises(OutputConflict, match=r"a run that was killed.*--resume true"):
        session(tmp_path).begin()
    run = session(tmp_path, resume=True)
    run.begin()
    run.complete()
    assert [attempt["status"] for attempt in record(tmp_path)["attempts"]] == ["killed"]


def test_files_that_are_no_run_cannot_be_resumed(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "model.pt").write_text("")
    with pytest.raises(OutputConflict, match="no run to resume"):
        session(tmp_path, resume=True).begin()


def test_a_resumed_run_may_differ_in_where_and_how_long_but_not_in_what() -> None:
    earlier = {"config": {"learning_rate": 0.1, "max_epochs": 2, "device": "cuda"}, "data": None}
    check_same_run(earlier, {"learning_rate": 0.1, "max_epochs": 9, "device": "cpu"}, None)
    with pytest.raises(ConfigurationError, match=r"TRN002.*learning_rate: 0\.1 before, 0\.2 now"):
        check_same_run(earlier, {"learning_rate": 0.2, "max_epochs": 2, "device": "cuda"}, None)


def test_a_resumed_run_must_read_the_same_data_wherever_it_lies() -> None:
    earlier = {"config": {}, "data": {"dataset_dir": "/a", "datalist_sha256": "1"}}
    check_same_run(earlier, {}, {"dataset_dir": "/b", "datalist_sha256": "1"})
    with pytest.raises(ConfigurationError, match="data datalist_sha256"):
        check_same_run(earlier, {}, {"dataset_dir": "/a", "datalist_sha256": "2"})


def test_weights_are_looked_up_in_the_bundle_and_their_absence_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="TRN011"):
        session(tmp_path, bundle_root=tmp_path / "bundles" / "tiny").begin()


def test_a_model_trained_as_something_else_is_refused(tmp_path: Path) -> None:
    keys = ("bundle", "network", "labels", "preprocessing", "thresholds")
    model = {"format": 1, **{key: {} for key in keys}, "network": {"name": "UNet"}}
    model["files"] = {"model.pt": hashlib.sha256(b"").hexdigest()}
    (tmp_path / "model.json").write_text(json.dumps(model))
    (tmp_path / "model.pt").write_bytes(b"")
    with pytest.raises(ConfigurationError, match=r"CFG004.*network::name is 'UNet'.*'BasicUNet'"):
        session(tmp_path, weights=tmp_path / "model.pt", expected={"network": {"name": "BasicUNet"}}).begin()


def test_a_bundle_of_another_version_than_the_loaded_one_is_refused(tmp_path: Path) -> None:
    (tmp_path / "medbundles").mkdir()
    (tmp_path / "medbundles" / HASH_NAME).write_text("another version")
    with pytest.raises(EnvironmentFailure, match="CFG005"):
        check_configuration({"bundle_root": str(tmp_path)})


def test_without_monai_no_configuration_is_active() -> None:
    assert active_config() is None


def test_only_the_writer_locks_and_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    run = session(tmp_path)
    run.begin()
    run.complete()
    assert not (tmp_path / "run").exists()
