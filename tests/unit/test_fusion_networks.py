"""Networks for several contrasts: every way to fuse them, with some of them absent."""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.networks.nets import SwinUNETR
from torch import Tensor, nn

from medbundles.components.networks import (
    BACKBONES,
    ChannelNorm,
    ContrastNetwork,
    build_network,
    describe_network,
    network_from_model,
    to_memory_format,
    with_fast_layers,
)
from medbundles.errors import ConfigurationError, EnvironmentFailure
from medbundles.export import of_one_size
from medbundles.formats import NotScriptable, write_torchscript

SMALL: dict[str, dict[str, Any]] = {
    "UNet": {"channels": [4, 8], "strides": [2], "num_res_units": 1, "features": 4},
    "BasicUNet": {"features": [4, 4, 4, 4, 4, 4]},
    "SegResNet": {"init_filters": 4, "blocks_down": [1, 1], "blocks_up": [1]},
    "SwinUNETR": {"feature_size": 6, "depths": [1, 1, 1, 1], "window_size": 4},
}
FUSIONS = ("input", "feature", "decision")
EVERY = pytest.mark.parametrize("backbone", SMALL)
EVERY_FUSION = pytest.mark.parametrize("fusion", FUSIONS)
WITH_PATHS = pytest.mark.parametrize("fusion", ["feature", "decision"])


def small(backbone: str, fusion: Any = "input", contrasts: int = 2, regions: int = 3) -> ContrastNetwork:
    torch.manual_seed(0)
    arguments = SMALL[backbone]
    return ContrastNetwork(backbone, contrasts, regions, fusion, equal_cost=False, arguments=arguments).eval()


def block(*shape: int, absent: int | None = None) -> Tensor:
    image = torch.randn(*shape, generator=torch.Generator().manual_seed(1))
    if absent is not None:
        image[:, absent] = 0.0
    return image


def path_of(network: ContrastNetwork, contrast: int) -> list[nn.Module]:
    fused: Any = network.network
    if hasattr(fused, "networks"):
        return [fused.networks[contrast]]
    return [level.stages[contrast] for level in fused.levels]


@EVERY
@EVERY_FUSION
def test_every_fusion_answers_in_the_shape_of_the_image(backbone: str, fusion: str) -> None:
    with torch.no_grad():
        assert small(backbone, fusion)(block(2, 2, 16, 16, 32)).shape == (2, 3, 16, 16, 32)


@EVERY
@EVERY_FUSION
def test_gradients_reach_every_contrast(backbone: str, fusion: str) -> None:
    image = block(1, 2, 16, 16, 16).requires_grad_()
    small(backbone, fusion).train()(image).square().mean().backward()
    assert image.grad is not None
    assert (image.grad.abs().amax(dim=(0, 2, 3, 4)) > 0).all()


@EVERY
@WITH_PATHS
def test_an_absent_contrast_has_no_influence_whatever_its_weights_are(backbone: str, fusion: str) -> None:
    network = small(backbone, fusion)
    image = block(1, 2, 16, 16, 16, absent=1)
    with torch.no_grad():
        before = network(image)
        for part in path_of(network, 1):
            for parameter in part.parameters():
                parameter.add_(torch.randn_like(parameter))
        assert torch.equal(network(image), before)


@WITH_PATHS
def test_an_absent_contrast_does_not_change_its_weights(fusion: str) -> None:
    network = small("UNet", fusion)
    network(block(1, 2, 16, 16, 16, absent=0)).sum().backward()
    gradients = [parameter.grad for part in path_of(network, 0) for parameter in part.parameters()]
    assert all(gradient is None or not gradient.any() for gradient in gradients)


@EVERY_FUSION
def test_one_item_without_a_contrast_leaves_the_others_as_they_are(fusion: str) -> None:
    network, images = small("UNet", fusion), block(2, 2, 16, 16, 16)
    images[0, 1] = 0.0
    with torch.no_grad():
        torch.testing.assert_close(network(images)[1:], network(images[1:]))


def test_one_contrast_alone_decides_alone() -> None:
    network, image = small("UNet", "decision"), block(1, 2, 16, 16, 16, absent=1)
    with torch.no_grad():
        torch.testing.assert_close(network(image), path_of(network, 0)[0](image[:, :1]))


def test_a_decision_starts_as_the_mean_of_those_present() -> None:
    network, image = small("UNet", "decision", contrasts=3), block(1, 3, 16, 16, 16, absent=1)
    with torch.no_grad():
        answers = [path_of(network, index)[0](image[:, index : index + 1]) for index in (0, 2)]
        torch.testing.assert_close(network(image), (answers[0] + answers[1]) / 2)


def test_the_weights_of_a_decision_are_learned() -> None:
    network = small("UNet", "decision")
    network(block(1, 2, 16, 16, 16)).square().sum().backward()
    assert network.network.importance.grad.abs().min() > 0


def test_features_of_one_contrast_are_passed_to_the_encoder_of_another() -> None:
    network, image = small("UNet", "feature"), block(1, 2, 16, 16, 16)
    received: list[Tensor] = []
    second: Any = path_of(network, 0)[1]
    second.register_forward_pre_hook(lambda module, inputs: received.append(inputs[0]))
    with torch.no_grad():
        network(image)
        network(torch.cat([image[:, :1], -image[:, 1:]], dim=1))
    assert not torch.equal(received[0], received[1])


@EVERY_FUSION
def test_a_block_of_air_has_a_finite_answer_of_all_contrasts(fusion: str) -> None:
    network = small("UNet", fusion)
    answer = network(torch.zeros(1, 2, 16, 16, 16))
    answer.sum().backward()
    assert answer.isfinite().all()
    assert all(any(each.grad.any() for each in part.parameters()) for part in network.network.voices())


