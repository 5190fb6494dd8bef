"""The generalization experiment: who is tuned on and who is judged, what is done again and what is not."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from medbundles import generalize as subject
from medbundles.errors import ConfigurationError, DataError, OutputConflict
from medbundles.generalize import Experiment, deal_target, generalize

SUMMARY = {"quality": {"n": 2, "mae": 0.3, "ssim": 0.8, "intervals": {"mae": [0.2, 0.4], "ssim": None}}}


def write_folder(folder: Path, people: int, testing: int = 0) -> Path:
    folder.mkdir(parents=True)

    def record(name: str, fold: int) -> dict[str, Any]:
        return {"image": f"images/{name}.nii.gz", "label": f"labels/{name}.nii.gz", "subject": name, "fold": fold}

    training = [record(f"person{number}", number % 2) for number in range(people)]
    content = {"training": training, "testing": [record(f"test{number}", 0) for number in range(testing)]}
    (folder / "datalist.json").write_text(json.dumps(content))
    (folder / "fingerprint.json").write_text('{"grid": 1.5}')
    return folder


@pytest.fixture
def experiment(tmp_path: Path) -> Experiment:
    sites = {name: write_folder(tmp_path / name, 6) for name in ("north", "south", "east")}
    return Experiment("t1w_synthesis", sites["north"], sites["south"], sites["east"], tmp_path / "out")


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What would be run; each command leaves what the real one leaves."""
    made: list[str] = []

    def call(command: str, bundle: str, dataset_dir: Path, output_dir: Path, *words: str) -> None:
        made.append(f"{command} {output_dir.name} on {dataset_dir.name} {' '.join(words)}")
        output_dir.mkdir(parents=True)
        (output_dir / "run.json").write_text('{"status": "completed"}')
        name = "summary.json" if command == "evaluate" else "discriminator.pt"
        (output_dir / name).write_text(json.dumps(SUMMARY))

    monkeypatch.setattr(subject, "_call", call)
    return made


def test_nobody_is_tuned_on_and_judged_on(experiment: Experiment) -> None:
    tuning, testing = deal_target(experiment)
    assert len({record["subject"] for record in tuning}) == 3
    assert len(testing) == 3
    assert not {record["subject"] for record in tuning} & {record["subject"] for record in testing}


def test_the_test_part_is_judged_on_where_there_is_one(tmp_path: Path, experiment: Experiment) -> None:
    target = write_folder(tmp_path / "west", 4, testing=2)
    _, testing = deal_target(Experiment("t1w_synthesis", experiment.first, experiment.second, target, tmp_path / "o"))
    assert [record["subject"] for record in testing] == ["test0", "test1"]


def test_one_of_the_people_tuned_on_validates(experiment: Experiment) -> None:
    tuning, _ = deal_target(experiment)
    assert sorted(record["fold"] for record in tuning) == [0, 1, 2]


def test_both_trainings_and_the_fine_tuning_are_judged_on_the_target(experiment: Experiment, calls: list[str]) -> None:
    summaries = generalize(experiment)
    assert list(summaries) == ["trained on north", "trained on south", "trained on south, fine-tuned on 3 of east"]
    assert [call.split(" on ")[0] for call in calls] == [
        "train train_first",
        "evaluate evaluate_train_first",
        "train train_second",
        "evaluate evaluate_train_second",
        "train fine_tuned",
        "evaluate evaluate_fine_tuned",
    ]
    assert all(" on target " in call for call in calls if call.startswith("evaluate"))
    assert "--pretrained " in calls[4]
    assert "--pretrained_discriminator " in calls[4]


def test_the_result_is_one_table_and_one_figure(experiment: Experiment, calls: list[str]) -> None:
    generalize(experiment)
    page = (experiment.output / "generalization.md").read_text()
    assert "| trained on north | 2 | 0.30 (0.20 to 0.40) | 0.80 |" in page
    assert (experiment.output / "generalization.csv").read_text().count("\n") == 4
    assert (experiment.output / "generalization.png").stat().st_size > 5000


def test_what_is_finished_is_not_done_again(experiment: Experiment, calls: list[str]) -> None:
    generalize(experiment)
    calls.clear()
    generalize(experiment)
    assert calls == []


def test_a_training_that_was_interrupted_is_resumed(experiment: Experiment, calls: list[str]) -> None:
    run = experiment.output / "train_first"
    generalize(experiment)
    (run / "run.json").write_text('{"status": "interrupted"}')
    (run / "last.pt").touch()
    calls.clear()
    with pytest.raises(FileExistsError):  # the stand-in makes its folder anew
        generalize(experiment)
    assert calls[0].endswith("--resume true")


def test_too_few_people_are_refused_before_anything_runs(
    tmp_path: Path, experiment: Experiment, calls: list[str]
) -> None:
    target = write_folder(tmp_path / "west", 3)
    with pytest.raises(ConfigurationError, match=r"TRN011.*3 people to fine-tune on and 0 cases"):
        generalize(Experiment("t1w_synthesis", experiment.first, experiment.second, target, tmp_path / "o"))
    assert calls == []


def test_another_experiment_in_the_folder_is_refused(experiment: Experiment, calls: list[str]) -> None:
    generalize(experiment)
    with pytest.raises(OutputConflict, match="another experiment"):
        generalize(
            Experiment("t1w_synthesis", experiment.second, experiment.first, experiment.target, experiment.output)
        )


def test_a_step_that_fails_ends_with_its_own_code(experiment: Experiment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: subprocess.CompletedProcess((), returncode=3))
    with pytest.raises(DataError, match="start again to go on"):
        generalize(experiment)
