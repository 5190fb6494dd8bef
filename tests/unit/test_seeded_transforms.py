"""Transforms seeded sample by sample draw what MONAI's own seeding draws."""

from __future__ import annotations

import pytest
import torch
from monai.transforms import Compose, Identity, RandGaussianNoise, RandScaleIntensity

from medbundles.components.datasets.seeded_transforms import SeededTransforms


def transforms() -> Compose:
    return Compose([RandGaussianNoise(prob=1.0), Identity(), RandScaleIntensity(0.5, prob=0.5)])


@pytest.mark.parametrize("seed", [0, 7, 2**32 - 1])
def test_the_same_numbers_as_from_compose_set_random_state(seed: int) -> None:
    image, theirs = torch.zeros(1, 4, 4), transforms()
    theirs.set_random_state(seed=seed)
    assert torch.equal(SeededTransforms(transforms())(image, seed), theirs(image))


def test_what_was_drawn_before_does_not_matter() -> None:
    seeded, image = SeededTransforms(transforms()), torch.zeros(1, 4, 4)
    first = seeded(image, 3)
    seeded(image, 4)
    assert torch.equal(seeded(image, 3), first)


def test_a_transform_without_random_parts_is_only_applied() -> None:
    assert SeededTransforms(lambda value: value + 1)(1, 5) == 2
