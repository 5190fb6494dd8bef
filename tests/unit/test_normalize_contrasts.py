"""The brain of skull-stripped images, and contrasts in units of their own spread in it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from monai.data.meta_tensor import MetaTensor

from medbundles.checks.notices import noticing
from medbundles.components.transforms import BrainMaskd, NormalizeContrastsd
from medbundles.components.transforms.brain_mask import background_of
from medbundles.errors import ConfigurationError, DataError

SHAPE = (20, 22, 18)
BRAIN = (slice(4, 16), slice(5, 17), slice(3, 15))


def head(background: float = 0.0, contrasts: int = 2) -> torch.Tensor:
    """A box of noise around 100, a constant around it."""
    generator = torch.Generator().manual_seed(0)
    image = torch.full((contrasts, *SHAPE), background)
    image[(slice(None), *BRAIN)] = 100 + 10 * torch.randn((contrasts, 12, 12, 12), generator=generator)
    return image


def inside() -> np.ndarray:
    mask = np.zeros(SHAPE, bool)
    mask[BRAIN] = True
    return mask


def masked(image: torch.Tensor, **more: Any) -> dict[Any, Any]:
    return BrainMaskd()({"image": MetaTensor(image), "case": "anna", **more})


def normalized(image: torch.Tensor, **more: Any) -> dict[Any, Any]:
    return NormalizeContrastsd(["t1c", "t2f"])(masked(image, **more))


@pytest.mark.parametrize("background", [0.0, -0.73, 3.5])
def test_the_brain_is_where_any_contrast_differs_from_its_background(background: float) -> None:
    np.testing.assert_array_equal(masked(head(background))["mask"][0], inside())


def test_holes_are_filled_and_crumbs_left_out() -> None:
    image = head()
    image[:, 8:10, 8:10, 8:10] = 0
    image[:, 1, 1, 1] = 50
    np.testing.assert_array_equal(masked(image)["mask"][0], inside())


def test_two_halves_of_a_brain_are_both_kept() -> None:
    image = head()
    image[:, 9:11] = 0
    assert int(masked(image)["mask"].sum()) == 10 * 12 * 12


def test_a_mask_that_is_given_is_used() -> None:
    given = torch.zeros(1, *SHAPE)
    given[:, 6:8, 6:8, 6:8] = 255
    item = masked(head(), mask=MetaTensor(given))
    assert item["mask"].dtype == torch.uint8
    assert int(item["mask"].sum()) == 8


def test_a_brain_that_touches_the_image_s_sides_is_found() -> None:
    image = head()
    cropped = image[:, 4:16, 5:17, 2:]
    assert int(masked(cropped)["mask"].sum()) == 12**3


def test_without_a_value_that_stands_out_the_background_is_0() -> None:
    assert background_of(torch.rand(SHAPE)) == 0.0


def test_contrasts_of_one_value_have_no_brain() -> None:
    with pytest.raises(DataError, match=r"NII011.*case anna: all contrasts have one value everywhere"):
        masked(torch.full((2, *SHAPE), 7.0))


def test_an_empty_mask_is_refused() -> None:
    with pytest.raises(DataError, match=r"NII011.*the brain mask is empty"):
        masked(head(), mask=torch.zeros(1, *SHAPE))


@pytest.mark.parametrize("background", [0.0, -0.73])
def test_every_contrast_has_mean_0_and_deviation_1_in_the_brain_and_is_0_outside(background: float) -> None:
    image = normalized(head(background))["image"].as_tensor()
    brain = torch.from_numpy(inside())
    for channel in image:
        assert float(channel[brain].mean()) == pytest.approx(0, abs=1e-2)
        assert float(channel[brain].std()) == pytest.approx(1, abs=1e-2)
        assert not channel[~brain].any()


def test_an_absent_contrast_stays_0() -> None:
    image = head()
    image[0] = 0
    item = normalized(image, present=[False, True])
    assert item["present"] == [False, True]
    assert not item["image"][0].any()


def test_outliers_are_cut_off() -> None:
    image = head()
    image[0, 10, 10, 10] = 1e5
    assert float(normalized(image)["image"].max()) == 5.0


def test_what_a_contrast_does_not_cover_leaves_its_scale_alone() -> None:
    image, whole = head(), normalized(head())["image"].as_tensor()
    image[0, :, :, 12:] = 0
    part = normalized(image)["image"].as_tensor()
    torch.testing.assert_close(part[0][..., :12], whole[0][..., :12], atol=0.2, rtol=0)


def test_a_voxel_that_is_no_number_becomes_0_and_spoils_no_other() -> None:
    image = head()
    image[0, 10, 10, 10] = torch.nan
    result = normalized(image)["image"].as_tensor()
    assert bool(result.isfinite().all())
    assert float(result[0, 10, 10, 10]) == 0.0


def test_a_constant_contrast_is_noticed_and_taken_for_absent() -> None:
    image = head()
    image[(1, *BRAIN)] = 1000.0
    with noticing() as found:
        item = normalized(image)
    assert item["present"] == item["image"].meta["present"] == [True, False]
    assert not item["image"][1].any()
    assert [(finding.code, finding.level, finding.case) for finding in found] == [("NII011", "warning", "anna")]
    assert "contrast t2f has one value" in found[0].message


@pytest.mark.parametrize("limit", [0.0, -1.0])
def test_a_limit_that_leaves_nothing_is_refused(limit: float) -> None:
    with pytest.raises(ConfigurationError, match="limit"):
        NormalizeContrastsd(["t1c"], limit=limit)


def test_masks_painted_in_one_value_are_refused_as_images() -> None:
    image = head()
    image[image != 0] = 1
    with pytest.raises(DataError, match=r"NII011.*case anna: no contrast has more than one value in the brain"):
        normalized(image)
