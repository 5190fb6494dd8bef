from __future__ import annotations

import functools
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.bundle import ConfigParser
from monai.networks.nets import BasicUNet, UNet

from medbundles.components.networks import (
    HeadedUNet,
    InputNormalized,
    build_network,
    describe_network,
    network_from_model,
    to_memory_format,
)
from medbundles.errors import ConfigurationError, DataError, MedbundlesError, UntrustedContent

CONFIG: dict[str, Any] = {
    "networks": {
        "UNet": {
            "_target_": "monai.networks.nets.UNet",
            "_mode_": "callable",
            "spatial_dims": 2,
            "in_channels": 7,
            "out_channels": 1,
            "channels": [4, 8],
            "strides": [2],
            "act": ["LeakyReLU", {"negative_slope": 0.1}],
        },
        "BasicUNet": {
            "_target_": "monai.networks.nets.BasicUNet",
            "_mode_": "callable",
            "spatial_dims": 2,
            "in_channels": 7,
            "features": [4, 4, 4, 4, 4, 4],
        },
    }
}


def networks() -> dict[str, Any]:
    parsed: dict[str, Any] = ConfigParser(CONFIG).get_parsed_content("networks")
    return parsed


def test_only_the_chosen_network_is_built() -> None:
    def never() -> torch.nn.Module:
        raise AssertionError("the other network was built")

    assert isinstance(build_network({"UNet": networks()["UNet"], "other": never}, "UNet"), UNet)


def test_input_normalization_removes_offset_and_gain_of_each_channel() -> None:
    network = InputNormalized(torch.nn.Identity(), channels=2)
    image = torch.randn(8, 2, 16, 16) * torch.tensor([500.0, 3.0]).reshape(1, 2, 1, 1) - 700
    result = network(image)
    assert torch.allclose(result.mean((0, 2, 3)), torch.zeros(2), atol=1e-3)
    assert torch.allclose(result.std((0, 2, 3)), torch.ones(2), atol=1e-2)


def test_normalized_3d_network_takes_volumes() -> None:
    network = build_network({"one": torch.nn.Identity}, "one", normalized_channels=1, spatial_dims=3)
    assert network(torch.randn(2, 1, 4, 4, 4)).shape == (2, 1, 4, 4, 4)


@pytest.mark.parametrize("name", ["UNet", "BasicUNet"])
def test_description_survives_json_and_rebuilds_the_same_network(name: str) -> None:
    built = build_network(networks(), name, normalized_channels=7).eval()
    description = json.loads(json.dumps({"network": describe_network(networks(), name, 7)}))
    rebuilt = network_from_model(description).eval()
    rebuilt.load_state_dict(built.state_dict())
    image = torch.randn(1, 7, 32, 32)
    assert torch.equal(rebuilt(image), built(image))


def test_positional_arguments_are_described_by_name() -> None:
    description = describe_network({"b": functools.partial(BasicUNet, 2, 7)}, "b")
    assert description["arguments"] == {"spatial_dims": 2, "in_channels": 7}


def test_pretrained_weights_are_loaded(tmp_path: Path) -> None:
    trained = build_network(networks(), "UNet", 7)
    torch.save(trained.state_dict(), tmp_path / "model.pt")
    started = build_network(networks(), "UNet", 7, pretrained=tmp_path / "model.pt")
    assert all(
        torch.equal(a, b) for a, b in zip(trained.state_dict().values(), started.state_dict().values(), strict=True)
    )


def test_channels_last_reaches_2d_and_3d_convolutions_of_one_module() -> None:
    module = torch.nn.ModuleList([torch.nn.Conv2d(3, 4, 3), torch.nn.Conv3d(3, 4, 3)])
    to_memory_format(module, "channels_last")
    assert module[0].weight.is_contiguous(memory_format=torch.channels_last)
    assert module[1].weight.is_contiguous(memory_format=torch.channels_last_3d)


def test_normalized_network_scripts() -> None:
    scripted = torch.jit.script(build_network(networks(), "UNet", 7).eval())
    assert scripted(torch.zeros(1, 7, 16, 16)).shape == (1, 1, 16, 16)


def test_reference_network_has_the_published_number_of_parameters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    from reference.unet import ReferenceUNet

    network = ReferenceUNet()
    assert sum(parameter.numel() for parameter in network.parameters()) == 118_271
    assert network(torch.zeros(1, 7, 64, 48)).shape == (1, 1, 64, 48)
    sys.modules.pop("reference.unet", None)


@pytest.mark.parametrize(("name", "meant"), [("Unet", "UNet"), ("basicunet", "BasicUNet")])
def test_misspelt_name_is_refused_with_the_one_that_is_meant(name: str, meant: str) -> None:
    with pytest.raises(ConfigurationError, match=f"did you mean {meant}?"):
        build_network(networks(), name)


def test_name_like_nothing_is_refused_with_all_that_exist() -> None:
    with pytest.raises(ConfigurationError, match=r"known: UNet, BasicUNet$"):
        build_network(networks(), "transformer")


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "torch.load",
        "monai.networks.nets.unet.torch.load",
        "monai.networks.nets.unet.warnings",
        "monai.networks.nets.unet.nn.Sequential",
        "monai.networks.nets.resnet.resnet18",
        "monai.networks.nets_of_evil.Net",
        "monai.networks.nets.nowhere.Net",
        "medbundles.components.networks.builder.load_weights",
        "UNet",
        "",
    ],
)
def test_foreign_target_is_refused_as_untrusted(target: str) -> None:
    with pytest.raises(UntrustedContent, match="TRU001"):
        network_from_model({"network": {"target": target, "arguments": {}}})


