"""Gradients that are too long are shortened, others are left alone."""

from __future__ import annotations

import pytest
import torch
from monai.data import DataLoader
from monai.engines import SupervisedTrainer

from medbundles.components.handlers import GradientClip
from medbundles.errors import ConfigurationError


def step_length(label: float, largest_norm: float | None) -> float:
    """Return how far one step of plain descent at rate 1 moves the weights."""
    network = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.zeros_(network.weight)
    optimizer = torch.optim.SGD(network.parameters(), lr=1.0)
    trainer = SupervisedTrainer(
        device=torch.device("cpu"),
        max_epochs=1,
        train_data_loader=DataLoader([{"image": torch.ones(1), "label": torch.full((1,), label)}], batch_size=1),
        network=network,
        optimizer=optimizer,
        loss_function=torch.nn.L1Loss() if abs(label) < 1 else torch.nn.MSELoss(),
        train_handlers=[GradientClip(optimizer, largest_norm)],
    )
    trainer.run()
    return float(network.weight.detach().abs())


def test_a_long_gradient_is_shortened_to_the_largest_norm() -> None:
    assert step_length(5.0, 0.25) == pytest.approx(0.25)


def test_a_short_gradient_is_left_alone() -> None:
    assert step_length(0.5, 2.0) == pytest.approx(1.0)


def test_null_sets_no_limit() -> None:
    assert step_length(5.0, None) == pytest.approx(10.0)


@pytest.mark.parametrize("norm", [0.0, -1.0, float("nan")])
def test_a_norm_that_is_not_above_0_is_refused(norm: float) -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    with pytest.raises(ConfigurationError, match="gradient_clip"):
        GradientClip(optimizer, norm)
