from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Engine, Events
from tiny_training import TinyTraining, make_network
from torch import nn

from medbundles.components.handlers import ResumableCheckpoint
from medbundles.components.tensor_file import read_tensor_file
from medbundles.errors import ConfigurationError, DataError


class StopAt:
    """Ends a run like a power cut: with an exception, in the middle of an epoch."""

    def __init__(self, iteration: int) -> None:
        self.iteration = iteration

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.ITERATION_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        if engine.state.iteration == self.iteration:
            raise KeyboardInterrupt


def cut_short(**options: Any) -> None:
    with pytest.raises(KeyboardInterrupt):
        TinyTraining(extra_handlers=[StopAt(11)], **options).run()


def assert_same(first: Any, second: Any, where: str = "") -> None:
    if isinstance(first, torch.Tensor):
        assert torch.equal(first, second), where
    elif isinstance(first, dict):
        assert first.keys() == second.keys(), where
        for key in first:
            assert_same(first[key], second[key], f"{where}.{key}")
    elif isinstance(first, list | tuple):
        for index, (one, other) in enumerate(zip(first, second, strict=True)):
            assert_same(one, other, f"{where}[{index}]")
    else:
        assert first == second, where


@pytest.mark.parametrize("workers", [0, 2])
def test_a_resumed_run_is_bit_equal_to_an_uninterrupted_one(tmp_path: Path, workers: int) -> None:
    TinyTraining(tmp_path / "whole", workers=workers).run()
    cut_short(output_dir=tmp_path / "parts", workers=workers)
    TinyTraining(tmp_path / "parts", workers=workers, resume=True).run()
    for name in ("last.pt", "best.pt", "model.pt", "discriminator.pt"):
        assert_same(read_tensor_file(tmp_path / "whole" / name), read_tensor_file(tmp_path / "parts" / name), name)


def test_a_resumed_run_is_bit_equal_when_epochs_are_shorter_than_the_loader(tmp_path: Path) -> None:
    TinyTraining(tmp_path / "whole", epoch_length=3).run()
    cut_short(output_dir=tmp_path / "parts", epoch_length=3)
    TinyTraining(tmp_path / "parts", epoch_length=3, resume=True).run()
    assert_same(read_tensor_file(tmp_path / "whole/last.pt"), read_tensor_file(tmp_path / "parts/last.pt"))


def test_a_worse_model_after_a_resume_does_not_replace_the_best_one(tmp_path: Path) -> None:
    TinyTraining(tmp_path, epochs=2, scores=[0.3, 0.5], interval=1, lower_is_better=True).run()
    best = read_tensor_file(tmp_path / "model.pt")
    resumed = TinyTraining(tmp_path, epochs=4, scores=[0, 0, 0.6, 0.4], interval=1, resume=True).run()
    assert resumed.evaluator.state.best_metric == 0.3
    assert_same(read_tensor_file(tmp_path / "model.pt"), best)


def test_a_better_model_after_a_resume_replaces_the_best_one(tmp_path: Path) -> None:
    TinyTraining(tmp_path, epochs=2, scores=[0.3, 0.5], interval=1, lower_is_better=False).run()
    TinyTraining(tmp_path, epochs=3, scores=[0, 0, 0.6], interval=1, lower_is_better=False, resume=True).run()
    assert read_tensor_file(tmp_path / "best.pt")["evaluator"]["best_metric"] == 0.6


def test_a_score_that_is_no_number_is_replaced_by_any_number(tmp_path: Path) -> None:
    TinyTraining(tmp_path, scores=[math.nan, math.nan, 9.0, 10.0], interval=1).run()
    assert read_tensor_file(tmp_path / "best.pt")["trainer"]["epoch"] == 3


def test_weight_files_hold_the_networks_of_the_best_epoch_and_nothing_else(tmp_path: Path) -> None:
    TinyTraining(tmp_path, scores=[3.0, 1.0, 2.0, 2.0], interval=1).run()
    best = read_tensor_file(tmp_path / "best.pt")
    assert best["trainer"]["epoch"] == 2
    assert_same(read_tensor_file(tmp_path / "model.pt"), best["objects"]["average"])
    assert_same(read_tensor_file(tmp_path / "discriminator.pt"), best["networks"]["discriminator"])


def test_weight_files_fit_the_network_without_its_wrappers(tmp_path: Path) -> None:
    wrapped = nn.DataParallel(make_network())
    trainer = Engine(lambda engine, batch: None)
    ResumableCheckpoint(tmp_path, {"network": wrapped}).attach(trainer)
    trainer.run([0], max_epochs=1)
    make_network().load_state_dict(read_tensor_file(tmp_path / "model.pt"))


def test_without_an_evaluator_the_last_model_is_the_best(tmp_path: Path) -> None:
    network = nn.Linear(1, 1)

    def step(engine: Engine, batch: Any) -> None:
        nn.init.constant_(network.weight, engine.state.epoch)

    trainer = Engine(step)
    ResumableCheckpoint(tmp_path, {"network": network}).attach(trainer)
    trainer.run([0], max_epochs=3)
    assert read_tensor_file(tmp_path / "model.pt")["weight"].item() == 3


