"""Heads for training alone, and a U-Net that weighs its channels."""

from __future__ import annotations

import io

import pytest
import torch
from monai.losses import DiceCELoss
from monai.networks.nets import DynUNet, UNet
from torch import nn

from medbundles.components.networks import DeepSupervision, HeadedUNet, SqueezeExcitationUNet
from medbundles.components.networks.deep_supervision import of_all_levels
from medbundles.errors import ConfigurationError

NETWORKS = {
    "SqueezeExcitationUNet": lambda: SqueezeExcitationUNet(3, 1, 3, channels=(8, 16, 24, 32)),
    "HeadedUNet": lambda: HeadedUNet(3, 1, 3, channels=(8, 16, 24, 32)),
    "DynUNet": lambda: DynUNet(3, 1, 3, [3, 3, 3, 3], [1, 2, 2, 2], [2, 2, 2], filters=[8, 16, 24, 32]),
}


@pytest.fixture(params=list(NETWORKS))
def network(request: pytest.FixtureRequest) -> nn.Module:
    torch.manual_seed(0)
    return NETWORKS[request.param]()


def image() -> torch.Tensor:
    return torch.randn(2, 1, 16, 24, 16, generator=torch.Generator().manual_seed(1))


def test_training_answers_at_three_levels(network: nn.Module) -> None:
    answers = DeepSupervision(network, 3, levels=2)(image())
    assert [tuple(answer.shape[1:]) for answer in answers] == [(3, 16, 24, 16), (3, 8, 12, 8), (3, 4, 6, 4)]


def test_the_finest_answer_is_the_network_s_own(network: nn.Module) -> None:
    own = network(image())
    assert torch.equal(DeepSupervision(network, 3)(image())[0], own)


def test_validation_gets_one_answer(network: nn.Module) -> None:
    assert DeepSupervision(network, 3).eval()(image()).shape == (2, 3, 16, 24, 16)


def test_the_network_s_weights_hold_no_heads(network: nn.Module) -> None:
    before = set(network.state_dict())
    DeepSupervision(network, 3)
    assert set(network.state_dict()) == before


def test_coarse_levels_teach_the_decoder(network: nn.Module) -> None:
    supervised = DeepSupervision(network, 3, levels=1)
    supervised(image())[1].sum().backward()
    assert any(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in network.parameters())


def test_no_levels_leave_the_network_alone(network: nn.Module) -> None:
    assert isinstance(DeepSupervision(network, 3, levels=0)(image()), torch.Tensor)


@pytest.mark.parametrize("levels", [-1, 5])
def test_levels_that_are_not_there_are_refused(network: nn.Module, levels: int) -> None:
    with pytest.raises(ConfigurationError, match="supervised levels are 0 to"):
        DeepSupervision(network, 3, levels=levels)


def test_a_network_whose_decoder_is_not_known_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="UNet cannot be supervised at several levels"):
        DeepSupervision(UNet(3, 1, 3, (4, 8), (2,)), 3)


def test_a_loss_over_levels_halves_their_weights() -> None:
    loss = of_all_levels(lambda logits, target: logits.mean() + 0 * target.sum())
    levels = [torch.full((1, 1, 8 // 2**n, 8 // 2**n, 8), float(n)) for n in range(3)]
    assert float(loss(levels, torch.zeros(1, 1, 8, 8, 8))) == pytest.approx((0 * 4 + 1 * 2 + 2 * 1) / 7)


def test_a_loss_over_levels_is_zero_for_right_answers_at_all_of_them() -> None:
    target = torch.zeros(1, 1, 8, 8, 8)
    target[..., :4] = 2
    levels = []
    for step in (1, 2, 4):
        small = target[..., ::step, ::step, ::step]
        levels.append(20 * torch.cat([(small == value).float() for value in range(3)], dim=1))
    loss = of_all_levels(DiceCELoss(to_onehot_y=True, softmax=True, batch=True, include_background=False))
    assert float(loss(levels, target)) < 1 / 3 + 1e-3  # MONAI's Dice of the class that is not there


@pytest.mark.parametrize("shape", [(16, 16, 16), (17, 20, 9), (5, 3, 30)])
def test_images_of_any_size_are_segmented(shape: tuple[int, ...]) -> None:
    assert SqueezeExcitationUNet(3, 2, 4, (4, 8, 16))(torch.rand(1, 2, *shape)).shape == (1, 4, *shape)


def test_two_dimensions_work_as_well() -> None:
    assert SqueezeExcitationUNet(2, 2, 4, (4, 8, 16))(torch.rand(1, 2, 17, 20)).shape == (1, 4, 17, 20)


def test_torchscript_says_the_same() -> None:
    network = SqueezeExcitationUNet(3, 1, 2, (4, 8, 16)).eval()
    stream = io.BytesIO()
    torch.jit.save(torch.jit.script(network), stream)
    stream.seek(0)
    values = torch.rand(1, 1, 17, 12, 9)
    assert torch.allclose(torch.jit.load(stream)(values), network(values))


def test_channels_are_weighed() -> None:
    network = SqueezeExcitationUNet(3, 1, 2, (16, 32))
    network(torch.rand(1, 1, 8, 8, 8)).sum().backward()
    assert all(weight.grad is not None for weight in network.bottom.weigh.parameters())


@pytest.mark.parametrize("arguments", [{"channels": (8,)}, {"channels": (0, 8)}, {"reduction": 0}])
def test_a_network_that_cannot_be_built_is_refused(arguments: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError, match="two widths or more"):
        SqueezeExcitationUNet(3, 1, 2, **arguments)
