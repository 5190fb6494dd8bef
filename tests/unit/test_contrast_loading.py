"""From files of contrasts, some absent, to a z-scored image with the brain's mask."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch

from medbundles.components.transforms import BrainMaskd, LoadContrastsd, NormalizeContrastsd
from medbundles.errors import ConfigurationError, DataError

NAMES = ("t1c", "t2f")


def write(path: Path, values: Any, affine: Any = None) -> str:
    nib.Nifti1Image(np.asarray(values, dtype=np.float32), np.eye(4) if affine is None else affine).to_filename(path)
    return str(path)


def brain(mean: float, background: float = 0.0) -> Any:
    values = np.full((6, 7, 8), background)
    values[1:5, 1:5, 1:5] = mean + np.random.default_rng(0).normal(0, 10, (4, 4, 4))
    return values


def test_contrasts_become_channels_in_the_order_of_the_list(tmp_path: Path) -> None:
    files = [write(tmp_path / "a.nii", brain(100)), write(tmp_path / "b.nii", brain(300))]
    image = LoadContrastsd(NAMES)({"image": files})["image"]
    assert image.shape == (2, 6, 7, 8)
    assert image[0].max() < image[1].max()
    assert image.dtype == torch.float32


def test_an_absent_contrast_is_a_channel_of_zeros(tmp_path: Path) -> None:
    item = LoadContrastsd(NAMES)({"image": [None, write(tmp_path / "b.nii", brain(300))]})
    assert not item["image"][0].any()
    assert item["image"][1].any()
    assert item["present"] == [False, True]


def test_a_flipped_file_is_turned_to_ras(tmp_path: Path) -> None:
    values = brain(100)
    flipped = write(tmp_path / "a.nii", values[::-1], np.diag([-1.0, 1, 1, 1]))
    image = LoadContrastsd(("t1c",))({"image": [flipped]})["image"]
    np.testing.assert_allclose(image[0], values, rtol=1e-6)


def test_no_contrast_at_all_is_refused_with_the_expected_names() -> None:
    with pytest.raises(DataError, match=r"NII008.*case anna.*t1c, t2f"):
        LoadContrastsd(NAMES)({"image": [None, None], "case": "anna"})


def test_too_few_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="NII008"):
        LoadContrastsd(NAMES)({"image": [write(tmp_path / "a.nii", brain(100))]})


def test_contrasts_on_two_grids_are_refused(tmp_path: Path) -> None:
    files = [write(tmp_path / "a.nii", brain(100)), write(tmp_path / "b.nii", brain(300), np.diag([1.0, 1, 2, 1]))]
    with pytest.raises(DataError, match="NII004"):
        LoadContrastsd(NAMES)({"image": files})


@pytest.mark.parametrize("background", [0.0, -1.25], ids=["zero", "a z-scored zero"])
def test_the_mask_is_what_differs_from_the_background(background: float) -> None:
    item = BrainMaskd()({"image": torch.as_tensor(brain(100, background))[None]})
    assert int(item["mask"].sum()) == 64


def test_a_voxel_is_brain_if_any_contrast_says_so() -> None:
    image = torch.zeros(2, 6, 6, 6)
    image[0, 1, 1, 1] = image[1, 2, 2, 2] = 5
    assert int(BrainMaskd()({"image": image})["mask"].sum()) == 2


def test_a_given_mask_is_kept() -> None:
    given = torch.zeros(1, 6, 6, 6)
    given[0, 2, 3, 4] = 1
    kept = BrainMaskd()({"image": torch.ones(1, 6, 6, 6), "mask": given})["mask"]
    assert torch.equal(kept.as_tensor().float(), given)


def test_images_without_a_brain_are_refused() -> None:
    with pytest.raises(DataError, match=r"NII011.*case anna"):
        BrainMaskd()({"image": torch.zeros(2, 6, 6, 6), "case": "anna"})


def normalized(*channels: Any, **options: Any) -> dict[Any, Any]:
    image = torch.as_tensor(np.stack(channels), dtype=torch.float32)
    item = BrainMaskd()({"image": image, **options})
    return NormalizeContrastsd([f"c{n}" for n in range(len(channels))])(item)


def test_each_contrast_has_mean_0_and_deviation_1_in_the_brain_and_is_0_outside() -> None:
    item = normalized(brain(100), brain(5000))
    inside = item["mask"][0] > 0
    for channel in item["image"]:
        assert float(channel[inside].mean()) == pytest.approx(0, abs=1e-3)
        assert float(channel[inside].std()) == pytest.approx(1, abs=0.02)
        assert not channel[~inside].any()


def test_intensities_in_another_unit_give_the_same_image() -> None:
    torch.testing.assert_close(normalized(brain(100))["image"], normalized(20 * brain(100))["image"], atol=1e-3, rtol=0)


def test_an_absent_contrast_stays_zero() -> None:
    item = normalized(np.zeros((6, 7, 8)), brain(100), present=[False, True])
    assert not item["image"][0].any()


def test_a_contrast_of_one_value_is_taken_for_absent_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    flat = np.zeros((6, 7, 8))
    flat[1:5, 1:5, 1:5] = 7
    item = normalized(flat, brain(100))
    assert item["present"] == [False, True]
    assert not item["image"][0].any()
    assert "c0 has one value" in caplog.text


def test_extreme_values_are_cut_off() -> None:
    values = brain(100)
    values[2, 2, 2] = 1e6
    assert float(normalized(values)["image"].max()) == 5.0


def test_a_limit_that_leaves_nothing_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="limit"):
        NormalizeContrastsd(NAMES, limit=0)