@EVERY
def test_any_size_is_taken(backbone: str) -> None:
    with torch.no_grad():
        assert small(backbone)(block(1, 2, 17, 23, 5)).shape == (1, 3, 17, 23, 5)


def test_what_is_padded_is_air() -> None:
    network, image = small("UNet", "feature"), block(1, 2, 16, 16, 16)
    image[..., 15:] = 0.0
    with torch.no_grad():
        torch.testing.assert_close(network(image[..., :15]), network(image)[..., :15])


def test_another_number_of_contrasts_is_refused() -> None:
    with pytest.raises(ValueError, match="expected 2 contrasts, found 3 channels"):
        small("UNet", "decision")(block(1, 3, 16, 16, 16))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backbone": "unet"}, "known: UNet, BasicUNet, SegResNet, SwinUNETR.*did you mean UNet"),
        ({"fusion": "features"}, "known: input, feature, decision.*did you mean feature"),
        ({"fusion": None}, "unknown fusion None"),
        ({"view": "2d"}, "known: 3d, three_plane, three_plane_3d"),
        ({"arguments": {"chanels": [4, 8]}}, "no argument chanels; known: channels, strides"),
        ({"arguments": {"channels": [16]}}, "UNet cannot be built from"),
        ({"arguments": {"channels": "wide"}}, "UNet cannot be built from"),
        ({"backbone": "SegResNet", "arguments": {"init_filters": 0}}, "SegResNet cannot be built from"),
    ],
)
def test_what_is_no_network_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        ContrastNetwork(**{"backbone": "UNet", "in_channels": 2, "out_channels": 3, **options})


def test_swin_unetr_without_einops_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(EnvironmentFailure, match=r"medbundles\[swin\]"):
        small("SwinUNETR")


def test_swin_unetr_answers_as_that_of_monai_with_the_same_weights() -> None:
    ours = ContrastNetwork("SwinUNETR", 2, 3, arguments={"depths": [1, 1, 1, 1]}).eval()
    theirs = SwinUNETR(2, 3, depths=(1, 1, 1, 1), feature_size=12).eval()
    state = ours.network.network.state_dict()
    theirs.load_state_dict({name.removeprefix("decoder."): value for name, value in state.items()})
    with torch.no_grad():
        image = block(1, 2, 64, 32, 32)
        torch.testing.assert_close(ours(image), theirs(image), atol=1e-4, rtol=1e-4)


@EVERY
def test_a_network_is_built_again_from_its_description(backbone: str) -> None:
    factory = functools.partial(
        ContrastNetwork, backbone=backbone, in_channels=2, out_channels=1, fusion="decision", arguments=SMALL[backbone]
    )
    network = build_network({backbone: factory}, backbone)
    network_from_model(describe_network({backbone: factory}, backbone)).load_state_dict(network.state_dict())


def test_every_answer_starts_from_the_prior() -> None:
    network = build_network({"UNet": lambda: small("UNet", "decision")}, "UNet", foreground_prior=0.1)
    heads = [path_of(network, index)[0].head.bias for index in (0, 1)]  # type: ignore[arg-type]
    assert all(torch.sigmoid(bias).allclose(torch.tensor(0.1)) for bias in heads)


@pytest.mark.parametrize("backbone", [name for name, family in BACKBONES.items() if family.scriptable])
def test_torchscript_answers_alike_with_a_contrast_absent(backbone: str, tmp_path: Path) -> None:
    write_torchscript(tmp_path / "model.ts", small(backbone, "feature"), block(1, 2, 16, 16, 16, absent=0), {})


@pytest.mark.parametrize("backbone", [name for name, family in BACKBONES.items() if not family.scriptable])
def test_what_is_not_scriptable_says_so(backbone: str, tmp_path: Path) -> None:
    with pytest.raises(NotScriptable):
        write_torchscript(tmp_path / "model.ts", small(backbone), block(1, 2, 16, 16, 16), {})


def test_blocks_for_networks_of_one_size_keep_only_their_batches_free() -> None:
    images, free = of_one_size([block(2, 2, 4, 4, 6), block(3, 2, 6, 6, 9)])
    assert [tuple(image.shape) for image in images] == [(2, 2, 4, 4, 6), (3, 2, 4, 4, 6)]
    assert free == [0]


def test_decisions_are_scripted_too(tmp_path: Path) -> None:
    write_torchscript(tmp_path / "model.ts", small("UNet", "decision"), block(1, 2, 15, 16, 16, absent=1), {})


@pytest.mark.parametrize("dims", [2, 3])
def test_channel_norm_is_instance_normalization(dims: int) -> None:
    image = block(2, 3, *[8] * dims)
    norm = nn.InstanceNorm2d(3) if dims == 2 else nn.InstanceNorm3d(3)
    torch.testing.assert_close(ChannelNorm(3)(image), norm(image))


def test_a_pointwise_convolution_is_a_convolution_in_the_order_of_its_input() -> None:
    convolution = nn.Conv3d(4, 3, kernel_size=1)
    fast = with_fast_layers(nn.Sequential(convolution))
    image = to_memory_format(block(2, 4, 4, 4, 4), "channels_last")
    torch.testing.assert_close(fast(image), convolution(image))
    assert fast(image).is_contiguous(memory_format=torch.channels_last_3d)


def test_only_plain_pointwise_convolutions_are_replaced() -> None:
    others = nn.Sequential(nn.Conv3d(4, 4, 3), nn.Conv3d(4, 4, 1, stride=2), nn.Conv3d(4, 4, 1, groups=2))
    assert all(type(layer) is nn.Conv3d for layer in with_fast_layers(others))


def test_a_single_voxel_is_normalized_to_zero() -> None:
    assert ChannelNorm(3)(block(1, 3, 1, 1, 1)).abs().max() < 1e-4
