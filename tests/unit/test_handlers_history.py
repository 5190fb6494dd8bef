from __future__ import annotations

import json
import logging
import math
from pathlib import Path
from typing import Any

import pytest
from ignite.engine import Engine
from PIL import Image
from tiny_training import TinyTraining

from medbundles.components.handlers import History, ProgressLine
from medbundles.components.handlers.curves import curves_of, draw_curves
from medbundles.components.handlers.history import read_history


def test_every_epoch_is_one_line_and_validated_ones_have_their_scores(tmp_path: Path) -> None:
    TinyTraining(tmp_path, epochs=3, interval=2, scores=[0.5, 0.25, 0.125], history={}).run()
    rows = [json.loads(line) for line in (tmp_path / "history.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert [row["metrics"]["score"] for row in rows] == [0.5, 0.25, 0.125]
    assert rows[0]["learning_rates"] == {"generator": 0.01, "discriminator": 0.01}
    assert all(row["losses"]["loss"] > 0 and row["seconds"] > 0 for row in rows)


def test_the_loss_is_the_mean_over_the_epoch(tmp_path: Path) -> None:
    training = TinyTraining(tmp_path, epochs=1, history={}).run()
    (row,) = read_history(tmp_path / "history.jsonl")
    assert row["losses"]["loss"] == pytest.approx(sum(training.losses) / len(training.losses))


def test_lines_of_epochs_that_a_resumed_run_repeats_are_cut(tmp_path: Path) -> None:
    TinyTraining(tmp_path, epochs=2, scores=[1, 2], interval=1, history={}).run()
    with (tmp_path / "history.jsonl").open("a") as handle:
        handle.write('{"epoch": 3, "losses": {"loss": -1.0}}\n')
    TinyTraining(tmp_path, epochs=4, scores=[1, 2, 3, 4], interval=1, resume=True, history={}).run()
    rows = read_history(tmp_path / "history.jsonl")
    assert [(row["epoch"], row["metrics"]["score"]) for row in rows] == [(1, 1), (2, 2), (3, 3), (4, 4)]


def test_a_run_that_starts_anew_starts_its_history_anew(tmp_path: Path) -> None:
    for _ in range(2):
        TinyTraining(tmp_path, epochs=1, history={}).run()
    assert len(read_history(tmp_path / "history.jsonl")) == 1


def test_a_score_that_is_no_number_is_null(tmp_path: Path) -> None:
    TinyTraining(tmp_path, epochs=1, scores=[math.nan], history={}).run()
    assert read_history(tmp_path / "history.jsonl")[0]["metrics"] == {"score": None}


def test_chosen_figures_of_a_summary_are_recorded(tmp_path: Path) -> None:
    class Pixels:
        def summary(self) -> dict[str, Any]:
            return {"n": 4, "recall": 0.5, "precision": None}

    options = {"metrics": {"pixels": Pixels()}, "figures": ["recall", "precision", "dice"]}
    TinyTraining(tmp_path, epochs=1, scores=[1.0], history=options).run()
    metrics = read_history(tmp_path / "history.jsonl")[0]["metrics"]
    assert metrics == {"score": 1.0, "pixels_recall": 0.5, "pixels_precision": None}


def test_scalars_lie_in_tensorboard_files_beside_it(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    TinyTraining(tmp_path, epochs=2, scores=[0.5, 0.25], interval=1, history={"tensorboard": True}).run()
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(event.step, event.value) for event in events.Scalars("validation/score")] == [(1, 0.5), (2, 0.25)]


def test_curves_leave_out_what_is_no_number() -> None:
    rows = [{"epoch": 1, "losses": {"loss": None}}, {"epoch": 2, "losses": {"loss": 1.5}, "metrics": {"dice": 1}}]
    assert curves_of(rows) == {"loss": [(2, 1.5)], "dice": [(2, 1.0)]}


def test_curves_are_drawn_at_a_validation(tmp_path: Path) -> None:
    TinyTraining(tmp_path, epochs=1, history={}).run()
    assert Image.open(tmp_path / "curves.png").width > 300


def test_no_numbers_draw_no_picture(tmp_path: Path) -> None:
    draw_curves([{"epoch": 1, "losses": {"loss": None}}], tmp_path / "curves.png")
    assert not (tmp_path / "curves.png").exists()


def test_no_history_is_an_empty_one(tmp_path: Path) -> None:
    assert read_history(tmp_path / "history.jsonl") == []


def test_only_the_writer_of_a_group_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    engine = Engine(lambda engine, batch: {"loss": 1.0})
    History(tmp_path).attach(engine)
    engine.run([0], max_epochs=1)
    assert list(tmp_path.iterdir()) == []


def test_without_a_terminal_an_epoch_is_one_line_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "medbundles")
    training = TinyTraining(tmp_path, epochs=2, scores=[0.5, 0.25], interval=2)
    ProgressLine(training.evaluator, terminal=False).attach(training.trainer)
    training.run()
    lines = [record.message for record in caplog.records if record.name.endswith("progress_line")]
    assert lines[0].startswith("validation 1: score 0.5; best 0.5 at epoch 1")
    assert lines[1].startswith("epoch 1/2: loss ")
    assert len(lines) == 4


def test_on_a_terminal_a_bar_shows_every_iteration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    training = TinyTraining(tmp_path, epochs=1)
    ProgressLine(training.evaluator, terminal=True).attach(training.trainer)
    training.run()
    assert "validation 1" in capsys.readouterr().err
