from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ignite.engine import Engine, Events
from monai.bundle import ConfigParser
from monai.data import DataLoader
from tiny_training import TinyTraining, make_dataset, make_network
from torch import nn

from medbundles.components.handlers import (
    EarlyStop,
    EpochReseed,
    HandlerGroup,
    ScheduledValidation,
    StopOnNan,
    WeightAverage,
)
from medbundles.components.handlers.epoch_reseed import epoch_seed
from medbundles.components.handlers.outputs import case_names
from medbundles.errors import ConfigurationError, DataError


def draws_of(epochs: int, reseed: EpochReseed, disturb: bool = False) -> list[tuple[float, float, float]]:
    draws = []

    def step(engine: Engine, batch: Any) -> None:
        draws.append((torch.rand(1).item(), float(np.random.rand()), random.random()))
        if disturb:
            torch.rand(7), np.random.rand(7), random.random()

    engine = Engine(step)
    reseed.attach(engine)
    engine.run([0], max_epochs=epochs)
    return draws


def test_every_epoch_draws_its_own_numbers_whatever_was_drawn_before() -> None:
    assert draws_of(3, EpochReseed(1)) == draws_of(3, EpochReseed(1), disturb=True)


def test_epochs_seeds_and_processes_draw_different_numbers() -> None:
    seeds = [epoch_seed(*arguments) for arguments in ((0, 1, 0), (0, 2, 0), (1, 1, 0), (0, 1, 1))]
    assert len(set(seeds)) == 4


def test_random_transforms_repeat_in_a_repeated_epoch() -> None:
    def images(workers: int) -> list[torch.Tensor]:
        seen = []
        engine = Engine(lambda engine, batch: seen.append(batch["image"].clone()))
        EpochReseed(0).attach(engine)
        engine.run(DataLoader(make_dataset(), batch_size=4, shuffle=True, num_workers=workers), max_epochs=2)
        return seen

    first, second = images(0), images(0)
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))
    assert not torch.equal(first[0], first[2])


def test_samplers_and_data_sets_are_told_the_epoch() -> None:
    told: list[tuple[str, int]] = []

    class Listener(list[int]):
        def __init__(self, name: str) -> None:
            super().__init__([0])
            self.name = name

        def set_epoch(self, epoch: int) -> None:
            told.append((self.name, epoch))

    class Loader(Listener):
        batch_sampler, dataset = Listener("batch_sampler"), Listener("dataset")

    engine = Engine(lambda engine, batch: None)
    EpochReseed(0).attach(engine)
    engine.run(Loader("loader"), max_epochs=2)
    assert told == [("batch_sampler", 1), ("dataset", 1), ("batch_sampler", 2), ("dataset", 2)]


def test_workers_that_outlive_an_epoch_are_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    engine = Engine(lambda engine, batch: None)
    EpochReseed(0).attach(engine)
    engine.run(DataLoader(make_dataset(), batch_size=4, num_workers=1, persistent_workers=True), max_epochs=1)
    assert "persistent workers keep their random state" in caplog.text


@pytest.mark.parametrize(
    ("interval", "first", "expected"), [(5, True, [1, 5, 10, 12]), (5, False, [5, 10, 12]), (1, True, [*range(1, 13)])]
)
def test_validation_comes_at_the_first_every_so_many_and_the_last_epoch(
    interval: int, first: bool, expected: list[int]
) -> None:
    schedule = ScheduledValidation(Engine(lambda engine, batch: None), interval, first)
    assert [epoch for epoch in range(1, 13) if schedule.is_due(epoch, 12)] == expected


def test_the_evaluator_runs_at_the_scheduled_epochs(tmp_path: Path) -> None:
    validated: list[int] = []
    training = TinyTraining(tmp_path, epochs=4, interval=3)
    training.evaluator.add_event_handler(Events.COMPLETED, lambda e: validated.append(e.state.epoch))
    training.run()
    assert validated == [1, 3, 4]


def test_an_interval_of_no_epochs_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="at least 1 epoch, got 0"):
        ScheduledValidation(None, 0)


def early_stopped(folder: Path, scores: list[float], patience: int, **options: Any) -> TinyTraining:
    training = TinyTraining(folder, len(scores), scores=scores, interval=1, lower_is_better=False, **options)
    EarlyStop(patience, training.evaluator).attach(training.trainer)
    return training.run()


def test_training_stops_when_the_score_has_not_improved_for_the_patience(tmp_path: Path) -> None:
    assert early_stopped(tmp_path, [1, 3, 2, 3, 4, 0], patience=2).trainer.state.epoch == 4


def test_an_improvement_in_time_starts_the_count_again(tmp_path: Path) -> None:
    assert early_stopped(tmp_path, [1, 0, 2, 0, 3, 0], patience=2).trainer.state.epoch == 6


def test_an_equal_score_is_no_improvement(tmp_path: Path) -> None:
    assert early_stopped(tmp_path, [3, 3, 3, 3], patience=2).trainer.state.epoch == 3


