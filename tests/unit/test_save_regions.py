"""Regions are written as a label map on the grid of the image's file, with what else was asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.data.meta_tensor import MetaTensor
from PIL import Image

from medbundles.components.transforms import CleanRegionsd, LoadVolumed, SaveRegionsd
from medbundles.components.transforms.save_regions import mean_entropy
from medbundles.errors import ConfigurationError, DataError, OutputConflict
from medbundles.io.images import read_volume, write_volume

NESTED = {"WT": [1, 2, 3], "TC": [1, 3], "ET": [3]}
LABELS = {1: "ncr", 2: "ed", 3: "et"}
# The axes run to the left, to the head, backwards; the volume is turned about the body's axis.
ANGLE = np.deg2rad(15.0)
TURN = np.array([[np.cos(ANGLE), -np.sin(ANGLE), 0], [np.sin(ANGLE), np.cos(ANGLE), 0], [0, 0, 1]])
OBLIQUE = np.eye(4)
OBLIQUE[:3, :3] = TURN @ (np.array([[-1, 0, 0], [0, 0, -1], [0, 1, 0]]) * [0.9, 1.0, 3.0])
OBLIQUE[:3, 3] = (12.0, -40.0, 7.5)


def predicted(folder: Path, affine: np.ndarray = OBLIQUE) -> dict[str, Any]:
    """An item whose regions are those of the stored values 1, 2 and 3."""
    stored = np.random.default_rng(0).integers(0, 4, (7, 6, 5)).astype(np.int16)
    write_volume(folder / "a.nii.gz", stored, affine)
    item = LoadVolumed("image")({"image": folder / "a.nii.gz", "case": "scan 1"})
    values = item["image"].as_tensor()[0]
    regions = torch.stack([values > 0, (values == 1) | (values == 3), values == 3])
    item["image"] = item["image"].float()
    item["pred"] = 0.1 + 0.8 * regions.float()
    return item


def save(item: dict[str, Any], folder: Path, **options: Any) -> dict[str, Any]:
    return SaveRegionsd(folder, NESTED, LABELS, **{"preview": False, **options})(item)


@pytest.mark.parametrize(
    "affine", [np.eye(4), OBLIQUE, np.diag([-1.0, 1.0, -2.0, 1.0])], ids=["RAS", "oblique", "flipped"]
)
def test_the_label_map_lies_on_the_grid_of_the_file(tmp_path: Path, affine: np.ndarray) -> None:
    save(predicted(tmp_path, affine), tmp_path / "out")
    source, result = read_volume(tmp_path / "a.nii.gz"), read_volume(tmp_path / "out" / "scan 1_seg.nii.gz")
    np.testing.assert_array_equal(result.array, source.array)
    np.testing.assert_allclose(result.affine, source.affine, atol=1e-6)
    assert result.array.dtype == np.uint8


def test_labels_have_the_numbers_that_were_chosen(tmp_path: Path) -> None:
    save(predicted(tmp_path), tmp_path / "out", label_numbering=2021)
    assert np.unique(read_volume(tmp_path / "out" / "scan 1_seg.nii.gz").array).tolist() == [0, 1, 2, 4]


def test_cleaned_regions_make_the_label_map_while_probabilities_stay_as_they_are(tmp_path: Path) -> None:
    item = CleanRegionsd("pred", NESTED, replace_below_ml={"ET": 1000.0}, output_key="regions")(
        {**(made := predicted(tmp_path)), "pred": MetaTensor(made["pred"]).copy_meta_from(made["image"])}
    )
    save(item, tmp_path / "out", save_probability=True)
    assert np.unique(read_volume(tmp_path / "out" / "scan 1_seg.nii.gz").array).tolist() == [0, 1, 2]
    assert read_volume(tmp_path / "out" / "scan 1_prob.nii.gz").array[..., 2].max() == pytest.approx(0.9)


def test_probabilities_have_an_axis_of_regions_and_steps_of_a_thousandth(tmp_path: Path) -> None:
    item = predicted(tmp_path)
    item["pred"] += 0.00042
    save(item, tmp_path / "out", save_probability=True)
    source, result = read_volume(tmp_path / "a.nii.gz"), read_volume(tmp_path / "out" / "scan 1_prob.nii.gz")
    assert result.array.shape == (7, 6, 5, 3)
    np.testing.assert_allclose(result.array[..., 2], 0.1 + 0.8 * (source.array == 3), atol=6e-4)


def test_entropy_is_one_bit_where_nothing_is_known_and_none_where_all_is() -> None:
    values = np.array([[0.5, 1.0, 0.5], [0.5, 0.0, 1.0]])[:, :, None, None]
    np.testing.assert_allclose(mean_entropy(values).ravel(), [1.0, 0.0, 0.5], atol=1e-6)
    p = np.random.default_rng(0).random((3, 4, 4, 4))
    expected = -(p * np.log2(p) + (1 - p) * np.log2(1 - p)).mean(0)
    np.testing.assert_allclose(mean_entropy(p), expected, atol=0.01)


def test_entropy_is_written_on_the_files_grid(tmp_path: Path) -> None:
    item = predicted(tmp_path)
    item["pred"][:, 0, 0, 0] = 0.5
    save(item, tmp_path / "out", save_entropy=True)
    result = read_volume(tmp_path / "out" / "scan 1_entropy.nii.gz")
    assert result.array.shape == (7, 6, 5)
    assert (result.array == 1.0).sum() == 1
    assert float(np.median(result.array)) == pytest.approx(0.469, abs=1e-3)


def test_a_picture_shows_contrasts_and_regions_and_says_so(tmp_path: Path) -> None:
    save(predicted(tmp_path), tmp_path / "out", preview=True, contrasts=["t1c"])
    with Image.open(tmp_path / "out" / "scan 1_preview.png") as picture:
        assert "scan 1: t1c, predicted" in picture.info["Description"]
        colors = {color for _, color in picture.convert("RGB").getcolors(1 << 20) or []}
    assert (230, 60, 40) in colors  # the legend's color of ET


def test_nothing_is_written_beside_a_file_that_exists(tmp_path: Path) -> None:
    item, folder = predicted(tmp_path), tmp_path / "out"
    folder.mkdir()
    (folder / "scan 1_prob.nii.gz").write_bytes(b"")
    with pytest.raises(OutputConflict, match="scan 1_prob"):
        save(item, folder, save_probability=True)
    assert [path.name for path in folder.iterdir()] == ["scan 1_prob.nii.gz"]
    save(item, folder, save_probability=True, overwrite=True)
    assert len(list(folder.iterdir())) == 2


def test_a_prediction_off_the_files_grid_is_refused(tmp_path: Path) -> None:
    item = predicted(tmp_path)
    item["pred"] = item["pred"][..., :-1]
    with pytest.raises(ValueError, match="not on the grid"):
        save(item, tmp_path / "out")


def test_a_prediction_of_nan_leaves_no_file(tmp_path: Path) -> None:
    item = predicted(tmp_path)
    item["pred"][0, 0, 0, 0] = torch.nan
    with pytest.raises(DataError, match=r"TRN003.*scan 1"):
        save(item, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_other_channels_than_regions_are_refused(tmp_path: Path) -> None:
    item = predicted(tmp_path)
    item["pred"] = item["pred"][:2]
    with pytest.raises(ConfigurationError, match="expected WT, TC, ET"):
        save(item, tmp_path / "out")
