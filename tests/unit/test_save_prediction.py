"""Predictions are written on the grid of the file they were made from."""

from __future__ import annotations

import itertools
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from monai.data.meta_tensor import MetaTensor
from monai.transforms import CenterSpatialCropd

from medbundles.components.transforms import LoadVolumed, SavePredictiond
from medbundles.errors import DataError, OutputConflict
from medbundles.io.images import read_volume, write_volume

ORIENTATIONS = [
    "".join(codes) for order in itertools.permutations(("LR", "PA", "IS")) for codes in itertools.product(*order)
]


def oblique(codes: str, degrees: float) -> np.ndarray:
    affine = np.zeros((4, 4))
    for axis, code in enumerate(codes):
        world = next(index for index, pair in enumerate(("LR", "PA", "IS")) if code in pair)
        affine[world, axis] = (0.7, 0.8, 2.5)[axis] * (1 if code in "RAS" else -1)
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    affine[:3, :3] = turn @ affine[:3, :3]
    affine[:, 3] = (-12.5, 40.0, -300.25, 1.0)
    return affine


def predicted(path: Path, shape: tuple[int, int, int] = (5, 4, 3), codes: str = "LPS", degrees: float = 0.0) -> dict:
    """An item whose prediction is a function of its image: 1 where the stored value is above 50."""
    array = np.random.default_rng(0).integers(0, 100, shape).astype(np.int16)
    write_volume(path, array, oblique(codes, degrees))
    item = LoadVolumed("image")({"image": path, "case": "scan 1"})
    image = item["image"]
    item["pred"] = MetaTensor((image.float() / 100).as_tensor()).copy_meta_from(image)
    return item


@pytest.mark.parametrize("codes", ORIENTATIONS)
@pytest.mark.parametrize("degrees", [0.0, 20.0])
def test_every_voxel_returns_to_its_place_in_every_orientation(tmp_path: Path, codes: str, degrees: float) -> None:
    item = predicted(tmp_path / "a.nii.gz", codes=codes, degrees=degrees)
    SavePredictiond("pred", tmp_path / "out")(item)
    source, result = read_volume(tmp_path / "a.nii.gz"), read_volume(tmp_path / "out" / "scan 1_seg.nii.gz")
    assert np.array_equal(result.array, source.array > 50)
    np.testing.assert_array_equal(result.affine, source.affine)
    assert result.array.dtype == np.uint8


@pytest.mark.parametrize("suffix", [".mhd", ".nrrd", ".nii"])
def test_any_input_format_gives_nifti_on_its_grid(tmp_path: Path, suffix: str) -> None:
    import itk

    image = itk.image_from_array(np.random.default_rng(0).integers(0, 100, (3, 4, 5)).astype(np.int16))
    image.SetSpacing((0.7, 0.8, 2.5))
    image.SetOrigin((12.0, -5.0, 300.0))
    itk.imwrite(image, str(tmp_path / f"a{suffix}"))
    item = LoadVolumed("image")({"image": tmp_path / f"a{suffix}"})
    SavePredictiond("image", tmp_path / "out", threshold=50)(item)
    result = read_volume(tmp_path / "out" / "a_seg.nii.gz")
    assert result.array.shape == (5, 4, 3)
    np.testing.assert_allclose(np.diag(result.affine)[:3], (-0.7, -0.8, 2.5), atol=1e-6)
    np.testing.assert_allclose(result.affine[:3, 3], (-12, 5, 300), atol=1e-4)


def test_probabilities_are_written_on_request_in_thousandths(tmp_path: Path) -> None:
    item = predicted(tmp_path / "a.nii.gz")
    item["pred"] += 0.00042
    SavePredictiond("pred", tmp_path, save_probability=True)(item)
    source, result = read_volume(tmp_path / "a.nii.gz"), read_volume(tmp_path / "scan 1_prob.nii.gz")
    assert result.array.dtype == np.float32
    np.testing.assert_allclose(result.array, source.array / 100, atol=6e-4)
    np.testing.assert_array_equal(result.array, np.round(result.array, 3))


def test_regions_below_the_peak_threshold_leave_the_mask(tmp_path: Path) -> None:
    write_volume(tmp_path / "a.nii.gz", np.zeros((9, 9, 9), np.int16), oblique("LPS", 0))
    item = LoadVolumed("image")({"image": tmp_path / "a.nii.gz", "case": "a"})
    pred = torch.zeros(1, 9, 9, 9)
    pred[0, :3, :3, :3], pred[0, 6:, 6:, 6:], pred[0, 7, 7, 7] = 0.6, 0.6, 0.9
    item["pred"] = MetaTensor(pred).copy_meta_from(item["image"])
    SavePredictiond("pred", tmp_path, threshold=0.5, peak_threshold=0.8)(item)
    assert int(read_volume(tmp_path / "a_seg.nii.gz").array.sum()) == 27


def test_several_channels_give_the_number_of_the_most_probable(tmp_path: Path) -> None:
    item = predicted(tmp_path / "a.nii.gz", codes="RAS")
    pred = torch.zeros(2, 5, 4, 3)
    pred[0, 0, 0, 0], pred[1, 1, 1, 1], pred[:, 2, 2, 2] = 0.7, 0.9, torch.tensor([0.6, 0.8])
    item["pred"] = MetaTensor(pred).copy_meta_from(item["image"])
    SavePredictiond("pred", tmp_path, save_probability=True)(item)
    mask = read_volume(tmp_path / "scan 1_seg.nii.gz").array
    assert (mask[0, 0, 0], mask[1, 1, 1], mask[2, 2, 2], int(mask.sum())) == (1, 2, 2, 5)
    assert nibabel.load(tmp_path / "scan 1_prob.nii.gz").shape == (5, 4, 3, 2)


def test_the_item_passes_on_unchanged(tmp_path: Path) -> None:
    item = predicted(tmp_path / "a.nii.gz")
    before = item["pred"].clone()
    assert torch.equal(SavePredictiond("pred", tmp_path)(item)["pred"], before)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_prediction_that_is_no_number_is_not_taken_for_nothing_found(tmp_path: Path, value: float) -> None:
    item = predicted(tmp_path / "a.nii.gz")
    item["pred"][0, 1, 1, 1] = value
    with pytest.raises(DataError, match=r"TRN003.*scan 1"):
        SavePredictiond("pred", tmp_path / "out")(item)
    assert not list(tmp_path.glob("out/*"))


def test_an_existing_file_is_not_replaced(tmp_path: Path) -> None:
    item = predicted(tmp_path / "a.nii.gz")
    SavePredictiond("pred", tmp_path)(item)
    before = (tmp_path / "scan 1_seg.nii.gz").read_bytes()
    item["pred"] *= 0
    with pytest.raises(OutputConflict, match="scan 1_seg"):
        SavePredictiond("pred", tmp_path)(item)
    assert (tmp_path / "scan 1_seg.nii.gz").read_bytes() == before


def test_overwrite_replaces_an_existing_file(tmp_path: Path) -> None:
    item = predicted(tmp_path / "a.nii.gz")
    SavePredictiond("pred", tmp_path)(item)
    item["pred"] *= 0
    SavePredictiond("pred", tmp_path, overwrite=True)(item)
    assert not read_volume(tmp_path / "scan 1_seg.nii.gz").array.any()


def test_a_prediction_on_another_grid_is_refused(tmp_path: Path) -> None:
    item = CenterSpatialCropd("pred", (3, 3, 3))(predicted(tmp_path / "a.nii.gz"))
    with pytest.raises(ValueError, match="not on the grid"):
        SavePredictiond("pred", tmp_path)(item)
