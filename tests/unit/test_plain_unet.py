"""BasicUNet without normalization learns from the first step, and sees absolute intensities."""

from __future__ import annotations

import functools

import torch

from medbundles.components.networks import PlainUNet, describe_network, network_from_model


def test_an_untrained_network_neither_explodes_nor_dies() -> None:
    torch.manual_seed(0)
    network = PlainUNet(3, 4, 1, features=(8, 8, 16, 16, 32, 8))
    with torch.no_grad():
        output = network(torch.randn(2, 4, 32, 32, 32))
    assert output.shape == (2, 1, 32, 32, 32)
    assert 0.01 < float(output.std()) < 1.0


def test_brighter_input_is_told_from_darker() -> None:
    torch.manual_seed(0)
    network = PlainUNet(3, 1, 1, features=(4, 4, 4, 4, 4, 4))
    with torch.no_grad():
        outputs = [network(torch.full((1, 1, 16, 16, 16), value)) for value in (0.5, 1.0)]
    torch.testing.assert_close(outputs[1], 2 * outputs[0], atol=1e-6, rtol=1e-4)


def test_it_is_rebuilt_from_its_description() -> None:
    networks = {"PlainUNet": functools.partial(PlainUNet, spatial_dims=3, in_channels=2, features=[4] * 6)}
    description = describe_network(networks, "PlainUNet", spatial_dims=3)
    rebuilt = network_from_model({"network": description})
    rebuilt.load_state_dict(networks["PlainUNet"]().state_dict())
