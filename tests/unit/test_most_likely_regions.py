"""Exclusive classes in the form of regions."""

from __future__ import annotations

import pytest
import torch
from monai.data.meta_tensor import MetaTensor

from medbundles.components.region_labels import regions_to_labels
from medbundles.components.transforms import MostLikelyRegionsd
from medbundles.errors import ConfigurationError


def logits(classes: int = 3) -> torch.Tensor:
    return 3 * torch.randn(classes + 1, 8, 9, 7, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("classes", [1, 2, 5])
def test_above_one_half_is_where_the_largest_logit_is(classes: int) -> None:
    values = logits(classes)
    found = MostLikelyRegionsd("pred", classes)({"pred": values})["pred"]
    names = {f"c{number}": [number] for number in range(1, classes + 1)}
    labels = regions_to_labels(found > 0.5, {number: str(number) for number in range(1, classes + 1)}, names)
    assert torch.equal(labels[0].long(), values.argmax(dim=0))


def test_a_value_is_the_share_beside_the_strongest_other_class() -> None:
    values = logits()
    shares = values.softmax(dim=0)
    others = torch.stack([shares[[c for c in range(4) if c != number]].amax(dim=0) for number in (1, 2, 3)])
    found = MostLikelyRegionsd("pred", 3)({"pred": values})["pred"]
    assert torch.allclose(found, shares[1:] / (shares[1:] + others), atol=1e-6)


def test_equals_belong_to_nobody() -> None:
    found = MostLikelyRegionsd("pred", 2)({"pred": torch.zeros(3, 2, 2, 2)})["pred"]
    assert not (found > 0.5).any()


def test_the_grid_stays_known() -> None:
    affine = torch.diag(torch.tensor([2.0, 1, 1, 1], dtype=torch.float64))
    found = MostLikelyRegionsd("pred", 3)({"pred": MetaTensor(logits(), affine=affine)})["pred"]
    assert torch.equal(found.affine, affine)


def test_another_number_of_channels_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="4 channels, expected 3"):
        MostLikelyRegionsd("pred", 2)({"pred": logits(3)})