def test_no_patience_never_stops(tmp_path: Path) -> None:
    assert early_stopped(tmp_path, [3, 2, 1], patience=0).trainer.state.epoch == 3


def test_a_resumed_run_goes_on_counting(tmp_path: Path) -> None:
    early_stopped(tmp_path, [3, 2], patience=3)
    assert early_stopped(tmp_path, [3, 2, 1, 0, 0, 0], patience=3, resume=True).trainer.state.epoch == 4


def test_a_run_that_has_stopped_early_does_not_go_on_when_resumed(tmp_path: Path) -> None:
    early_stopped(tmp_path, [3, 2, 1, 0], patience=1)
    assert early_stopped(tmp_path, [3, 2, 1, 0], patience=1, resume=True).losses == []


def test_negative_patience_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="patience must be 0"):
        EarlyStop(-1, None)


def averaged(network: nn.Module, weights: list[float], decay: float) -> WeightAverage:
    average = WeightAverage(network, decay)

    def step(engine: Engine, weight: float) -> None:
        for parameter in network.parameters():
            nn.init.constant_(parameter, weight)

    engine = Engine(step)
    average.attach(engine)
    engine.run(weights, max_epochs=1)
    return average


def test_the_average_follows_its_formula() -> None:
    network = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(network.weight)
    average = averaged(network, [1.0, 2.0], decay=0.25)
    # Iterations 1 and 2 keep at most 2/11 and 3/12 of what was averaged before.
    assert average.model.weight.item() == pytest.approx((9 / 11 * 1.0) * 0.25 + 0.75 * 2.0)


def test_the_average_starts_from_weights_loaded_after_it_was_made() -> None:
    network = nn.Linear(1, 1, bias=False)
    average = WeightAverage(network, 0.5)
    nn.init.constant_(network.weight, 7.0)
    engine = Engine(lambda engine, batch: None)
    average.attach(engine)
    engine.run([0], max_epochs=1)
    assert average.model.weight.item() == pytest.approx(7.0)


def test_running_statistics_are_averaged_and_counters_copied() -> None:
    network = make_network()
    average = WeightAverage(network, 0.5)
    engine = Engine(lambda engine, batch: network(torch.full((2, 1, 8, 8), 5.0)))
    average.attach(engine)
    engine.run([0, 0], max_epochs=1)
    own, mean = network.state_dict(), average.model.state_dict()
    assert not torch.equal(own["1.running_mean"], mean["1.running_mean"])
    assert mean["1.num_batches_tracked"] == 2


def test_no_decay_is_the_network_itself() -> None:
    network = make_network()
    average = WeightAverage(network)
    assert average.model is network
    assert average.state_dict() == {}


def test_an_average_switched_on_by_a_resume_starts_from_the_network() -> None:
    network = make_network()
    average = WeightAverage(network, 0.9)
    nn.init.constant_(network[4].bias, 3.0)
    average.load_state_dict({})
    assert average.model.state_dict()["4.bias"].item() == 3.0


@pytest.mark.parametrize("decay", [-0.1, 1.0])
def test_a_decay_outside_its_range_is_refused(decay: float) -> None:
    with pytest.raises(ValueError, match="decay must be in"):
        WeightAverage(make_network(), decay)


@pytest.mark.parametrize("value", ["nan", "inf"])
def test_a_loss_that_is_not_finite_is_refused_in_a_list_of_items_too(value: str) -> None:
    def take_apart(engine: Engine) -> None:
        engine.state.batch = [{"case": "a"}, {"case": "b"}]

    engine = Engine(lambda engine, batch: [{"loss": torch.tensor(float(value))}] * 2)
    engine.add_event_handler(Events.ITERATION_COMPLETED, take_apart)
    StopOnNan().attach(engine)
    with pytest.raises(DataError, match=f"loss is {value} in epoch 1, iteration 1; cases of the batch: a, b"):
        engine.run([0], max_epochs=1)


@pytest.mark.parametrize(
    ("batch", "expected"),
    [({"case": ["a", "b"]}, ["a", "b"]), ([{"case": "a"}], ["a"]), ({"image": 0}, []), (torch.ones(2), [])],
)
def test_cases_are_named_however_the_batch_is_held(batch: Any, expected: list[str]) -> None:
    assert list(case_names(batch)) == expected


def test_a_group_gives_handlers_of_a_configuration_names_and_passes_over_disabled_ones() -> None:
    attached: list[Any] = []
    parser = ConfigParser(
        {
            "handlers": [
                {
                    "_target_": "medbundles.components.handlers.HandlerGroup",
                    "reseed": {"_target_": "medbundles.components.handlers.EpochReseed", "seed": 3},
                    "nan": {"_target_": "medbundles.components.handlers.StopOnNan", "_disabled_": True},
                }
            ]
        }
    )
    parser["handlers::0::reseed::seed"] = 5
    (group,) = parser.get_parsed_content("handlers")
    assert isinstance(group, HandlerGroup)
    group.handlers["reseed"].attach = lambda engine: attached.append(group.handlers["reseed"].seed)
    group.attach(Engine(lambda engine, batch: None))
    assert attached == [5]