def test_the_interval_spares_checkpoints_but_not_validated_epochs_nor_the_last(tmp_path: Path) -> None:
    written: list[int] = []
    training = TinyTraining(tmp_path, epochs=7, interval=5, checkpoint_interval=3)
    write = training.checkpoint.folder.write_last

    def remember(content: dict[str, Any]) -> None:
        written.append(content["trainer"]["epoch"])
        write(content)

    training.checkpoint.folder.write_last = remember  # type: ignore[method-assign]
    training.run()
    assert sorted(set(written)) == [1, 3, 5, 6, 7]


def test_resuming_where_nothing_was_saved_yet_starts_with_epoch_one(tmp_path: Path) -> None:
    assert TinyTraining(tmp_path, epochs=1, resume=True).run().trainer.state.epoch == 1


def test_a_run_started_anew_cannot_be_resumed_from_the_one_before(tmp_path: Path) -> None:
    TinyTraining(tmp_path, epochs=3).run()
    with pytest.raises(KeyboardInterrupt):
        TinyTraining(tmp_path, extra_handlers=[StopAt(2)]).run()
    assert len(TinyTraining(tmp_path, epochs=1, resume=True).run().losses) == 4


def test_resuming_a_finished_run_trains_nothing(tmp_path: Path) -> None:
    TinyTraining(tmp_path, epochs=2).run()
    assert TinyTraining(tmp_path, epochs=2, resume=True).run().losses == []


def test_resuming_with_more_epochs_lets_the_schedule_end_at_the_new_end(tmp_path: Path) -> None:
    TinyTraining(tmp_path, epochs=2).run()
    resumed = TinyTraining(tmp_path, epochs=6, resume=True).run()
    assert resumed.schedules["generator"].T_max == 6


def test_resuming_from_a_path_takes_that_checkpoint(tmp_path: Path) -> None:
    TinyTraining(tmp_path / "first", scores=[1, 2, 2, 2], interval=1).run()
    resumed = TinyTraining(tmp_path / "second", epochs=3, resume=str(tmp_path / "first/best.pt")).run()
    assert len(resumed.losses) == 2 * 4


def test_a_missing_checkpoint_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"TRN011.*elsewhere\.pt"):
        TinyTraining(tmp_path, resume=tmp_path / "elsewhere.pt").run()


def test_a_damaged_checkpoint_is_refused_and_the_newest_good_one_named(tmp_path: Path) -> None:
    TinyTraining(tmp_path, epochs=2, scores=[1, 2], interval=1).run()
    (tmp_path / "last.pt").write_bytes((tmp_path / "last.pt").read_bytes()[:5000])
    with pytest.raises(DataError, match=r"TRN007.*last\.pt: damaged.*previous\.pt of epoch 2 is good: --resume "):
        TinyTraining(tmp_path, resume=True).run()


def test_the_epoch_not_the_time_of_a_file_says_which_good_checkpoint_is_the_latest(tmp_path: Path) -> None:
    TinyTraining(tmp_path, epochs=3, scores=[1, 2, 2], interval=1).run()
    (tmp_path / "last.pt").write_bytes(b"nothing")
    os.utime(tmp_path / "previous.pt", (0, 0))  # a copy of a folder may give files any time
    with pytest.raises(DataError, match=r"previous\.pt of epoch [23] is good"):
        TinyTraining(tmp_path, resume=True).run()


def test_a_damaged_checkpoint_alone_says_that_there_is_no_other(tmp_path: Path) -> None:
    (tmp_path / "last.pt").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"TRN007.*no other checkpoint"):
        TinyTraining(tmp_path, resume=True).run()


def test_weights_alone_are_no_checkpoint(tmp_path: Path) -> None:
    TinyTraining(tmp_path, epochs=1).run()
    with pytest.raises(DataError, match=r"TRN007.*model\.pt: weights only.*last\.pt of epoch 1 is good"):
        TinyTraining(tmp_path, resume=tmp_path / "model.pt").run()


def test_a_checkpoint_of_another_network_is_refused_with_the_first_differing_keys(tmp_path: Path) -> None:
    TinyTraining(tmp_path, epochs=1).run()
    with pytest.raises(ConfigurationError, match=r"TRN007.*0\.weight: \(4, 1, 3, 3\) in the file, \(6, 1, 3, 3\)"):
        TinyTraining(tmp_path, channels=6, resume=True).run()


def test_a_checkpoint_with_other_objects_is_refused(tmp_path: Path) -> None:
    TinyTraining(tmp_path, epochs=1).run()
    training = TinyTraining(tmp_path, resume=True)
    del training.checkpoint.objects["average"]
    with pytest.raises(ConfigurationError, match=r"TRN007.*other objects"):
        training.run()


def test_a_state_that_no_checkpoint_can_hold_is_refused_before_the_first_epoch(tmp_path: Path) -> None:
    class Careless:
        def state_dict(self) -> dict[str, Any]:
            return {"function": print}

    training = TinyTraining(tmp_path)
    training.checkpoint.objects["careless"] = Careless()
    with pytest.raises(ConfigurationError, match=r"objects\.careless\.function is a builtin_function"):
        training.run()
    assert training.losses == []


def test_weight_files_must_name_a_network(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="weight_files: critic is no network; known are generator"):
        TinyTraining(tmp_path, weight_files={"critic": "model.pt"})


def test_of_equal_scores_the_later_epoch_is_kept(tmp_path: Path) -> None:
    TinyTraining(tmp_path, epochs=3, scores=[0.5, 0.5, 0.4], interval=1, lower_is_better=False).run()
    assert read_tensor_file(tmp_path / "best.pt")["trainer"]["epoch"] == 2
