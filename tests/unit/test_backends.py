"""Back-ends agree with the plain network, and say what is missing."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from monai.networks.nets import DynUNet, UNet
from torch import nn

from medbundles.components.inferers import BACKENDS, choose_backend, prepare_network
from medbundles.components.inferers.backends import PreparedNetworks
from medbundles.components.networks import ContrastNetwork, SqueezeExcitationUNet
from medbundles.components.networks.input_normalized import InputNormalized
from medbundles.errors import ConfigurationError, EnvironmentFailure

FAST_BACKENDS = ["channels_last", "openvino"]
BACKBONES: dict[str, dict[str, Any]] = {
    "UNet": {"features": 4, "channels": [4, 8, 8], "strides": [2, 2]},
    "BasicUNet": {"features": [4, 4, 8, 8, 8, 4]},
    "SegResNet": {"init_filters": 8, "blocks_down": [1, 1], "blocks_up": [1]},
    "SwinUNETR": {"feature_size": 6, "depths": [1, 1, 1, 1], "window_size": 4},
}
needs_openvino = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None, reason="the extra openvino is not installed"
)


def unet(spatial_dims: int = 2) -> nn.Module:
    torch.manual_seed(0)
    return UNet(spatial_dims, 3, 1, (4, 8, 8), (2, 2), num_res_units=1, norm="batch").eval()


@pytest.fixture
def without_openvino(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)


@needs_openvino
@pytest.mark.parametrize("backend", FAST_BACKENDS)
@pytest.mark.parametrize("shape", [(2, 3, 32, 48), (1, 3, 16, 16, 24)])
def test_logits_agree_with_eager(backend: str, shape: tuple[int, ...]) -> None:
    network = unet(len(shape) - 2)
    batch = torch.randn(shape)
    runner = prepare_network(network, backend, (1, 3, *[16] * (len(shape) - 2)))
    with torch.no_grad():
        torch.testing.assert_close(runner(batch), network(batch), rtol=0, atol=1e-3)


@needs_openvino
def test_one_compiled_network_takes_any_batch_and_size() -> None:
    network = unet()
    runner = prepare_network(network, "openvino", (1, 3, 16, 16))
    for shape in [(1, 3, 16, 16), (4, 3, 64, 32), (3, 3, 32, 80)]:
        batch = torch.randn(shape)
        with torch.no_grad():
            torch.testing.assert_close(runner(batch), network(batch), rtol=0, atol=1e-3)


def volumetric(name: str) -> nn.Module:
    torch.manual_seed(0)
    networks: dict[str, Callable[[], nn.Module]] = {
        "SqueezeExcitationUNet": lambda: SqueezeExcitationUNet(3, 1, 3, [4, 8, 8]),
        "DynUNet": lambda: DynUNet(3, 1, 3, [3, 3, 3], [1, 2, 2], [2, 2], filters=[4, 8, 8]),
        **{
            backbone: partial(ContrastNetwork, backbone, 1, 3, arguments=arguments)
            for backbone, arguments in BACKBONES.items()
        },
    }
    return networks[name]().eval()


@needs_openvino
@pytest.mark.parametrize("name", ["SqueezeExcitationUNet", "DynUNet", "UNet", "BasicUNet", "SegResNet"])
def test_no_network_of_a_bundle_keeps_the_size_it_was_compiled_with(name: str) -> None:
    network, batch = volumetric(name), torch.randn(2, 1, 24, 16, 40)
    with torch.no_grad():
        runner = prepare_network(network, "openvino", (1, 1, 16, 16, 16))
        torch.testing.assert_close(runner(batch), network(batch), rtol=0, atol=1e-3)


@needs_openvino
def test_a_network_that_counts_in_python_goes_without_openvino(caplog: pytest.LogCaptureFixture) -> None:
    network, batch = volumetric("SwinUNETR"), torch.randn(2, 1, 64, 32, 32)
    with torch.no_grad():
        runner = prepare_network(network, "auto", (1, 1, 32, 32, 32))
        torch.testing.assert_close(runner(batch), network(batch), rtol=0, atol=1e-3)
    assert "computes with the size of its input" in caplog.text


@needs_openvino
def test_answers_for_some_images_alone_are_refused() -> None:
    class First(nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return image.mean(0, keepdim=True)

    runner = prepare_network(First().eval(), "openvino", (1, 3, 16, 16))
    with pytest.raises(ConfigurationError, match=r"1 of 2 images.*--batch_size 1"):
        runner(torch.zeros(2, 3, 16, 16))


@needs_openvino
def test_a_network_that_begins_with_a_normalization_is_compiled() -> None:
    network = InputNormalized(unet(), 3).eval()
    batch = torch.randn(2, 3, 32, 16)
    with torch.no_grad():
        torch.testing.assert_close(
            prepare_network(network, "openvino", (1, 3, 16, 16))(batch), network(batch), rtol=0, atol=1e-3
        )


@needs_openvino
def test_results_stay_after_the_next_call() -> None:
    runner = prepare_network(unet(), "openvino", (1, 3, 16, 16))
    first = runner(torch.zeros(1, 3, 16, 16))
    copy = first.clone()
    runner(torch.ones(1, 3, 16, 16))
    assert torch.equal(first, copy)


@needs_openvino
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_a_network_that_was_compiled_while_evaluating_can_be_trained_on(mode: type) -> None:
    network = unet()
    with mode():
        prepare_network(network, "openvino", (1, 3, 16, 16))(torch.zeros(1, 3, 16, 16))
    network.train()(torch.randn(2, 3, 16, 16)).sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


@pytest.mark.parametrize("backend", ["eager", "channels_last"])
def test_weights_keep_their_memory_format(backend: str) -> None:
    network = unet()
    before = [parameter.stride() for parameter in network.parameters()]
    prepare_network(network, backend)(torch.zeros(1, 3, 16, 16))
    assert [parameter.stride() for parameter in network.parameters()] == before


@needs_openvino
def test_a_network_whose_weights_changed_is_compiled_anew() -> None:
    network, prepared, batch = unet(), PreparedNetworks("openvino"), torch.randn(1, 3, 16, 16)
    before = prepared.get(network, (1, 3, 16, 16), "cpu")(batch)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(1.5)
        expected = network(batch)
    after = prepared.get(network, (1, 3, 16, 16), "cpu")(batch)
    assert not torch.allclose(before, after)
    torch.testing.assert_close(after, expected, rtol=0, atol=1e-3)


def test_a_network_is_prepared_once_for_all_scans() -> None:
    network, prepared = unet(), PreparedNetworks("channels_last")
    first = prepared.get(network, (1, 3, 16, 16), "cpu")
    assert prepared.get(network, (1, 3, 16, 16), "cpu") is first


def test_another_network_is_not_mistaken_for_the_last_one() -> None:
    prepared = PreparedNetworks("eager")
    first, second = unet(), unet()
    prepared.get(first, (1, 3, 16, 16), "cpu")
    assert prepared.get(second, (1, 3, 16, 16), "cpu") is second


def test_a_network_in_training_mode_is_not_compiled() -> None:
    network = unet().train()
    assert prepare_network(network, "auto", (1, 3, 16, 16)).network is network


def test_auto_on_a_gpu_is_channels_last() -> None:
    assert choose_backend("auto", "cuda") == "channels_last"


def test_auto_without_openvino_is_channels_last(without_openvino: None) -> None:
    assert choose_backend("auto", "cpu") == "channels_last"


def test_openvino_that_is_missing_names_the_extra(without_openvino: None) -> None:
    with pytest.raises(EnvironmentFailure, match=r"medbundles\[openvino\]"):
        prepare_network(unet(), "openvino")


def test_openvino_on_a_gpu_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="cuda"):
        choose_backend("openvino", "cuda")


def test_an_unknown_backend_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigurationError, match=", ".join(BACKENDS)):
        choose_backend("tensorrt")


class Unconvertible(nn.Module):
    """Uses an operation that OpenVINO has no rule for."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return torch.linalg.eigvals(image).real


@needs_openvino
def test_a_network_that_openvino_cannot_convert_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="OpenVINO cannot run"):
        prepare_network(Unconvertible().eval(), "openvino", (1, 3, 16, 16))


@needs_openvino
def test_auto_goes_on_without_openvino_where_it_cannot_run_the_network(caplog: pytest.LogCaptureFixture) -> None:
    batch = torch.eye(16).expand(1, 3, 16, 16)
    output = prepare_network(Unconvertible().eval(), "auto", (1, 3, 16, 16))(batch)
    assert torch.equal(output, torch.ones(1, 3, 16))
    assert "eigvals" in caplog.text


@needs_openvino
def test_openvino_cannot_report_to_its_makers() -> None:
    prepare_network(unet(), "openvino", (1, 3, 16, 16))
    assert sys.modules["openvino_telemetry"] is None
