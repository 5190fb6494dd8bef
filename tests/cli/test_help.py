"""The command line as a whole: quick, complete, honest about what it does not know."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from medbundles import registry
from medbundles.cli import app
from medbundles.errors import ConfigurationError

Command = Callable[..., subprocess.CompletedProcess[str]]
COMMANDS = [
    *("samples", "prepare", "check", "train", "evaluate", "mine", "infer"),
    *("join", "generalize", "export", "copy", "info", "doctor"),
]


def test_help_names_every_command(medbundles_command: Command) -> None:
    answer = medbundles_command("--help")
    assert answer.returncode == 0
    assert [name for name in COMMANDS if f"│ {name}" not in answer.stdout] == []


def test_help_takes_hardly_longer_than_that_of_an_empty_command_line() -> None:
    resource = pytest.importorskip("resource")
    empty = "import typer; app = typer.Typer(); app.command()(lambda: None); app(['--help'])"

    def seconds(*words: str) -> float:
        def once() -> float:
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run([sys.executable, *words], stdout=subprocess.DEVNULL, check=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            return float(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)

        return min(once() for _ in range(5))

    # Processor time, the fastest of several, as a ratio: neither the machine nor its other work must decide.
    assert seconds("-m", "medbundles", "--help") < 1.6 * seconds("-c", empty)


def test_the_command_line_imports_nothing_heavy() -> None:
    code = (
        "import sys, medbundles.cli; print(*{'torch', 'monai', 'numpy', 'itk', 'nibabel', 'scipy'} & set(sys.modules))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == ""


@pytest.mark.parametrize(
    "room",
    [
        "errors",
        "io.images",
        "io.datalist",
        "checks.dataset",
        "checks.cases",
        "prepare.brats",
        "prepare.dwi_t1w",
        "prepare.lidc",
        "prepare.luna16",
        "registry",
        "export",
    ],
)
def test_data_is_read_and_checked_without_torch(room: str) -> None:
    code = f"import sys, medbundles.{room}; print(*{{'torch', 'monai'}} & set(sys.modules))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == ""


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(medbundles_command: Command, command: str) -> None:
    answer = medbundles_command(command, "--help")
    assert answer.returncode == 0
    assert "Usage: " in answer.stdout


def test_an_unknown_command_is_a_usage_error(medbundles_command: Command) -> None:
    answer = medbundles_command("trian")
    assert answer.returncode == 2
    assert "trian" in answer.stderr


def test_a_missing_option_is_a_usage_error(medbundles_command: Command) -> None:
    answer = medbundles_command("samples", "lung_nodule_ct_segmentation")
    assert answer.returncode == 2
    assert "--output" in answer.stderr


def test_a_misspelt_bundle_gets_a_suggestion(medbundles_command: Command, tmp_path: Path) -> None:
    answer = medbundles_command("samples", "lung_nodule_ct_segmentaton", "--output", tmp_path)
    assert answer.returncode == 2
    assert "error[CFG001]" in answer.stderr
    assert "did you mean lung_nodule_ct_segmentation?" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_a_bundle_without_samples_of_its_own_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "bundle_names", lambda: ["kidney"])
    answer = CliRunner().invoke(app, ["samples", "kidney", "--output", str(tmp_path / "out")])
    assert isinstance(answer.exception, ConfigurationError)
    assert "kidney has no samples of its own" in str(answer.exception)


def test_an_unknown_kind_of_source_lists_the_known_ones(medbundles_command: Command, tmp_path: Path) -> None:
    answer = medbundles_command("prepare", "luna17", "--source", tmp_path, "--output", tmp_path / "out")
    assert answer.returncode == 2
    assert "did you mean luna16? there is: brats, decathlon, dwi_t1w, lidc, luna16, nnunet" in answer.stderr


def test_options_a_kind_does_not_have_are_refused_all_at_once(medbundles_command: Command, tmp_path: Path) -> None:
    answer = medbundles_command(
        *("prepare", "luna16", "--source", tmp_path, "--output", tmp_path / "out"),
        *("--mask-rul", "sphere", "--wheels", "4"),
    )
    assert answer.returncode == 2
    assert "unknown option --mask_rul; did you mean --mask_rule?" in answer.stderr
    assert "unknown option --wheels" in answer.stderr
    assert not (tmp_path / "out").exists()
