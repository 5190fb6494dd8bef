"""Uneven brightness in training."""

from __future__ import annotations

import pytest
import torch

from medbundles.components.transforms import RandShadingd
from medbundles.errors import ConfigurationError


def shaded(image: torch.Tensor, probability: float = 1.0, strength: float = 0.2, seed: int = 0) -> torch.Tensor:
    transform = RandShadingd(probability, strength)
    transform.set_random_state(seed=seed)
    changed: torch.Tensor = transform({"image": image.clone()})["image"]
    return changed


def test_a_brains_mean_gets_brighter_in_one_place_than_in_another() -> None:
    assert shaded(torch.zeros(1, 16, 16, 16)).std() > 0.05


def test_no_signal_stays_no_signal() -> None:
    torch.testing.assert_close(shaded(torch.full((1, 8, 8, 8), -3.0)), torch.full((1, 8, 8, 8), -3.0))


def test_contrasts_are_shaded_apart() -> None:
    first, second = shaded(torch.zeros(2, 8, 8, 8))
    assert not torch.allclose(first, second)


def test_neighbors_are_shaded_alike() -> None:
    changed = shaded(torch.zeros(1, 32, 32, 32))
    assert changed.diff(dim=1).abs().max() < 0.5 * changed.std()


def test_the_seed_decides() -> None:
    image = torch.randn(2, 8, 8, 8)
    assert torch.equal(shaded(image, seed=3), shaded(image, seed=3))
    assert not torch.equal(shaded(image, seed=3), shaded(image, seed=4))


@pytest.mark.parametrize(("probability", "strength"), [(0.0, 0.2), (1.0, 0.0)])
def test_switched_off_it_changes_nothing(probability: float, strength: float) -> None:
    image = torch.randn(2, 8, 8, 8)
    torch.testing.assert_close(shaded(image, probability, strength), image)


@pytest.mark.parametrize(("probability", "strength"), [(1.5, 0.1), (-0.1, 0.1), (0.5, -1.0), (0.5, float("nan"))])
def test_what_cannot_be_meant_is_refused(probability: float, strength: float) -> None:
    with pytest.raises(ConfigurationError, match="shading"):
        RandShadingd(probability, strength)
