"""Images are made worse inside the brain, by as much as was asked for and the same way every time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from monai.data.meta_tensor import MetaTensor
from scipy import ndimage

from medbundles.components.transforms import Perturbationd
from medbundles.errors import ConfigurationError

SHAPE = (24, 20, 18)
KINDS = ("noise", "bias", "spacing", "shift")
STRENGTH = {"noise": 0.5, "bias": 0.3, "spacing": 5.0, "shift": 0.4}


def item(case: str = "a") -> dict[str, Any]:
    """Two contrasts, the second absent, and a brain in the middle of the volume."""
    generator = np.random.default_rng(0)
    mask = np.zeros((1, *SHAPE), np.uint8)
    mask[0, 3:-3, 3:-3, 3:-3] = 1
    smooth = 100.0 + 60.0 * ndimage.gaussian_filter(generator.standard_normal(SHAPE), 2) * 8
    image = np.stack([smooth * mask[0], np.zeros(SHAPE)]).astype(np.float32)
    affine = torch.diag(torch.tensor([1.0, 1.0, 1.0, 1.0]))
    return {"image": MetaTensor(torch.as_tensor(image), affine=affine), "mask": torch.as_tensor(mask), "case": case}


def changed(kind: Any, strength: float | None = None, case: str = "a", seed: int = 0) -> np.ndarray:
    chosen = STRENGTH[kind] if strength is None else strength
    return np.asarray(Perturbationd(kind, chosen, seed)(item(case))["image"])


def brain(image: np.ndarray) -> np.ndarray:
    return image[0][np.asarray(item()["mask"])[0] > 0]


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_brain_of_contrasts_that_are_there_changes(kind: str) -> None:
    before, after = np.asarray(item()["image"]), changed(kind)
    outside = np.asarray(item()["mask"])[0] == 0
    np.testing.assert_array_equal(after[:, outside], before[:, outside])
    np.testing.assert_array_equal(after[1], 0.0)
    assert np.mean(brain(after) != brain(before)) > 0.9


@pytest.mark.parametrize("kind", ["noise", "bias", "shift"])
def test_a_case_is_changed_the_same_way_every_time_and_another_one_differently(kind: str) -> None:
    np.testing.assert_array_equal(changed(kind), changed(kind))
    others = (changed(kind, case="b"), changed(kind, seed=1))
    assert all(not np.array_equal(changed(kind), other) for other in others)


@pytest.mark.parametrize("kind", [*KINDS, "none"])
def test_a_strength_of_zero_changes_nothing(kind: str) -> None:
    np.testing.assert_array_equal(changed(kind, 0.0), np.asarray(item()["image"]))


def test_noise_has_the_standard_deviation_that_was_asked_for() -> None:
    before = brain(np.asarray(item()["image"]))
    assert (brain(changed("noise")) - before).std() == pytest.approx(0.5 * before.std(), rel=0.05)


def test_a_bias_field_reaches_the_strength_both_ways_and_is_smooth() -> None:
    ratio = np.log(brain(changed("bias")) / brain(np.asarray(item()["image"])))
    assert (ratio.min(), ratio.max()) == pytest.approx((-0.3, 0.3), abs=1e-4)
    edge = tuple(size - 6 for size in SHAPE)
    assert max(np.abs(np.diff(ratio.reshape(edge), axis=axis)).max() for axis in range(3)) < 0.15


def test_thick_slices_average_along_the_body_only() -> None:
    made = item()
    ramp = torch.arange(SHAPE[0], dtype=torch.float32)[:, None, None].expand(SHAPE).clone()
    stripes = ramp + 10.0 * (torch.arange(SHAPE[2]) % 2)
    made["image"] = MetaTensor(stripes[None] + 1.0)
    made["mask"] = torch.zeros(1, *SHAPE)
    made["mask"][..., 6:-6] = 1
    after = np.asarray(Perturbationd("spacing", 5.0)(made)["image"])[0, :, :, 6:-6]
    np.testing.assert_allclose(after, np.asarray(ramp)[..., 6:-6] + 6.0, atol=1.0)


def test_thickness_is_that_of_the_grid() -> None:
    made = item()
    made["image"].affine = torch.diag(torch.tensor([1.0, 1.0, 5.0, 1.0], dtype=torch.float64))
    after = Perturbationd("spacing", 5.0)(made)["image"]
    np.testing.assert_array_equal(np.asarray(after), np.asarray(item()["image"]))


def test_a_shift_keeps_the_order_of_intensities_but_not_their_contrast() -> None:
    before, after = brain(np.asarray(item()["image"])), brain(changed("shift"))
    order = np.argsort(before)
    assert np.all(np.diff(after[order]) >= -1e-3)
    assert abs(np.corrcoef(before, after)[0, 1] - 1.0) > 1e-3


@pytest.mark.parametrize(("kind", "strength"), [("blur", 1.0), ("noise", -0.1), ("noise", float("nan"))])
def test_what_is_no_perturbation_is_refused(kind: Any, strength: float) -> None:
    with pytest.raises(ConfigurationError, match="perturbation is one of none, noise"):
        Perturbationd(kind, strength)


def test_slices_of_unknown_thickness_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="size of its voxels"):
        Perturbationd("spacing", 5.0)({**item(), "image": torch.ones(1, *SHAPE)})
