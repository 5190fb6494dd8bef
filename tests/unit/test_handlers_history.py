from __future__ import annotations

import json
import logging
import math
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from ignite.engine import Engine, Events
from PIL import Image
from tiny_training import TinyTraining

from medbundles.components.handlers import History, ProgressLine, StopOnSignal
from medbundles.components.handlers.curves import draw_curves, draw_panels, panels_of
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
    assert [panel.lines for panel in panels_of(rows)] == [{"training": [(2, 1.5)]}, {"validation": [(2, 1.0)]}]


@pytest.mark.parametrize(
    ("name", "title", "unit"),
    [
        ("sensitivity", "sensitivity", "sensitivity, 0 to 1"),
        ("pixels", "Dice (pixels)", "Dice, 0 to 1"),
        ("pixels_recall", "recall (pixels)", "recall, 0 to 1"),
        ("pixels_false_positive_percent", "false positive (pixels)", "percent of label"),
        ("lesions_false_positives_per_scan", "false positives per scan (lesions)", "false positives per scan"),
        ("mean_distance", "mean distance", "mean distance"),
    ],
)
def test_metrics_are_named_in_words_with_their_unit(name: str, title: str, unit: str) -> None:
    (panel,) = panels_of([{"epoch": 1, "metrics": {name: 0.5}}], {"pixels": "dice", "lesions": None})
    assert (panel.title, panel.unit) == (title, unit)


def test_the_only_learning_rate_is_called_so() -> None:
    (panel,) = panels_of([{"epoch": 1, "learning_rates": {"network": 0.5}}])
    assert panel.title == "learning rate"


def test_several_learning_rates_tell_whose_they_are() -> None:
    panels = panels_of([{"epoch": 1, "learning_rates": {"generator": 0.5, "discriminator": 0.25}}])
    assert [panel.title for panel in panels] == ["learning rate (generator)", "learning rate (discriminator)"]


def test_a_loss_in_training_and_in_validation_are_two_lines_of_one_panel() -> None:
    (panel,) = panels_of([{"epoch": 1, "losses": {"loss": 2.0}, "metrics": {"loss": 3.0}}])
    assert panel.lines == {"training": [(1, 2.0)], "validation": [(1, 3.0)]}


def test_a_learning_rate_and_a_metric_of_the_same_name_are_two_panels() -> None:
    assert len(panels_of([{"epoch": 1, "learning_rates": {"network": 0.5}, "metrics": {"network": 1.0}}])) == 2


def test_the_legend_tells_training_from_validation_and_names_the_chosen_epoch() -> None:
    rows = [{"epoch": 3, "losses": {"loss": 2.0}, "metrics": {"dice": 0.5}}]
    (legend,) = draw_panels(panels_of(rows), 3, best_epoch=3).legends
    assert [text.get_text() for text in legend.get_texts()] == ["training", "validation", "chosen model: epoch 3"]


def test_no_chosen_epoch_is_not_marked() -> None:
    (legend,) = draw_panels(panels_of([{"epoch": 1, "losses": {"loss": 2.0}}]), 1).legends
    assert [text.get_text() for text in legend.get_texts()] == ["training"]


@pytest.mark.parametrize("epochs", [1, 2, 14])
def test_ticks_are_whole_epochs(epochs: int) -> None:
    rows = [{"epoch": epoch, "losses": {"loss": 2.0}} for epoch in range(1, epochs + 1)]
    (axes,) = draw_panels(panels_of(rows), epochs).axes
    low, high = axes.get_xlim()
    ticks = [tick for tick in axes.get_xticks() if low <= tick <= high]
    assert ticks
    assert all(tick == int(tick) >= 1 for tick in ticks)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[int], int | None]]:
    """Epochs and chosen epoch of each picture of curves."""
    pictures: list[tuple[list[int], int | None]] = []

    def draw(rows: Any, path: Any, best_epoch: int | None, scores: Any) -> None:
        pictures.append(([row["epoch"] for row in rows], best_epoch))

    monkeypatch.setattr("medbundles.components.handlers.history.draw_curves", draw)
    return pictures


def test_curves_are_redrawn_when_a_signal_ends_the_training(tmp_path: Path, drawn: list[Any]) -> None:
    class Interrupt:
        """Ctrl-C in the third epoch."""

        def attach(self, engine: Engine) -> None:
            engine.add_event_handler(Events.ITERATION_STARTED(once=9), lambda: os.kill(os.getpid(), signal.SIGINT))

    handlers = [StopOnSignal(), Interrupt()]
    TinyTraining(tmp_path, epochs=8, interval=8, scores=[1.0], history={}, extra_handlers=handlers).run()
    assert drawn == [([1], 1), ([1, 2], 1)]


def test_curves_that_show_the_last_epoch_are_not_drawn_twice(tmp_path: Path, drawn: list[Any]) -> None:
    TinyTraining(tmp_path, epochs=2, interval=1, scores=[1.0, 0.5], history={}).run()
    assert drawn == [([1], 1), ([1, 2], 2)]


def test_a_history_without_an_evaluator_is_drawn_at_the_end(tmp_path: Path, drawn: list[Any]) -> None:
    engine = Engine(lambda engine, batch: {"loss": 1.0})
    History(tmp_path, tensorboard=False).attach(engine)
    engine.run([0], max_epochs=2)
    assert drawn == [([1, 2], None)]


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


def test_a_line_cut_short_by_a_power_failure_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "history.jsonl").write_text('{"epoch": 1}\n{"epoch": 2, "los')
    assert read_history(tmp_path / "history.jsonl") == [{"epoch": 1}]
