"""Synthetic volumes are written at their place, in the training set's intensities."""

from __future__ import annotations

import errno
import itertools
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.data.meta_tensor import MetaTensor
from monai.transforms import CenterSpatialCropd
from PIL import Image

from medbundles.components.transforms import LoadVolumed, SaveSynthesisd
from medbundles.components.transforms.load_volume import as_ras_tensor
from medbundles.errors import ConfigurationError, DataError, EnvironmentFailure, OutputConflict
from medbundles.io.grids import to_world
from medbundles.io.images import Volume, read_volume, spacing_of, write_volume

ORIENTATIONS = [
    "".join(codes) for order in itertools.permutations(("LR", "PA", "IS")) for codes in itertools.product(*order)
]
MEAN, STD = 500.0, 100.0
CENTER = np.array([12.0, -30.0, 45.0])


def affine_of(codes: str, spacing: tuple[float, float, float], degrees: float, shape: tuple[int, ...]) -> np.ndarray:
    """The affine of axes towards ``codes``, turned about the body's long axis, with its middle at ``CENTER``."""
    affine = np.eye(4)
    affine[:3, :3] = 0
    for axis, code in enumerate(codes):
        world = next(index for index, pair in enumerate(("LR", "PA", "IS")) if code in pair)
        affine[world, axis] = spacing[axis] * (1 if code in "RAS" else -1)
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    affine[:3, :3] = turn @ affine[:3, :3]
    affine[:3, 3] = CENTER - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return affine


def stored(folder: Path, codes: str = "LPS", degrees: float = 0.0) -> dict[Any, Any]:
    """An item of a prepared folder; its prediction is the file's own values, inside of where they are above -1."""
    shape = (6, 5, 4)
    array = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    write_volume(folder / "a.nii.gz", array, affine_of(codes, (1.1, 1.3, 2.5), degrees, shape))
    item = LoadVolumed("image")({"image": folder / "a.nii.gz", "case": "sub 1"})
    image = item["image"]
    item["pred"] = MetaTensor(image.as_tensor().clone()).copy_meta_from(image)
    item["mask"] = MetaTensor((image.as_tensor() > -1).to(torch.uint8)).copy_meta_from(image)
    return item


def raw(bright: tuple[float, float, float] = (0, 0, 0), degrees: float = 0.0) -> dict[Any, Any]:
    """An item of a raw scan: a ball of 1 on cubic voxels of 1.5 mm, 3 in a smaller one about a place (RAS mm)."""
    shape = (40, 40, 40)
    affine = affine_of("LAS", (1.5, 1.5, 1.5), degrees, shape)
    places = to_world(affine, np.moveaxis(np.indices(shape), 0, -1)) - CENTER
    mask = np.linalg.norm(places, axis=-1) < 24
    values = np.where(mask, 1.0 + 2.0 * (np.linalg.norm(places - np.array(bright), axis=-1) < 5), -7.0)
    tensors = {
        key: as_ras_tensor(Volume(array, affine), Path("dwi.nii.gz"))
        for key, array in {"image": values, "pred": values, "mask": mask.astype(np.uint8)}.items()
    }
    dwi_shape = (26, 28, 15)
    dwi = {"dwi_affine": affine_of("PLS", (2.0, 2.5, 4.0), 25.0, dwi_shape), "dwi_shape": list(dwi_shape)}
    return {"case": "sub 1", **tensors, **dwi}


def saved(folder: Path, item: dict[Any, Any], **options: Any) -> Volume:
    SaveSynthesisd(folder / "out", MEAN, STD, **options)(item)
    return read_volume(folder / "out" / "sub 1_t1w.nii.gz")


@pytest.mark.parametrize("codes", ORIENTATIONS)
@pytest.mark.parametrize("degrees", [0.0, 20.0])
def test_a_prepared_case_returns_to_its_files_grid_in_every_orientation(
    tmp_path: Path, codes: str, degrees: float
) -> None:
    result = saved(tmp_path, stored(tmp_path, codes, degrees))
    source = read_volume(tmp_path / "a.nii.gz")
    expected = np.where(source.array > -1, source.array * STD + MEAN, 0)
    np.testing.assert_allclose(result.array, expected, rtol=1e-6)
    np.testing.assert_allclose(result.affine, source.affine, atol=1e-6)
    assert result.array.dtype == np.float32


@pytest.mark.parametrize("degrees", [0.0, 15.0])
@pytest.mark.parametrize("bright", [(-12, 0, 0), (12, 0, 0), (0, 12, 0), (0, 0, -12)], ids=["L", "R", "A", "I"])
@pytest.mark.parametrize("grid", ["dwi", "network", 2.0])
def test_a_place_of_the_head_stays_where_it_is_on_every_grid(
    tmp_path: Path, grid: str | float, bright: tuple[float, float, float], degrees: float
) -> None:
    result = saved(tmp_path, raw(bright, degrees), output_grid=grid)
    found = to_world(result.affine, np.argwhere(result.array > MEAN + 2 * STD)).mean(axis=0)
    np.testing.assert_allclose(found - CENTER, bright, atol=1.5)


def test_a_raw_case_lies_on_its_diffusion_scans_grid(tmp_path: Path) -> None:
    item = raw()
    result = saved(tmp_path, item)
    assert list(result.array.shape) == item["dwi_shape"]
    np.testing.assert_allclose(result.affine, item["dwi_affine"], atol=1e-5)


@pytest.mark.parametrize("grid", ["dwi", 3.0])
def test_what_lies_outside_of_the_mask_takes_no_part(tmp_path: Path, grid: str | float) -> None:
    item = raw()
    item["pred"] = MetaTensor(item["pred"].as_tensor().clamp(max=1.0)).copy_meta_from(item["pred"])
    values = saved(tmp_path, item, output_grid=grid).array
    np.testing.assert_allclose(values[values != 0], MEAN + STD, rtol=1e-5)
    assert 0.2 < (values != 0).mean() < 0.6


