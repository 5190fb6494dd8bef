"""The generator of Vox2Vox: nothing drifts, any size passes, dropout is for training."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from medbundles.components.networks import Vox2VoxGenerator, describe_network, network_from_model
from medbundles.errors import ConfigurationError


def generator(in_channels: int = 2, out_channels: int = 3) -> Vox2VoxGenerator:
    torch.manual_seed(0)
    return Vox2VoxGenerator(in_channels, out_channels, features=2).eval()


def mirror_kernels(network: nn.Module, axis: int) -> None:
    for module in network.modules():
        if isinstance(module, nn.Conv3d | nn.ConvTranspose3d):
            module.weight.data = module.weight.data.flip(axis)


@pytest.mark.parametrize("axis", [2, 3, 4])
def test_mirrored_kernels_turn_a_mirrored_image_into_the_mirrored_regions(axis: int) -> None:
    network, image = generator(), torch.randn(1, 2, 32, 48, 32, generator=torch.Generator().manual_seed(1))
    straight = network(image)
    mirror_kernels(network, axis)
    torch.testing.assert_close(network(image.flip(axis)).flip(axis), straight, rtol=1e-3, atol=1e-4)


def test_a_spot_in_the_middle_stays_in_the_middle() -> None:
    network = generator(1, 1)
    for parameter in network.parameters():
        if parameter.ndim == 5:
            parameter.data = (parameter.data + parameter.data.flip(2, 3, 4)) / 2
    spot = torch.zeros(1, 1, 32, 32, 32)
    spot[..., 15:17, 15:17, 15:17] = 1
    answer = (network(spot) - network(torch.zeros_like(spot)))[0, 0].abs()
    places = torch.stack(torch.meshgrid(*[torch.arange(32.0)] * 3, indexing="ij"))
    middle = (places * answer).sum((1, 2, 3)) / answer.sum()
    torch.testing.assert_close(middle, torch.full((3,), 15.5), rtol=0, atol=1e-3)


@pytest.mark.parametrize("size", [(7, 9, 16), (33, 16, 21), (64, 16, 17), (1, 1, 1)])
def test_any_size_comes_out_as_it_went_in(size: tuple[int, int, int]) -> None:
    assert generator().train()(torch.randn(1, 2, *size)).shape == (1, 3, *size)


def test_padding_is_cut_off_where_it_was_put_on() -> None:
    """An image of 30 voxels gives what the same image gives inside of 32."""
    network, image = generator(), torch.randn(1, 2, 30, 32, 28, generator=torch.Generator().manual_seed(2))
    inside = network(nn.functional.pad(image, (2, 2, 0, 0, 1, 1)))
    torch.testing.assert_close(network(image), inside[:, :, 1:-1, :, 2:-2])


def test_inference_is_the_same_every_time_and_training_is_not() -> None:
    network, image = generator(), torch.randn(1, 2, 32, 32, 32)
    assert torch.equal(network(image), network(image))
    network.train()
    assert not torch.equal(network(image), network(image))


def test_every_weight_gets_a_gradient() -> None:
    network = generator().train()
    network(torch.randn(1, 2, 32, 32, 32)).square().sum().backward()
    assert all(weight.grad is not None and weight.grad.any() for weight in network.parameters())


def test_untrained_answers_are_of_moderate_size() -> None:
    answers: Tensor = Vox2VoxGenerator(4, 3, features=8).eval()(torch.randn(1, 4, 32, 32, 32))
    assert 0.1 < answers.std().item() < 5.0


def test_torchscript_says_the_same() -> None:
    network, image = generator(), torch.randn(1, 2, 20, 33, 16)
    torch.testing.assert_close(torch.jit.script(network)(image), network(image))


def test_it_is_rebuilt_from_its_description() -> None:
    network = network_from_model(describe_network({"vox2vox": Vox2VoxGenerator}, "vox2vox", spatial_dims=3))
    assert [weight.shape for weight in network.parameters()] == [w.shape for w in Vox2VoxGenerator().parameters()]


def test_the_default_fits_into_a_release() -> None:
    assert sum(weight.numel() for weight in Vox2VoxGenerator().parameters()) * 4 < 25e6


@pytest.mark.parametrize(
    ("wrong", "text"),
    [({"features": 0}, "features"), ({"out_channels": 0}, "out_channels"), ({"dropout": 1.0}, "dropout")],
)
def test_numbers_out_of_range_are_refused(wrong: dict[str, float], text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        Vox2VoxGenerator(**wrong)  # type: ignore[arg-type]


def test_an_image_with_other_channels_is_refused() -> None:
    with pytest.raises(RuntimeError, match="channels"):
        generator()(torch.zeros(1, 3, 32, 32, 32))
