"""StrictWorkflow: everything wrong is said before anything is built."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from medbundles.components.workflows import StrictWorkflow
from medbundles.components.workflows.strict import validate
from medbundles.errors import ConfigurationError, MedbundlesError
from tests.tiny_bundle import TRAIN, write_tiny_bundle


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return write_tiny_bundle(tmp_path / "tiny")


def workflow(bundle: Path, *more: Path, **override: Any) -> StrictWorkflow:
    return StrictWorkflow([str(bundle / "configs/train.yaml"), *map(str, more)], logging_file=False, **override)


def test_a_right_configuration_runs_and_leaves_a_completed_record(bundle: Path, tmp_path: Path) -> None:
    strict = workflow(bundle, max_epochs=2)
    strict.initialize()
    strict.run()
    record = json.loads((tmp_path / "run/run.json").read_text())
    assert (record["status"], record["epochs"], record["config"]["max_epochs"]) == ("completed", 2, 2)


def test_all_mistakes_of_files_and_overrides_come_in_one_error(bundle: Path, tmp_path: Path) -> None:
    extra = tmp_path / "extra.yaml"
    extra.write_text("batch_sise: 4\noptimizer::lr: 1e-3\n")
    with pytest.raises(ConfigurationError) as refused:
        workflow(bundle, extra, max_epoch=3, network_def__in="x", **{"network_def::in_features": "two"})
    said = [finding.code for finding in refused.value.findings]
    assert sorted(said) == ["CFG001", "CFG001", "CFG001", "CFG002", "CFG003"]


def test_nothing_is_built_or_written_when_it_refuses(bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError):
        workflow(bundle, max_epoch=3)
    assert not (tmp_path / "run").exists()


def test_files_given_as_one_text_are_merged_in_order(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "more.yaml").write_text("max_epochs: 9\n")
    strict = StrictWorkflow(f"{bundle}/configs/train.yaml,{tmp_path}/more.yaml", logging_file=False)
    assert strict.parser["max_epochs"] == 9


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ("trainer::max_epochs: 3\n", "the files cannot be merged"),
        ("max_epochs: '%no_such_key'\n", "a macro (%) refers to nothing"),
        ("max_epochs: 3\nmax_epochs: 4\n", "the key 'max_epochs' stands twice"),
    ],
)
def test_a_file_that_does_not_fit_is_named(bundle: Path, tmp_path: Path, extra: str, said: str) -> None:
    (tmp_path / "extra.yaml").write_text(extra)
    findings = validate([bundle / "configs/train.yaml", tmp_path / "extra.yaml"], {})
    assert any(said in finding.message for finding in findings)


def test_a_missing_file_is_a_finding(bundle: Path) -> None:
    (finding,) = validate([bundle / "configs/trian.yaml"], {})
    assert finding.code == "CFG001"
    assert "trian.yaml" in finding.message


def test_a_run_id_that_is_not_there_is_a_finding(bundle: Path) -> None:
    (finding,) = validate([bundle / "configs/train.yaml"], {}, run_id="trainning")
    assert "nothing named trainning" in finding.message


@pytest.mark.parametrize(
    ("right", "wrong", "status", "error", "reason"),
    [
        # Not MONAI's "Failed to evaluate" around it.
        (
            "lr: '@learning_rate'",
            "lr: $torch.no_such()",
            "failed",
            RuntimeError,
            "AttributeError: module 'torch' has no",
        ),
        (
            "$torch.nn.MSELoss()",
            "'$lambda prediction, target: prediction.sum() * float(\"nan\")'",
            "diverged",
            MedbundlesError,
            "DataError:",
        ),
    ],
)
def test_a_run_that_fails_says_so_in_its_record(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    right: str,
    wrong: str,
    status: str,
    error: type[Exception],
    reason: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    strict = workflow(write_tiny_bundle(tmp_path / "tiny", TRAIN.replace(right, wrong)))
    strict.initialize()
    with pytest.raises(error):
        strict.run()
    record = json.loads((tmp_path / "run/run.json").read_text())
    assert record["status"] == status
    assert record["reason"].startswith(reason)
