from __future__ import annotations

import numpy as np
import pytest
import torch

from medbundles.components.losses import FalseNegativeWeightedDiceLoss
from medbundles.errors import ConfigurationError


def formula(probability: np.ndarray, label: np.ndarray, weight: float = 8.0, smooth: float = 1.0) -> float:
    losses = []
    for p, y in zip(probability.astype(np.float64), label.astype(np.float64), strict=True):
        dice = (2 * (p * y).sum() + smooth) / (p.sum() + y.sum() + smooth)
        inside = (2 * (p * y * y).sum() + smooth) / ((p * y).sum() + y.sum() + smooth)
        losses.append((1 - dice) + weight * (1 - inside))
    return float(np.mean(losses))


def random_batch(*shape: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(shape, generator=generator)
    return logits, (torch.rand(shape, generator=generator) > 0.8).to(torch.uint8)


@pytest.mark.parametrize("shape", [(4, 1, 16, 12), (2, 1, 8, 7, 5), (3, 2, 9, 9)])
def test_loss_equals_its_formula_in_2d_3d_and_several_channels(shape: tuple[int, ...]) -> None:
    logits, label = random_batch(*shape)
    expected = formula(logits.sigmoid().numpy(), label.numpy())
    assert FalseNegativeWeightedDiceLoss()(logits, label).item() == pytest.approx(expected, rel=1e-5)


def test_golden_value_of_two_pixels() -> None:
    # p = (.5, .5), l = (1, 0): dice = 2/3, inside = 2/2.5; 1/3 + 8 * .2
    loss = FalseNegativeWeightedDiceLoss(sigmoid=False)
    assert loss(torch.tensor([[[[0.5, 0.5]]]]), torch.tensor([[[[1.0, 0.0]]]])).item() == pytest.approx(1 / 3 + 1.6)


def test_cross_entropy_is_added_with_its_weight() -> None:
    logits, label = random_batch(3, 1, 9, 9)
    p, y = logits.sigmoid().numpy(), label.numpy()
    entropy = -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p))
    loss = FalseNegativeWeightedDiceLoss(weight=2.0, cross_entropy_weight=0.5)
    assert loss(logits, label).item() == pytest.approx(formula(p, y, weight=2.0) + 0.5 * entropy, rel=1e-5)


def test_batch_mode_takes_one_sum_over_all_items() -> None:
    logits, label = random_batch(4, 1, 8, 8)
    together = formula(logits.sigmoid().reshape(1, -1).numpy(), label.reshape(1, -1).numpy())
    assert FalseNegativeWeightedDiceLoss(batch=True)(logits, label).item() == pytest.approx(together, rel=1e-5)


def test_a_missed_pixel_costs_more_than_a_false_alarm() -> None:
    label = torch.zeros(1, 1, 8, 8)
    label[..., 2:4, 2:4] = 1
    missed, alarm = label.clone(), label.clone()
    missed[..., 2, 2] = 0
    alarm[..., 5, 5] = 1
    loss = FalseNegativeWeightedDiceLoss(sigmoid=False)
    assert loss(missed, label) > 5 * loss(alarm, label)


def test_perfect_prediction_costs_nothing() -> None:
    _, label = random_batch(2, 1, 8, 8)
    assert FalseNegativeWeightedDiceLoss(sigmoid=False)(label.float(), label).item() == pytest.approx(0.0, abs=1e-6)


def test_empty_label_has_no_false_negative_term_and_a_finite_gradient() -> None:
    logits = torch.zeros(2, 1, 4, 4, requires_grad=True)
    loss = FalseNegativeWeightedDiceLoss()(logits, torch.zeros(2, 1, 4, 4))
    loss.backward()
    assert loss.item() == pytest.approx(1 - 1 / 9)
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


def test_gradient_agrees_with_finite_differences() -> None:
    # float64 inputs are cast to float32 inside, hence the coarse step.
    logits, label = random_batch(1, 1, 3, 3)
    logits.requires_grad_()
    loss = FalseNegativeWeightedDiceLoss()
    (gradient,) = torch.autograd.grad(loss(logits, label), logits)
    step = torch.zeros_like(logits)
    step[0, 0, 1, 1] = 1e-2
    numeric = (loss(logits + step, label) - loss(logits - step, label)) / 2e-2
    assert gradient[0, 0, 1, 1].item() == pytest.approx(numeric.item(), abs=1e-3)


def test_half_precision_does_not_overflow_on_a_large_image() -> None:
    ones = torch.ones(1, 1, 512, 512, dtype=torch.float16)
    assert FalseNegativeWeightedDiceLoss(sigmoid=False)(ones, ones).item() == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("logit", [1e4, -1e4])
def test_extreme_logits_stay_finite(logit: float) -> None:
    logits = torch.full((1, 1, 4, 4), logit, requires_grad=True)
    loss = FalseNegativeWeightedDiceLoss()(logits, torch.ones(1, 1, 4, 4))
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(logits.grad).all()  # type: ignore[arg-type]


def test_other_shape_is_refused_with_both_shapes() -> None:
    with pytest.raises(ConfigurationError, match=r"\(2, 1, 4, 4\) and \(2, 4, 4\)"):
        FalseNegativeWeightedDiceLoss()(torch.zeros(2, 1, 4, 4), torch.zeros(2, 4, 4))


@pytest.mark.parametrize("arguments", [{"weight": -1.0}, {"smooth": 0.0}])
def test_arguments_out_of_range_are_refused(arguments: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError, match="must be >= 0"):
        FalseNegativeWeightedDiceLoss(**arguments)


def test_channels_apart_are_the_mean_of_one_loss_for_each() -> None:
    logits, label = random_batch(3, 2, 9, 9)
    options = {"weight": 2.0, "cross_entropy_weight": 1.0, "batch": True}
    alone = [FalseNegativeWeightedDiceLoss(**options)(logits[:, [k]], label[:, [k]]) for k in range(2)]
    together = FalseNegativeWeightedDiceLoss(**options, per_channel=True)(logits, label)
    assert together.item() == pytest.approx(float(sum(alone)) / 2, rel=1e-5)


@pytest.mark.parametrize("weight", [0.0, 2.0])
def test_a_negative_target_is_as_good_as_no_pixel(weight: float) -> None:
    logits, label = random_batch(2, 2, 9, 8)
    unknown = label.to(torch.int8)
    unknown[..., 5:] = -1
    options = {"weight": weight, "cross_entropy_weight": 1.0, "per_channel": True, "batch": True}
    expected = FalseNegativeWeightedDiceLoss(**options)(logits[..., :5], label[..., :5])
    found = FalseNegativeWeightedDiceLoss(**options, ignore_negative=True)(logits, unknown)
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)


def test_nothing_but_negative_targets_is_no_loss_and_finite() -> None:
    loss = FalseNegativeWeightedDiceLoss(cross_entropy_weight=1.0, ignore_negative=True)
    assert loss(torch.randn(1, 2, 4, 4), torch.full((1, 2, 4, 4), -1)).item() == 0.0
