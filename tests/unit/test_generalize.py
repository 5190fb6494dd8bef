"""The generalization experiment: who is tuned on and who is judged, what is done again and what is not."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from medbundles import generalize as subject
from medbundles.cli import app
from medbundles.errors import ConfigurationError, DataError, Interrupted, OutputConflict, Terminated
from medbundles.generalize import Experiment, deal_target, generalize, labels_of

SUMMARY = {"quality": {"n": 2, "mae": 0.3, "ssim": 0.8, "intervals": {"mae": [0.2, 0.4], "ssim": None}}}


def write_folder(folder: Path, people: int, testing: int = 0, grid: float = 1.5, **entries: Any) -> Path:
    folder.mkdir(parents=True)

    def record(name: str, fold: int) -> dict[str, Any]:
        return {"image": f"images/{name}.nii.gz", "label": f"labels/{name}.nii.gz", "subject": name, "fold": fold}

    training = [record(f"person{number}", number % 2) for number in range(people)]
    content = {"training": training, "testing": [record(f"test{number}", 0) for number in range(testing)]}
    (folder / "datalist.json").write_text(json.dumps({**content, **entries}))
    names = [record["subject"] for record in [*training, *content["testing"]]]
    cases = {name: {"image_sha256": f"{folder.parent.name} {folder.name} {name}"} for name in names}
    (folder / "fingerprint.json").write_text(json.dumps({"grid": grid, "cases": cases}))
    return folder


def among(experiment: Experiment, **folders: Any) -> Experiment:
    """Return the experiment with other folders, in an output folder of its own."""
    return replace(experiment, output=experiment.output.with_name("other"), **folders)


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


def test_a_step_that_fails_ends_with_its_own_code(
    tmp_path: Path, experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nexit 3\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    with pytest.raises(DataError, match="start again to go on"):
        generalize(experiment)


@pytest.mark.parametrize(("stop", "passed_on"), [(Terminated, ["terminate"]), (KeyboardInterrupt, [])])
def test_a_stop_waits_for_the_step_that_runs(
    stop: type[BaseException], passed_on: list[str], experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []

    class Child:
        def __init__(self, line: list[str], env: object) -> None:
            self.waits = 0

        def wait(self) -> int:
            self.waits += 1
            if self.waits == 1:
                raise stop
            done.append("waited")
            return 130

        def terminate(self) -> None:
            done.append("terminate")

    monkeypatch.setattr(subprocess, "Popen", Child)
    with pytest.raises(Interrupted, match="start again to go on"):
        generalize(experiment)
    assert done == [*passed_on, "waited"]


def test_folders_of_one_name_are_told_apart_by_their_paths(tmp_path: Path, experiment: Experiment) -> None:
    assert labels_of([tmp_path / "a" / "data", tmp_path / "c" / "data"]) == ["a/data", "c/data"]


def test_folders_of_one_name_have_a_row_each(tmp_path: Path, experiment: Experiment, calls: list[str]) -> None:
    first, second, target = (write_folder(tmp_path / site / "data", 6) for site in "acb")
    names = list(generalize(among(experiment, first=first, second=second, target=target)))
    tuned = "trained on c/data, fine-tuned on 3 of b/data"
    assert names == ["trained on a/data", "trained on c/data", tuned]


@pytest.mark.parametrize("role", ["second", "target"])
def test_a_folder_that_is_given_twice_is_refused(role: str, experiment: Experiment, calls: list[str]) -> None:
    with pytest.raises(ConfigurationError, match=f"CFG002.*--{role} is the same folder as --first"):
        generalize(among(experiment, **{role: experiment.first}))
    assert calls == []


def test_a_copy_of_what_was_trained_on_is_no_test(tmp_path: Path, experiment: Experiment, calls: list[str]) -> None:
    copy = shutil.copytree(experiment.second, tmp_path / "copy")
    with pytest.raises(DataError, match=r"NII014.*person0.*--second trains on images that --target has too"):
        generalize(among(experiment, target=copy))
    assert calls == []


def test_files_are_compared_where_no_fingerprint_tells(tmp_path: Path, experiment: Experiment) -> None:
    for folder, image in ((experiment.first, "images/person4.nii.gz"), (experiment.target, "images/person2.nii.gz")):
        (folder / "fingerprint.json").write_text('{"grid": 1.5}')
        (folder / "images").mkdir()
        (folder / image).write_bytes(b"the same person")
    with pytest.raises(DataError, match=r"NII014.*person4.*case person2"):
        generalize(experiment)


def test_people_of_one_name_at_two_sites_are_only_pointed_out(
    experiment: Experiment, calls: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    generalize(experiment)
    assert "6 people of --first are called as people of --target" in capsys.readouterr().err


def test_another_grid_is_refused_before_anything_runs(tmp_path: Path, experiment: Experiment, calls: list[str]) -> None:
    coarse = write_folder(tmp_path / "coarse", 6, grid=3.0)
    with pytest.raises(ConfigurationError, match=r"CFG004.*--second is on a grid of 3 mm, --target on one of 1.5 mm"):
        generalize(among(experiment, second=coarse))
    assert calls == []


def test_a_channel_that_one_site_lacks_is_refused_before_anything_runs(
    tmp_path: Path, experiment: Experiment, calls: list[str]
) -> None:
    poor = write_folder(tmp_path / "poor", 6, channels=["mean_b0", "mean_dwi"])
    with pytest.raises(DataError, match=r"NII008.*--target has no channel l1, l2"):
        generalize(among(experiment, target=poor))
    assert calls == []


def test_channels_that_are_not_trained_on_may_lack(tmp_path: Path, experiment: Experiment, calls: list[str]) -> None:
    poor = write_folder(tmp_path / "poor", 6, channels=["mean_b0", "mean_dwi"])
    generalize(replace(among(experiment, target=poor), train=("--channels", "[mean_dwi]")))
    assert len(calls) == 6


@pytest.mark.parametrize("written", ["--fine_tune_epochs", "--fine-tune-epochs"])
def test_options_are_written_like_keys_or_with_dashes(
    written: str, experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Experiment] = []
    monkeypatch.setattr(
        subject, "generalize", lambda one: asked.append(one) or subject.publish(one.output, {"x": SUMMARY})
    )
    folders = ("--first", "a", "--second", "c", "--target", "b", "--output", str(experiment.output))
    result = CliRunner().invoke(app, ["generalize", "x", *folders, "--overlay", "smoke", written, "2"])
    assert result.exit_code == 0, result.output
    assert (asked[0].fine_tune[:2], asked[0].train) == (("--max_epochs", "2"), ("--overlay", "smoke"))


def write_config(experiment: Experiment, text: str) -> tuple[str, str]:
    path = experiment.output.with_name("mine.yaml")
    path.write_text(text)
    return "--config_file", str(path)


def test_a_configuration_file_says_what_the_networks_take(
    tmp_path: Path, experiment: Experiment, calls: list[str]
) -> None:
    poor = write_folder(tmp_path / "poor", 6, channels=["mean_b0", "mean_dwi"])
    words = write_config(experiment, "channels: [mean_dwi]")
    generalize(replace(among(experiment, target=poor), train=words))
    assert all(" ".join(words) in call for call in calls if call.startswith("train"))


def test_channels_of_a_configuration_file_that_a_site_lacks_are_refused(
    tmp_path: Path, experiment: Experiment, calls: list[str]
) -> None:
    poor = write_folder(tmp_path / "poor", 6, channels=["mean_b0", "mean_dwi"])
    with pytest.raises(DataError, match=r"NII008.*--target has no channel fa,"):
        generalize(replace(among(experiment, target=poor), train=write_config(experiment, "channels: [mean_b0, fa]")))
    assert calls == []


def test_a_changed_configuration_file_makes_another_experiment(experiment: Experiment, calls: list[str]) -> None:
    generalize(replace(experiment, train=write_config(experiment, "max_epochs: 1")))
    with pytest.raises(OutputConflict, match="another experiment"):
        generalize(replace(experiment, train=write_config(experiment, "max_epochs: 2")))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--overlay", "smok"), "CFG001.*smoke"),
        (("--config_file", "absent.yaml"), "CFG001.*absent.yaml"),
        (("--config_file", __file__), "CFG003.*cannot be read"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_before_anything_runs(
    experiment: Experiment, calls: list[str], words: tuple[str, str], said: str
) -> None:
    with pytest.raises(ConfigurationError, match=said):
        generalize(replace(experiment, train=words))
    assert calls == []


@pytest.mark.parametrize("name", ["datalist.json", "fingerprint.json"])
def test_data_prepared_anew_in_the_same_place_are_another_experiment(
    name: str, experiment: Experiment, calls: list[str]
) -> None:
    generalize(experiment)
    with (experiment.first / name).open("a") as file:
        file.write("\n")
    with pytest.raises(OutputConflict, match="another experiment"):
        generalize(experiment)


def test_a_record_that_does_not_say_which_data_is_of_another_experiment(
    experiment: Experiment, calls: list[str]
) -> None:
    generalize(experiment)
    record = experiment.output / "experiment.json"
    facts = json.loads(record.read_text())
    del facts["data"]
    record.write_text(json.dumps(facts))
    with pytest.raises(OutputConflict, match="another experiment"):
        generalize(experiment)
