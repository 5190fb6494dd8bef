"""The losses of image synthesis against their formulas."""

from __future__ import annotations

import math

import pytest
import torch

from medbundles.components.losses import AdversarialLoss, MaskedReconstructionLoss, feature_matching_loss
from medbundles.errors import ConfigurationError


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def test_cross_entropy_of_both_sides() -> None:
    loss = AdversarialLoss("bce")
    real, fake = torch.tensor([2.0, -1.0]), torch.tensor([0.5])
    generator = -math.log(sigmoid(0.5))
    discriminator = 0.5 * (-(math.log(sigmoid(2)) + math.log(sigmoid(-1))) / 2 - math.log(1 - sigmoid(0.5)))
    assert float(loss.generator([fake])) == pytest.approx(generator)
    assert float(loss.discriminator([real], [fake])) == pytest.approx(discriminator)


def test_least_squares_of_both_sides() -> None:
    loss = AdversarialLoss("least_squares")
    real, fake = torch.tensor([0.9, -1.0]), torch.tensor([0.25])
    assert float(loss.generator([fake])) == pytest.approx(0.75**2)
    assert float(loss.discriminator([real], [fake])) == pytest.approx(0.5 * ((0.01 + 4) / 2 + 0.0625))


@pytest.mark.parametrize(("criterion", "middle"), [("bce", 0.0), ("least_squares", 0.5)])
def test_accuracy_counts_both_sides_at_the_criterion_s_middle(criterion: str, middle: float) -> None:
    real, fake = torch.tensor([middle + 1, middle - 1]), torch.tensor([middle - 1, middle - 2])
    assert AdversarialLoss(criterion).accuracy([real], [fake]) == 0.75


def test_nothing_judged_costs_nothing() -> None:
    loss = AdversarialLoss()
    assert float(loss.generator([])) == float(loss.discriminator([], [])) == 0.0
    assert math.isnan(loss.accuracy([], []))


def test_an_unknown_criterion_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigurationError, match="'bce', 'least_squares'"):
        AdversarialLoss("hinge")


def test_feature_matching_is_the_mean_over_layers_and_teaches_the_synthetic_side_only() -> None:
    real = [[torch.zeros(2, 3), torch.ones(4)]]
    fake = [[torch.full((2, 3), 2.0, requires_grad=True), torch.zeros(4)]]
    real[0][0].requires_grad_()
    loss = feature_matching_loss(real, fake)
    loss.backward()
    assert float(loss.detach()) == pytest.approx((2 + 1) / 2)
    assert (fake[0][0].grad is not None, real[0][0].grad) == (True, None)


def test_the_masked_error_is_the_mean_over_the_mask() -> None:
    prediction, target, mask = torch.zeros(1, 1, 4, 4, 4), torch.ones(1, 1, 4, 4, 4), torch.zeros(1, 1, 4, 4, 4)
    mask[..., :2], target[..., 1], target[..., 3] = 1, 3.0, 100.0
    assert float(MaskedReconstructionLoss()(prediction, target, mask)) == pytest.approx(2.0)


def test_without_a_mask_every_voxel_counts() -> None:
    assert float(MaskedReconstructionLoss()(torch.zeros(1, 1, 4, 4, 4), torch.full((1, 1, 4, 4, 4), -2.0))) == 2.0


def test_an_empty_mask_costs_nothing() -> None:
    volume = torch.rand(1, 1, 4, 4, 4)
    assert float(MaskedReconstructionLoss()(volume, -volume, torch.zeros_like(volume))) == 0.0


def test_a_perfect_prediction_has_no_structural_dissimilarity() -> None:
    volume = torch.rand(1, 1, 12, 12, 12)
    assert float(MaskedReconstructionLoss(ssim_weight=1.0)(volume, volume)) == pytest.approx(0.0, abs=1e-6)


def test_structural_dissimilarity_is_added_with_its_weight() -> None:
    target = torch.rand(1, 1, 12, 12, 12)
    prediction = target.flip(2)
    single, double = (float(MaskedReconstructionLoss(weight)(prediction, target)) for weight in (1.0, 2.0))
    plain = float(MaskedReconstructionLoss()(prediction, target))
    assert double - plain == pytest.approx(2 * (single - plain), rel=1e-4)
    assert single > plain


def test_other_shapes_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="differ in shape"):
        MaskedReconstructionLoss()(torch.zeros(1, 2, 4, 4, 4), torch.zeros(1, 1, 4, 4, 4))


def test_a_negative_weight_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="must not be negative"):
        MaskedReconstructionLoss(ssim_weight=-1.0)
