"""The losses that a configuration may choose for regions: what they are, and that they can be learned from."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from monai.losses import FocalLoss
from torch import Tensor

from medbundles.components.losses import (
    FalseNegativeWeightedDiceLoss,
    RegionCrossEntropyLoss,
    RegionGeneralizedDiceLoss,
)
from medbundles.errors import ConfigurationError

LOSSES: dict[str, Callable[[], torch.nn.Module]] = {
    "dice": lambda: FalseNegativeWeightedDiceLoss(weight=0.0, batch=True, per_channel=True),
    "ce": RegionCrossEntropyLoss,
    "weighted_ce": lambda: RegionCrossEntropyLoss(balance=0.5),
    "dice_ce": lambda: FalseNegativeWeightedDiceLoss(
        weight=0.0, batch=True, per_channel=True, cross_entropy_weight=1.0
    ),
    "focal": lambda: FocalLoss(gamma=2.0),
    "generalized_dice": lambda: RegionGeneralizedDiceLoss(batch=True),
}


def nested_regions() -> Tensor:
    """Return three boxes, each inside the one before, in the first of two items."""
    label = torch.zeros(2, 3, 8, 8, 8, dtype=torch.uint8)
    for region, edge in enumerate((6, 4, 2)):
        label[0, region, :edge, :edge, :edge] = 1
    return label


def towards(label: Tensor, certainty: float) -> Tensor:
    return (2.0 * label.float() - 1.0) * certainty


@pytest.mark.parametrize("name", LOSSES)
def test_a_better_prediction_costs_less(name: str) -> None:
    label = nested_regions()
    costs = [float(LOSSES[name]()(towards(label, certainty), label)) for certainty in (-3.0, 0.0, 1.0, 3.0, 9.0)]
    assert costs == sorted(costs, reverse=True)
    assert costs[-1] < 0.05 < costs[0]


@pytest.mark.parametrize("name", LOSSES)
def test_a_single_step_down_the_gradient_makes_it_less(name: str) -> None:
    label = nested_regions()
    logits = torch.zeros(label.shape, requires_grad=True)
    before = LOSSES[name]()(logits, label)
    before.backward()
    assert LOSSES[name]()(logits - 10.0 * logits.grad, label) < before


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("value", [-30.0, 0.0, 30.0])
def test_empty_regions_have_finite_gradients(name: str, value: float) -> None:
    logits = torch.full((1, 3, 4, 4, 4), value, requires_grad=True)
    LOSSES[name]()(logits, torch.zeros(1, 3, 4, 4, 4)).backward()
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("name", LOSSES)
def test_what_is_predicted_in_an_empty_region_is_corrected(name: str) -> None:
    label = nested_regions()
    label[:, 2] = 0
    logits = torch.zeros(label.shape, requires_grad=True)
    LOSSES[name]()(logits, label).backward()
    assert (logits.grad[:, 2] > 0).all()


@pytest.mark.parametrize("name", LOSSES)
def test_half_precision_logits_cost_the_same(name: str) -> None:
    label = nested_regions()
    logits = towards(label, 1.0)
    loss = LOSSES[name]()(logits.bfloat16(), label)
    assert loss.dtype == torch.float32
    assert float(loss) == pytest.approx(float(LOSSES[name]()(logits, label)), rel=1e-4)


@pytest.mark.parametrize("name", LOSSES)
def test_regions_do_not_compete(name: str) -> None:
    """Both regions of a voxel can be certain at once: a softmax over channels could not."""
    label = torch.ones(1, 2, 4, 4, 4)
    assert float(LOSSES[name]()(towards(label, 12.0), label)) < 1e-4


def test_cross_entropy_of_an_undecided_network_is_log_two() -> None:
    assert float(RegionCrossEntropyLoss()(torch.zeros(1, 2, 3, 3, 3), torch.ones(1, 2, 3, 3, 3))) == pytest.approx(
        math.log(2.0)
    )


def test_golden_value_of_weights_from_the_batch() -> None:
    # One of four voxels is inside, undecided: its weight is 3, the mean (3 + 1 + 1 + 1) / 4 x log 2.
    label = torch.tensor([1.0, 0.0, 0.0, 0.0]).view(1, 1, 4, 1, 1)
    loss = RegionCrossEntropyLoss(balance=1.0)(torch.zeros_like(label), label)
    assert float(loss) == pytest.approx(1.5 * math.log(2.0))


def test_half_the_balance_takes_the_root_of_the_weight() -> None:
    label = torch.tensor([1.0, 0.0, 0.0, 0.0]).view(1, 1, 4, 1, 1)
    loss = RegionCrossEntropyLoss(balance=0.5)(torch.zeros_like(label), label)
    assert float(loss) == pytest.approx((math.sqrt(3.0) + 3.0) / 4.0 * math.log(2.0))


def test_a_single_voxel_does_not_weigh_more_than_the_largest_weight() -> None:
    label = torch.zeros(1, 1, 10, 10, 10)
    label[0, 0, 0, 0, 0] = 1
    loss = RegionCrossEntropyLoss(balance=1.0, largest_weight=11.0)(torch.zeros_like(label), label)
    assert float(loss) == pytest.approx(1.01 * math.log(2.0))


def test_given_weights_count_for_their_own_region() -> None:
    label = torch.tensor([1.0, 1.0]).view(1, 2, 1, 1, 1)
    loss = RegionCrossEntropyLoss(positive_weights=[2.0, 5.0])(torch.zeros_like(label), label)
    assert float(loss) == pytest.approx(3.5 * math.log(2.0))


def test_golden_value_of_generalized_dice() -> None:
    # Volumes 2 and 1, all probabilities .5: weights (.4, 1.6); overlaps 1 and .5, totals 4 and 3 of four voxels.
    label = torch.tensor([[1.0, 1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]]).view(1, 2, 4, 1, 1)
    loss = RegionGeneralizedDiceLoss()(torch.zeros_like(label), label)
    assert float(loss) == pytest.approx(1.0 - (2.0 * (0.4 + 0.8) + 1.0) / (1.6 + 4.8 + 1.0))


def test_generalized_dice_without_any_region_wants_nothing_predicted() -> None:
    label = torch.zeros(1, 2, 4, 1, 1)
    loss = RegionGeneralizedDiceLoss()(torch.zeros_like(label), label)
    assert float(loss) == pytest.approx(1.0 - 1.0 / 5.0)


def test_item_by_item_an_empty_item_does_not_hide_behind_a_full_one() -> None:
    label = nested_regions()
    whole, single = (
        float(RegionGeneralizedDiceLoss(batch=batch)(towards(label, 2.0), label)) for batch in (True, False)
    )
    assert single > whole


@pytest.mark.parametrize("loss", [RegionCrossEntropyLoss(), RegionGeneralizedDiceLoss()])
def test_a_label_map_in_place_of_regions_is_refused(loss: torch.nn.Module) -> None:
    with pytest.raises(ConfigurationError, match="as many output channels as there are regions"):
        loss(torch.zeros(1, 3, 4, 4, 4), torch.zeros(1, 1, 4, 4, 4))


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"balance": 2.0}, r"balance lies in \[0, 1\]"),
        ({"largest_weight": 0.5}, "largest_weight is at least 1"),
        ({"positive_weights": [0.0]}, "numbers above 0"),
        ({"positive_weights": [2.0], "balance": 1.0}, "go without balance"),
    ],
)
def test_weights_out_of_range_are_refused(wrong: dict[str, object], text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        RegionCrossEntropyLoss(**wrong)  # type: ignore[arg-type]


def test_more_weights_than_regions_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="2 for 3 regions"):
        RegionCrossEntropyLoss(positive_weights=[1.0, 2.0])(torch.zeros(1, 3, 2, 2, 2), torch.zeros(1, 3, 2, 2, 2))


@pytest.mark.parametrize("wrong", [{"weighting": "cubic"}, {"smooth": 0.0}])
def test_another_weighting_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError, match="weighting is one of"):
        RegionGeneralizedDiceLoss(**wrong)  # type: ignore[arg-type]