def test_a_raw_case_on_its_own_grid_is_not_interpolated(tmp_path: Path) -> None:
    item = stored(tmp_path, "PIR", 20.0)
    source = read_volume(tmp_path / "a.nii.gz")
    item |= {"dwi_affine": source.affine, "dwi_shape": torch.tensor(source.array.shape)}
    expected = np.where(source.array > -1, source.array * STD + MEAN, 0)
    np.testing.assert_allclose(saved(tmp_path, item).array, expected, rtol=1e-6)


def test_the_networks_grid_is_in_ras_order(tmp_path: Path) -> None:
    item = stored(tmp_path, "LPI")
    result = saved(tmp_path, item, output_grid="network")
    np.testing.assert_allclose(result.affine, item["pred"].affine, atol=1e-6)
    assert (np.diag(result.affine) > 0).all()


def test_cubic_voxels_have_the_edge_that_was_asked_for(tmp_path: Path) -> None:
    result = saved(tmp_path, raw(degrees=15.0), output_grid=3)
    assert spacing_of(result.affine) == pytest.approx((3.0, 3.0, 3.0))
    assert result.array.shape == (20, 20, 20)


def test_the_volume_in_z_units_is_written_on_request(tmp_path: Path) -> None:
    item = stored(tmp_path)
    saved(tmp_path, item)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["sub 1_preview.png", "sub 1_t1w.nii.gz"]
    volume = saved(tmp_path, item, save_z=True, overwrite=True)
    z_volume = read_volume(tmp_path / "out" / "sub 1_t1w_z.nii.gz")
    inside = volume.array != 0
    np.testing.assert_allclose(z_volume.array[inside] * STD + MEAN, volume.array[inside], rtol=1e-5)
    assert not z_volume.array[~inside].any()


@pytest.mark.parametrize("real", ["known", "a path that nobody read", "absent"])
def test_the_preview_has_an_error_where_the_real_volume_is_known(tmp_path: Path, real: str) -> None:
    item = stored(tmp_path)
    if real != "absent":
        item["label"] = item["pred"] + 0.25 if real == "known" else "labels/sub 1.nii.gz"
    saved(tmp_path, item, channel_name="fa")
    words = Image.open(tmp_path / "out" / "sub 1_preview.png").text["Description"]
    assert words.splitlines()[0] == ("sub 1, MAE 0.250 z units" if real == "known" else "sub 1")
    assert "input: fa" in words


def test_the_real_volume_has_no_part_in_the_intensities(tmp_path: Path) -> None:
    item = stored(tmp_path)
    first = saved(tmp_path, item).array
    item["label"] = item["pred"] * 9
    assert np.array_equal(saved(tmp_path, item, overwrite=True).array, first)


def test_the_item_passes_on_unchanged(tmp_path: Path) -> None:
    item = raw()
    before = {key: value.clone() for key, value in item.items() if isinstance(value, MetaTensor)}
    after = SaveSynthesisd(tmp_path, MEAN, STD)(item)
    assert all(torch.equal(after[key], value) for key, value in before.items())
    assert after.keys() == item.keys()


@pytest.mark.parametrize("name", ["t1w.nii.gz", "t1w_z.nii.gz", "preview.png"])
def test_an_existing_file_is_not_replaced_and_nothing_is_written_beside_it(tmp_path: Path, name: str) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / f"sub 1_{name}").write_text("mine")
    with pytest.raises(OutputConflict, match="sub 1_"):
        saved(tmp_path, stored(tmp_path), save_z=True)
    assert [path.read_text() for path in (tmp_path / "out").iterdir()] == ["mine"]


def test_overwrite_replaces_existing_files(tmp_path: Path) -> None:
    item = stored(tmp_path)
    first = saved(tmp_path, item).array
    item["pred"] = item["pred"] * 2
    assert not np.array_equal(saved(tmp_path, item, overwrite=True).array, first)


def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    item = stored(tmp_path)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(EnvironmentFailure, match=r"TRN001.*sub 1_t1w\.nii\.gz"):
        saved(tmp_path, item)
    assert not list((tmp_path / "out").iterdir())


def test_a_prediction_that_is_no_number_is_refused_with_its_case(tmp_path: Path) -> None:
    item = stored(tmp_path)
    item["pred"] = item["pred"] / 0
    with pytest.raises(DataError, match=r"TRN003.*sub 1"):
        saved(tmp_path, item)
    assert not (tmp_path / "out").exists()


def test_a_prediction_on_another_grid_is_refused(tmp_path: Path) -> None:
    item = CenterSpatialCropd(["pred", "mask", "image"], (3, 3, 3))(stored(tmp_path))
    with pytest.raises(ValueError, match="not on the grid"):
        saved(tmp_path, item)


@pytest.mark.parametrize(("mean", "std"), [(MEAN, 0.0), (MEAN, -1.0), (float("nan"), STD), (MEAN, float("inf"))])
def test_statistics_that_give_no_intensities_are_refused(tmp_path: Path, mean: float, std: float) -> None:
    with pytest.raises(ConfigurationError, match="mean must be a number and std above 0"):
        SaveSynthesisd(tmp_path, mean, std)


@pytest.mark.parametrize("grid", ["t1w", 0.0, -1.0])
def test_a_grid_that_is_none_is_refused(tmp_path: Path, grid: str | float) -> None:
    with pytest.raises(ConfigurationError, match="output_grid must be dwi, network or an edge in mm"):
        SaveSynthesisd(tmp_path, MEAN, STD, output_grid=grid)