def test_argument_that_is_a_path_is_refused_as_untrusted() -> None:
    description = {"target": "monai.networks.nets.UNet", "arguments": {"act": "https://example.org/weights"}}
    with pytest.raises(UntrustedContent, match=r"hold paths: \['act'\]"):
        network_from_model(description)


@pytest.mark.parametrize("model", [{}, {"network": None}, {"network": {"target": 3}}])
def test_model_without_a_network_description_is_refused(model: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="CFG004"):
        network_from_model(model)


def test_argument_that_the_class_does_not_know_is_refused() -> None:
    description = {"target": "monai.networks.nets.UNet", "arguments": {"spatial_dimensions": 2}}
    with pytest.raises(ConfigurationError, match=r"CFG004.*UNet"):
        network_from_model(description)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"channels": None}, "cannot be built from its arguments"),
        ({"strides": "2"}, "cannot be built from its arguments"),
        ({"strides": []}, "the length of `strides` should equal to"),
        ({"norm": 5}, "cannot be built from its arguments"),
    ],
)
def test_arguments_no_network_can_be_built_from_are_refused(arguments: dict[str, Any], said: str) -> None:
    described = describe_network(networks(), "UNet", 7)
    with pytest.raises(DataError, match=rf"TRN007\] model\.json: .*{said}"):
        network_from_model({"network": described | {"arguments": described["arguments"] | arguments}})


@pytest.mark.parametrize(("key", "value"), [("arguments", None), ("normalized_channels", "seven")])
def test_a_damaged_description_of_a_network_is_refused(key: str, value: Any) -> None:
    with pytest.raises(DataError, match=r"TRN007\] model\.json"):
        network_from_model({"network": describe_network(networks(), "UNet", 7) | {key: value}})


def test_arguments_that_are_no_plain_data_cannot_be_described() -> None:
    with pytest.raises(ConfigurationError, match="not plain data"):
        describe_network({"b": functools.partial(BasicUNet, act=torch.nn.ReLU)}, "b")


def test_network_of_a_foreign_package_cannot_be_described() -> None:
    with pytest.raises(ConfigurationError, match=r"could not be rebuilt from model\.json"):
        describe_network({"linear": functools.partial(torch.nn.Linear, 1, 1)}, "linear")


def test_weights_of_another_network_are_refused_with_the_first_differences(tmp_path: Path) -> None:
    torch.save(build_network(networks(), "BasicUNet", 7).state_dict(), tmp_path / "model.pt")
    with pytest.raises(ConfigurationError, match=r"TRN007\] model.pt.*missing in the file"):
        build_network(networks(), "UNet", 7, pretrained=tmp_path / "model.pt")


def test_missing_weights_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="TRN011"):
        build_network(networks(), "UNet", 7, pretrained=tmp_path / "model.pt")


@pytest.mark.parametrize("content", [[1, 2], {}, {"epoch": 3}])
def test_file_without_weights_is_refused(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "model.pt")
    with pytest.raises(DataError, match="no dictionary of tensors"):
        build_network(networks(), "UNet", 7, pretrained=tmp_path / "model.pt")


class Foreign:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, ("ran",)


def test_weights_that_would_run_code_are_refused_and_do_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"weight": Foreign()}, tmp_path / "model.pt")
    with pytest.raises(MedbundlesError, match="TRU002"):
        build_network(networks(), "UNet", 7, pretrained=tmp_path / "model.pt")
    assert not (tmp_path / "ran").exists()


def test_normalization_in_one_dimension_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="2 or 3, found 1"):
        InputNormalized(torch.nn.Identity(), channels=1, spatial_dims=1)


@pytest.mark.parametrize("shape", [(2, 7, 16, 24), (1, 7, 16, 24, 8)])
def test_headed_network_keeps_the_spatial_size(shape: tuple[int, ...]) -> None:
    network = HeadedUNet(len(shape) - 2, in_channels=7, out_channels=3, channels=(4, 8), strides=(2,))
    assert network(torch.zeros(shape)).shape == (shape[0], 3, *shape[2:])


@pytest.mark.parametrize("factory", [BasicUNet, HeadedUNet])
def test_an_untrained_network_expects_the_foreground_it_was_told(factory: Any) -> None:
    networks = {"net": functools.partial(factory, spatial_dims=2, in_channels=7, out_channels=1)}
    torch.manual_seed(0)
    network = build_network(networks, "net", foreground_prior=0.01).eval()
    with torch.no_grad():
        probability = network(torch.zeros(1, 7, 32, 32)).sigmoid()
    assert 0.003 < probability.mean() < 0.03


@pytest.mark.parametrize("prior", [0.0, 1.0, -0.1])
def test_a_prior_that_is_no_probability_is_refused(prior: float) -> None:
    networks = {"net": functools.partial(BasicUNet, spatial_dims=2, in_channels=7, out_channels=1)}
    with pytest.raises(ConfigurationError, match="not between 0 and 1"):
        build_network(networks, "net", foreground_prior=prior)
