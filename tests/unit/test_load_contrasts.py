"""Contrasts become the channels of one image, absent ones zeros."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from medbundles.components.transforms import LoadContrastsd
from medbundles.errors import DataError
from medbundles.io.images import write_volume

LPS = np.diag([-1.0, -2.0, 1.5, 1.0])
SHAPE = (6, 5, 4)


def volume(seed: int, dtype: str = "int16") -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 100, SHAPE).astype(dtype)


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """Three contrasts, one of them as floating point numbers."""
    for number, dtype in enumerate(("int16", "float32", "uint8")):
        write_volume(tmp_path / f"{number}.nii.gz", volume(number, dtype), LPS)
    return [str(tmp_path / f"{number}.nii.gz") for number in range(3)]


def test_contrasts_are_channels_in_ras_in_their_order(files: list[str]) -> None:
    item = LoadContrastsd(["a", "b", "c"])({"image": files})
    assert item["image"].dtype == torch.float32
    assert item["present"] == item["image"].meta["present"] == [True, True, True]
    expected = np.stack([volume(number)[::-1, ::-1] for number in range(3)])
    np.testing.assert_array_equal(item["image"], expected)


def test_an_absent_contrast_is_zero_everywhere(files: list[str]) -> None:
    item = LoadContrastsd(["a", "b", "c", "d"])({"image": [None, files[2], None, files[0]]})
    image = item["image"].as_tensor()
    assert item["present"] == [False, True, False, True]
    assert not image[0].any()
    assert not image[2].any()
    np.testing.assert_array_equal(image[3], volume(0)[::-1, ::-1])


def test_the_file_s_own_grid_is_remembered_though_the_first_contrast_is_absent(files: list[str]) -> None:
    meta = LoadContrastsd(["a", "b"])({"image": [None, files[0]], "case": "anna"})["image"].meta
    np.testing.assert_allclose(meta["original_affine"], LPS)
    assert tuple(meta["spatial_shape"]) == SHAPE
    assert meta["case"] == "anna"


def test_one_4d_file_holds_all_contrasts(tmp_path: Path) -> None:
    volumes = np.stack([volume(number) for number in range(3)], axis=-1)
    write_volume(tmp_path / "all.nii.gz", volumes, LPS)
    image = LoadContrastsd(["a", "b", "c"])({"image": str(tmp_path / "all.nii.gz")})["image"]
    np.testing.assert_array_equal(image, np.moveaxis(volumes[::-1, ::-1], -1, 0))


def test_labels_come_along_and_null_is_no_label(files: list[str]) -> None:
    load = LoadContrastsd(["a"], keys=["image", "label", "mask"])
    item = load({"image": files[:1], "label": files[2], "mask": None})
    assert item["label"].dtype == torch.uint8
    assert "mask" not in item


@pytest.mark.parametrize(
    ("places", "found"),
    [([0, 1], "2 of 2 images"), ([None, None, None], "0 of 3 images"), ([0], "one volume"), ([0, 1, 2, 0], "4 of 4")],
)
def test_another_number_of_images_is_refused_with_the_order(
    files: list[str], places: list[int | None], found: str
) -> None:
    images = [None if place is None else files[place] for place in places]
    with pytest.raises(DataError, match=rf"NII008.*case anna: {found}.*expected one for each of a, b, c;.*null"):
        LoadContrastsd(["a", "b", "c"])({"image": images, "case": "anna"})


def test_contrasts_on_two_grids_are_refused(files: list[str], tmp_path: Path) -> None:
    write_volume(tmp_path / "moved.nii.gz", volume(0), LPS + np.eye(4)[:, [1, 2, 0, 3]] * 0.1)
    with pytest.raises(DataError, match=r"NII004.*moved.nii.gz: not on the grid of 0.nii.gz"):
        LoadContrastsd(["a", "b", "c"])({"image": [files[0], None, str(tmp_path / "moved.nii.gz")]})


def test_a_4d_file_of_more_volumes_is_refused(tmp_path: Path) -> None:
    write_volume(tmp_path / "all.nii.gz", np.zeros((*SHAPE, 4), np.int16), LPS)
    with pytest.raises(DataError, match="NII007"):
        LoadContrastsd(["a", "b", "c"])({"image": str(tmp_path / "all.nii.gz")})
