"""Every way to fuse contrasts at the same cost, and the control at the same width."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from medbundles.components.networks import BACKBONES, ContrastNetwork
from medbundles.components.networks.equal_cost import equal_cost_arguments, relative_cost
from medbundles.components.networks.network_cost import count_multiplications
from medbundles.errors import ConfigurationError

REGIONS = 3
LIMIT_MB = 25


def share_of(name: str, fusion: Any, contrasts: int, equal_cost: bool = True, dims: int = 3) -> float:
    family = BACKBONES[name]
    arguments = family.complete(None)
    own = equal_cost_arguments(family, fusion, dims, contrasts, REGIONS, arguments, equal_cost)
    return relative_cost(family, fusion, dims, contrasts, REGIONS, arguments, own)


@pytest.mark.parametrize("fusion", ["feature", "decision"])
@pytest.mark.parametrize("name", BACKBONES)
def test_four_contrasts_cost_the_same_however_they_are_fused(name: str, fusion: str) -> None:
    assert share_of(name, fusion, 4) == pytest.approx(1.0, abs=0.2)


@pytest.mark.parametrize("fusion", ["feature", "decision"])
@pytest.mark.parametrize("name", ["UNet", "BasicUNet", "SegResNet"])
def test_two_contrasts_cost_the_same_however_they_are_fused(name: str, fusion: str) -> None:
    assert share_of(name, fusion, 2) == pytest.approx(1.0, abs=0.2)


@pytest.mark.parametrize("fusion", ["feature", "decision"])
def test_slices_cost_the_same_however_their_contrasts_are_fused(fusion: str) -> None:
    assert share_of("UNet", fusion, 4, dims=2) == pytest.approx(1.0, abs=0.2)


def test_the_control_gives_each_contrast_the_full_width() -> None:
    assert share_of("UNet", "decision", 4, equal_cost=False) == pytest.approx(4.0, rel=0.05)


@pytest.mark.parametrize("name", BACKBONES)
def test_weights_of_the_default_width_are_small_enough_to_release(name: str) -> None:
    network = ContrastNetwork(name, 4, REGIONS)
    assert sum(parameter.numel() for parameter in network.parameters()) * 4 < LIMIT_MB * 1e6


def test_fusions_of_equal_cost_are_of_similar_size() -> None:
    sizes = [
        sum(parameter.numel() for parameter in ContrastNetwork("UNet", 4, REGIONS, fusion).parameters())
        for fusion in ("input", "feature", "decision")
    ]
    assert max(sizes) < 1.2 * min(sizes)


def test_input_fusion_keeps_its_widths() -> None:
    family = BACKBONES["UNet"]
    arguments = family.complete({"channels": [4, 8, 16, 32]})
    assert equal_cost_arguments(family, "input", 3, 4, REGIONS, arguments) == arguments


def test_widths_that_cannot_cost_the_same_are_refused_with_what_can_be_done() -> None:
    with pytest.raises(ConfigurationError, match=r"times what fusion input costs; set equal_cost to false, or another"):
        ContrastNetwork("UNet", 9, REGIONS, "decision", arguments={"channels": [1, 1, 1, 1], "features": 1})


def test_looking_for_widths_draws_no_random_numbers() -> None:
    weights = []
    for _ in range(2):  # widths are looked for once only
        torch.manual_seed(3)
        network = ContrastNetwork("UNet", 5, REGIONS, "decision")
        weights.append(next(network.parameters()).detach())
    assert torch.equal(weights[0], weights[1])


def test_a_convolution_costs_its_kernel_at_every_voxel() -> None:
    assert count_multiplications(lambda: nn.Conv3d(2, 3, 3, padding=1), (1, 2, 4, 4, 4)) == 2 * 3 * 27 * 4**3
