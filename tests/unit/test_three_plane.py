"""2D networks over the slices of a volume in three planes."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from medbundles.components.networks import ContrastNetwork, build_network, describe_network, network_from_model
from medbundles.components.networks.three_plane import ThreePlanes
from medbundles.formats import write_torchscript

SMALL = {"channels": [4, 8], "strides": [2], "num_res_units": 1, "features": 4}


def three_plane(fusion: Any = "input", view: Any = "three_plane", backbone: str = "UNet") -> ContrastNetwork:
    torch.manual_seed(0)
    arguments = SMALL if backbone == "UNet" else None
    return ContrastNetwork(backbone, 2, 3, fusion, view, equal_cost=False, arguments=arguments).eval()


def block(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


class Remembering(nn.Module):
    """Answers with the slices it was given."""

    def forward(self, slices: Tensor, presence: Tensor) -> Tensor:
        self.slices, self.presence = slices, presence
        return slices


@pytest.mark.parametrize("view", ["three_plane", "three_plane_3d"])
@pytest.mark.parametrize("fusion", ["input", "feature", "decision"])
def test_volumes_go_in_and_out(view: str, fusion: str) -> None:
    with torch.no_grad():
        assert three_plane(fusion, view)(block(2, 2, 12, 9, 16)).shape == (2, 3, 12, 9, 16)


@pytest.mark.parametrize("backbone", ["BasicUNet", "SegResNet", "SwinUNETR"])
@pytest.mark.parametrize("fusion", ["input", "feature", "decision"])
def test_every_backbone_has_a_flat_form(backbone: str, fusion: str) -> None:
    with torch.no_grad():
        assert three_plane(fusion, backbone=backbone)(block(1, 2, 4, 8, 6)).shape == (1, 3, 4, 8, 6)


def test_each_network_gets_the_slices_of_its_plane() -> None:
    planes, volume = [Remembering() for _ in range(3)], block(2, 2, 4, 5, 6)
    ThreePlanes(planes, 2)(volume, torch.ones(2, 2))
    assert torch.equal(planes[0].slices[4 + 1], volume[1, :, 1])
    assert torch.equal(planes[1].slices[5 + 2], volume[1, :, :, 2])
    assert torch.equal(planes[2].slices[6 + 3], volume[1, :, :, :, 3])


def test_slices_return_to_where_they_came_from() -> None:
    volume = block(2, 2, 4, 5, 6)
    answer = ThreePlanes([Remembering() for _ in range(3)], 2)(volume, torch.ones(2, 2))
    torch.testing.assert_close(answer, volume)


def test_presence_is_that_of_the_volume_not_of_the_slice() -> None:
    planes, presence = [Remembering() for _ in range(3)], torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    ThreePlanes(planes, 2)(torch.zeros(2, 2, 2, 2, 2), presence)
    assert planes[0].presence.tolist() == [[1.0, 0.0], [1.0, 0.0], [1.0, 1.0], [1.0, 1.0]]


def test_the_head_starts_with_adding_nothing() -> None:
    image = block(1, 2, 8, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(three_plane(view="three_plane_3d")(image), three_plane()(image))


def test_the_head_learns() -> None:
    network = three_plane(view="three_plane_3d")
    network(block(1, 2, 8, 8, 8)).square().sum().backward()
    last: Any = network.network.head[-1]  # type: ignore[index]
    assert last.weight.grad.any()


@pytest.mark.parametrize("plane", [0, 1, 2])
def test_every_plane_learns(plane: int) -> None:
    network: Any = three_plane("decision")
    network(block(1, 2, 8, 8, 8)).square().sum().backward()
    assert all(parameter.grad.any() for parameter in network.network.planes[plane].parameters() if parameter.ndim > 1)


@pytest.mark.parametrize("fusion", ["feature", "decision"])
def test_an_absent_contrast_has_no_influence_in_any_plane(fusion: str) -> None:
    network: Any = three_plane(fusion)
    image = block(1, 2, 8, 8, 8)
    image[:, 0] = 0.0
    with torch.no_grad():
        before = network(image)
        for plane in network.network.planes:
            own = [plane.networks[0]] if fusion == "decision" else [level.stages[0] for level in plane.levels]
            for parameter in (parameter for part in own for parameter in part.parameters()):
                parameter.add_(torch.randn_like(parameter))
        assert torch.equal(network(image), before)


def test_every_plane_starts_from_the_prior() -> None:
    network: Any = build_network({"UNet": functools.partial(three_plane)}, "UNet", foreground_prior=0.1)
    biases = [plane.network.head.bias for plane in network.network.planes]
    assert all(torch.sigmoid(bias).allclose(torch.tensor(0.1)) for bias in biases)


def test_it_is_built_again_from_its_description() -> None:
    factory = functools.partial(
        ContrastNetwork, "UNet", in_channels=2, out_channels=3, view="three_plane_3d", arguments=SMALL
    )
    again = network_from_model(describe_network({"UNet": factory}, "UNet"))
    again.load_state_dict(factory().state_dict())


def test_torchscript_takes_other_sizes(tmp_path: Path) -> None:
    network = three_plane("feature", "three_plane_3d")
    write_torchscript(tmp_path / "model.ts", network, block(1, 2, 8, 6, 10), {})
    with torch.no_grad():
        image = block(2, 2, 5, 8, 4)
        torch.testing.assert_close(torch.jit.load(str(tmp_path / "model.ts"))(image), network(image))
