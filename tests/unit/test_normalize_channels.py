"""Channels as a plan says: HU in a window, what has no unit in standard deviations."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from monai.data.meta_tensor import MetaTensor

from medbundles.checks.notices import noticing
from medbundles.components.transforms import NormalizeChannelsd
from medbundles.errors import ConfigurationError

CT = {"kind": "CT", "window_hu": [-100, 300]}
MR = {"kind": "MR", "percentile": 99.0}


def noise(mean: float = 500.0, deviation: float = 50.0) -> torch.Tensor:
    return mean + deviation * torch.randn(1, 30, 30, 30, generator=torch.Generator().manual_seed(0))


def test_a_window_becomes_minus_one_to_one() -> None:
    image = torch.tensor([-2000.0, -100, 100, 300, 3000]).reshape(1, 5, 1, 1)
    found = NormalizeChannelsd({"CT": CT})({"image": image})["image"]
    assert found.flatten().tolist() == [-1, -1, 0, 1, 1]


@pytest.mark.parametrize("scale", [1.0, 0.01, 40.0])
def test_an_mr_looks_the_same_whatever_its_scale(scale: float) -> None:
    found = NormalizeChannelsd({"MRI": MR})({"image": noise() * scale})["image"]
    reference = NormalizeChannelsd({"MRI": MR})({"image": noise()})["image"]
    assert torch.allclose(found, reference, atol=1e-4)
    assert abs(float(found.mean())) < 0.01
    assert float(found.std()) == pytest.approx(1, abs=0.01)


def test_a_few_bright_voxels_do_not_change_the_others() -> None:
    image = noise()
    bright = image.clone()
    bright[0, 0, 0, :5] = 1e6
    found, reference = (NormalizeChannelsd({"MRI": MR})({"image": each})["image"] for each in (bright, image))
    assert torch.allclose(found[:, 1:], reference[:, 1:], atol=0.01)
    assert float(found.max()) < 3


def test_surroundings_of_zero_do_not_count() -> None:
    image = torch.zeros(1, 60, 30, 30)
    image[:, :30] = noise()
    found = NormalizeChannelsd({"MRI": MR})({"image": image})["image"]
    assert torch.allclose(found[:, :30], NormalizeChannelsd({"MRI": MR})({"image": noise()})["image"], atol=1e-4)


def test_channels_are_normalized_each_by_its_own_entry_and_keep_their_grid() -> None:
    affine = torch.diag(torch.tensor([2.0, 2, 3, 1], dtype=torch.float64))
    image = MetaTensor(torch.cat([noise(100, 50), noise()]), affine=affine)
    found = NormalizeChannelsd({"CT": CT, "MRI": MR})({"image": image})["image"]
    assert torch.equal(found.affine, affine)
    assert abs(float(found[0].mean())) < 0.01
    assert float(found[0].std()) == pytest.approx(0.25, abs=0.01)


def test_a_channel_of_one_value_becomes_zero_and_is_told() -> None:
    with noticing() as findings:
        found = NormalizeChannelsd({"MRI": MR})({"image": torch.full((1, 4, 4, 4), 7.0), "case": "anna"})["image"]
    assert not found.any()
    assert [(each.code, each.case) for each in findings] == [("NII011", "anna")]


@pytest.mark.parametrize(
    "entry",
    [{}, {"kind": "CT"}, {"kind": "CT", "window_hu": [3, 3]}, {"kind": "MR", "percentile": 30}, {"kind": "PET"}],
)
def test_an_entry_that_cannot_be_meant_is_refused(entry: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="normalization expects"):
        NormalizeChannelsd({"MRI": entry})


def test_another_number_of_channels_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="case anna: 2 channels, normalization has 1"):
        NormalizeChannelsd({"MRI": MR})({"image": torch.zeros(2, 4, 4, 4), "case": "anna"})
