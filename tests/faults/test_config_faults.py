"""Configuration faults through the real commands: exit code, fault code, and what was meant."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

# MONAI's loggers keep the stream they were made with: made inside of a test, it would be closed in the next one.
import monai.bundle
import pytest

from medbundles.checks.vendored import HASH_NAME
from medbundles.cli import main
from tests.forked_command import run_forked
from tests.tiny_bundle import TRAIN, write_tiny_bundle

Command = Callable[..., subprocess.CompletedProcess[str]]
REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write_tiny_bundle(tmp_path / "tiny")


@pytest.fixture
def train(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    """Run ``medbundles train`` on the tiny bundle inside of this process; return exit status and stderr."""
    monkeypatch.chdir(tmp_path)

    def run(*words: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["medbundles", "train", str(bundle), *map(str, words)])
        previous = signal.getsignal(signal.SIGTERM)
        capsys.readouterr()
        try:
            main()
        except SystemExit as ended:
            return int(ended.code or 0), capsys.readouterr().err
        finally:
            signal.signal(signal.SIGTERM, previous)
        return 0, capsys.readouterr().err

    return run


def monai(*words: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}
    return run_forked("monai.bundle", words, cwd, environment, 120)


def test_cfg001_cfg002_cfg003_come_together_before_anything_starts(
    bundle: Path, tmp_path: Path, medbundles_command: Command
) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text("learning_rate: 1e-3\noptimizer::momentum: much\n")
    ended = medbundles_command(
        "train", bundle, "--config_file", mine, "--max_epoch", 3, "--train::trainer::amp_=true",
        cwd=tmp_path, env={"PYTHONPATH": str(REPOSITORY)},
    )  # fmt: skip
    assert ended.returncode == 2
    assert ended.stderr.count("error[") == 4
    assert "Traceback" not in ended.stderr
    for said in (
        "error[CFG001] unknown override --max_epoch: this configuration has no max_epoch; did you mean --max_epochs?",
        "error[CFG001] unknown override --train::trainer::amp_: train::trainer has no amp_; did you mean "
        "--train::trainer::amp?",
        "error[CFG002] optimizer::momentum is 'much', expected a number",
        "error[CFG003] learning_rate: '1e-3' is text to YAML, not a number; write 1.0e-3",
    ):
        assert said in ended.stderr
    assert not (tmp_path / "run").exists()


def test_plain_monai_bundle_run_refuses_with_the_same_text_and_code(bundle: Path, tmp_path: Path) -> None:
    config = bundle / "configs" / "train.yaml"
    config.write_text(TRAIN + "seed: 1\n")
    ended = monai("run", "training", "--config_file", config, "--max_epoch", 7, cwd=tmp_path)
    assert ended.returncode == 2
    assert "error[CFG001] unknown key max_epoch: nothing in the configuration uses it; did you mean" in ended.stderr
    assert "error[CFG003] train.yaml: line " in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_strict_workflow_under_monai_bundle_refuses_with_the_same_code(bundle: Path, tmp_path: Path) -> None:
    workflow = ("run_workflow", "--workflow_name", "medbundles.components.workflows.StrictWorkflow")
    ended = monai(*workflow, "--config_file", bundle / "configs/train.yaml", "--max_epoch", 7, cwd=tmp_path)
    assert ended.returncode == 2
    assert "did you mean --max_epochs?" in ended.stderr


def test_a_right_command_line_trains_and_ends_with_0(train: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    status, _ = train("--max_epochs=2", "--learning_rate", "1e-2", "--optimizer::momentum", 0.5)
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert (status, record["status"], record["learning_rate"], record["epochs"]) == (0, "completed", 0.01, 2)


def test_cfg001_a_stray_word_and_an_unknown_overlay_are_refused(train: Callable[..., tuple[int, str]]) -> None:
    status, said = train("--max_epochs", 2, 3)
    assert (status, "error[CFG001] unexpected argument '3'" in said) == (2, True)
    status, said = train("--overlay", "smok")
    assert (status, "no overlay named 'smok'; did you mean smoke?" in said) == (2, True)


def test_cfg001_an_unknown_bundle_is_refused(medbundles_command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    ended = medbundles_command("train", "lung_nodule_segmentation")
    assert ended.returncode == 2
    assert "did you mean lung_nodule_ct_segmentation?" in ended.stderr


def test_cfg003_a_duplicate_key_is_refused_with_its_line(train: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("seed: 1\nmax_epochs: 2\nseed: 2\n")
    status, said = train("--config_file", tmp_path / "mine.yaml")
    assert (status, said) == (2, "error[CFG003] mine.yaml: line 3: the key 'seed' stands twice; keep one\n")


def test_cfg003_a_duplicate_key_does_not_hide_other_mistakes(
    train: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    (tmp_path / "mine.yaml").write_text("seed: 1\nseed: 2\n")
    status, said = train("--config_file", tmp_path / "mine.yaml", "--max_epoch", 3, "--learning_rate", -1)
    assert status == 2
    for expected in ("error[CFG003]", "did you mean --max_epochs?", "learning_rate is -1, expected a number above 0"):
        assert expected in said


def test_cfg002_a_value_out_of_range_is_refused_and_leaves_nothing(
    train: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    status, said = train("--max_epochs", 0)
    assert (status, said) == (2, "error[CFG002] max_epochs is 0, expected a whole number from 1\n")
    assert not (tmp_path / "run").exists()


def test_cfg002_what_only_a_constructor_refuses_is_said_in_a_line_and_does_not_block_the_next_run(
    train: Callable[..., tuple[int, str]],
) -> None:
    status, said = train("--optimizer::weight_decay", -1)
    assert status == 2
    assert "error[CFG002] torch.optim.SGD cannot be built: Invalid weight_decay value: -1" in said
    assert "Traceback" not in said
    assert train()[0] == 0


def test_cfg002_a_network_that_does_not_take_its_patches_is_refused_and_leaves_nothing(
    train: Callable[..., tuple[int, str]], bundle: Path, tmp_path: Path
) -> None:
    convolution = "  _target_: torch.nn.Conv2d\n  in_channels: 3\n  out_channels: 1\n  kernel_size: 1\n"
    linear = "  _target_: torch.nn.Linear\n  in_features: 2\n  out_features: 1\n"
    sizes = "slices: 7\npatch_size: [8, 8]\nsession:\n  facts: {slices: '@slices', patch_size: '@patch_size'}\n"
    text = TRAIN.replace(linear, convolution).replace("session:\n", sizes, 1)
    (bundle / "configs" / "train.yaml").write_text(text)
    status, said = train()
    assert (status, said.count("error[")) == (2, 1)
    assert "error[CFG002] network_def does not take 7 channel(s) of 8 x 8 from the training patches: " in said
    assert "Traceback" not in said
    assert not (tmp_path / "run").exists()


def test_a_python_spelling_is_advised_where_monai_reads_the_command_line(bundle: Path, tmp_path: Path) -> None:
    ended = monai(
        "run", "training", "--config_file", bundle / "configs/train.yaml", "--overwrite", "true", cwd=tmp_path
    )
    assert ended.returncode == 2
    assert "on monai.bundle's command line write True" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_an_output_folder_that_cannot_be_made_ends_with_4(
    train: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    status, said = train("--output_dir", tmp_path / "file" / "run")
    assert status == 4
    assert said.endswith("check the path, its permissions and the free space\n")
    assert "Traceback" not in said


def test_cfg004_weights_trained_as_something_else_are_refused(
    train: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    keys = ("bundle", "network", "labels", "preprocessing", "thresholds")
    files = {"model.pt": hashlib.sha256(b"").hexdigest()}
    model = {"format": 1, **{key: {} for key in keys}, "bundle": "other", "files": files}
    (tmp_path / "model.json").write_text(json.dumps(model))
    (tmp_path / "model.pt").write_bytes(b"")
    status, said = train("--weights", tmp_path / "model.pt", "--session::expected", "{bundle: tiny}")
    assert status == 2
    assert "error[CFG004] model.json: bundle is 'other' in model.json and 'tiny'" in said


def test_cfg005_another_version_than_the_exported_one_is_refused(
    train: Callable[..., tuple[int, str]], bundle: Path
) -> None:
    (bundle / "medbundles").mkdir()
    (bundle / "medbundles" / HASH_NAME).write_text("the hash of another version")
    status, said = train()
    assert status == 4
    assert "error[CFG005]" in said
    assert "PYTHONPATH=" in said


def test_trn002_a_resume_with_another_configuration_is_refused_with_the_difference(
    train: Callable[..., tuple[int, str]],
) -> None:
    assert train()[0] == 0
    status, said = train("--resume", "--learning_rate", 0.5, "--max_epochs", 2)
    assert (status, said.count("error[")) == (2, 1)
    assert "error[TRN002] learning_rate: 0.001 before, 0.5 now" in said
    assert train("--resume", "--max_epochs", 2)[0] == 0


def test_trn005_an_output_folder_in_use_is_refused(train: Callable[..., tuple[int, str]]) -> None:
    assert train()[0] == 0
    status, said = train()
    assert status == 6
    assert "error[TRN005] run holds a run that has status completed" in said


def test_trn010_a_device_that_is_not_there_is_refused(train: Callable[..., tuple[int, str]]) -> None:
    status, said = train("--device", "cuda:77")
    assert status == 4
    assert "error[TRN010] device cuda:77 was asked for" in said


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_trn009_a_signal_ends_the_run_with_130_and_a_truthful_record(
    bundle: Path, tmp_path: Path, number: signal.Signals
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "medbundles", "train", str(bundle), "--max_epochs", "1000000"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    while not (tmp_path / "run" / "run.json").exists() and process.poll() is None:
        time.sleep(0.1)
    time.sleep(1.0)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "\ninterrupted" in said
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "interrupted"
