"""Volumes come in as RAS tensors of their own type, whatever the file's orientation."""

from __future__ import annotations

import itertools
import logging
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.data import DataLoader, Dataset
from monai.transforms import Compose, EnsureChannelFirstd, LoadImaged, Orientationd

from medbundles.components.transforms import LoadVolumed
from medbundles.components.transforms.orientation import Orientation
from medbundles.errors import DataError
from medbundles.io.images import to_world, write_volume

ORIENTATIONS = [
    "".join(codes) for order in itertools.permutations(("LR", "PA", "IS")) for codes in itertools.product(*order)
]


def affine_of(codes: str, spacing: tuple[float, float, float] = (0.7, 0.8, 2.5)) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = 0
    for axis, code in enumerate(codes):
        world = next(index for index, pair in enumerate(("LR", "PA", "IS")) if code in pair)
        affine[world, axis] = spacing[axis] * (1 if code in "RAS" else -1)
    affine[:3, 3] = (-12.5, 40.0, -300.25)
    return affine


def rotation(angles: tuple[float, float, float]) -> np.ndarray:
    matrix = np.eye(3)
    for axis, angle in enumerate(angles):
        turn = np.eye(3)
        first, second = [other for other in range(3) if other != axis]
        turn[[first, first, second, second], [first, second, first, second]] = (
            np.cos(angle),
            -np.sin(angle),
            np.sin(angle),
            np.cos(angle),
        )
        matrix = matrix @ turn
    return matrix


def write(path: Path, affine: np.ndarray, dtype: str = "int16") -> np.ndarray:
    array = np.random.default_rng(0).integers(0, 100, (5, 4, 3)).astype(dtype)
    write_volume(path, array, affine)
    return array


@pytest.mark.parametrize("codes", ORIENTATIONS)
def test_every_orientation_becomes_ras_with_each_voxel_at_its_place(tmp_path: Path, codes: str) -> None:
    affine = affine_of(codes)
    stored = write(tmp_path / "a.nii.gz", affine)
    image = LoadVolumed("image")({"image": tmp_path / "a.nii.gz"})["image"]
    ras = image.affine.numpy()
    assert "".join(nibabel.aff2axcodes(ras)) == "RAS"
    values = {tuple(np.round(to_world(affine, index), 3)): stored[index] for index in np.ndindex(stored.shape)}
    for index in np.ndindex(*image.shape[1:]):
        assert values[tuple(np.round(to_world(ras, index), 3))] == image[0][index]


@settings(max_examples=50, deadline=None)
@given(angles=st.tuples(*[st.floats(-3.1, 3.1)] * 3), shape=st.tuples(*[st.integers(1, 5)] * 3))
def test_oblique_grids_are_turned_and_turned_back_exactly(
    angles: tuple[float, float, float], shape: tuple[int, int, int]
) -> None:
    affine = np.eye(4)
    affine[:3, :3] = rotation(angles) * (0.7, 0.8, 2.5)
    array = np.arange(np.prod(shape)).reshape(shape)
    orientation = Orientation.of(affine)
    turned = orientation.to_ras(array)
    assert np.array_equal(orientation.to_stored(turned), array)
    ras = orientation.ras_affine(affine, shape)
    first = np.argwhere(turned == 0)[0]
    np.testing.assert_allclose(to_world(ras, first), to_world(affine, (0, 0, 0)), atol=1e-6)
    last = np.argwhere(turned == array.size - 1)[0]
    np.testing.assert_allclose(to_world(ras, last), to_world(affine, np.array(shape) - 1), atol=1e-6)


@pytest.mark.parametrize("codes", ["LPS", "RAS", "PIR"])
def test_agrees_with_monais_own_chain(tmp_path: Path, codes: str) -> None:
    write(tmp_path / "a.nii.gz", affine_of(codes))
    chain = Compose([LoadImaged("image"), EnsureChannelFirstd("image"), Orientationd("image", "RAS")])
    expected = chain({"image": tmp_path / "a.nii.gz"})["image"]
    image = LoadVolumed("image")({"image": tmp_path / "a.nii.gz"})["image"]
    assert np.array_equal(np.asarray(image), np.asarray(expected))
    np.testing.assert_allclose(image.affine, expected.affine, atol=1e-5)


@pytest.mark.parametrize(
    ("stored", "loaded"),
    [
        ("int16", torch.int16),
        ("uint8", torch.uint8),
        ("uint16", torch.int32),
        (">i2", torch.int16),
        ("float32", torch.float32),
    ],
)
def test_the_stored_type_is_kept_where_pytorch_computes_with_it(
    tmp_path: Path, stored: str, loaded: torch.dtype
) -> None:
    write(tmp_path / "a.nii", affine_of("RAS"), stored)
    assert LoadVolumed("image")({"image": tmp_path / "a.nii"})["image"].dtype == loaded


def test_a_wanted_type_is_converted_to(tmp_path: Path) -> None:
    write(tmp_path / "a.nii", affine_of("RAS"))
    assert LoadVolumed("image", dtype="float32")({"image": tmp_path / "a.nii"})["image"].dtype == torch.float32


def test_the_files_grid_is_remembered_through_a_loader(tmp_path: Path) -> None:
    affine = affine_of("LPS")
    write(tmp_path / "ä b.nii.gz", affine)
    data = [{"image": str(tmp_path / "ä b.nii.gz"), "case": "ä b"}]
    batch = next(iter(DataLoader(Dataset(data, LoadVolumed("image")), batch_size=1)))
    assert batch["image"].shape == (1, 1, 5, 4, 3)
    np.testing.assert_allclose(batch["image"].meta["original_affine"][0], affine, atol=1e-5)


def test_scaled_integers_become_their_values(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(np.arange(8, dtype=np.int16).reshape(2, 2, 2), affine_of("RAS"))
    image.header.set_slope_inter(2.0, -1024.0)
    nibabel.save(image, tmp_path / "a.nii.gz")
    loaded = LoadVolumed("image")({"image": tmp_path / "a.nii.gz"})["image"]
    assert loaded.flatten().tolist() == [2.0 * value - 1024.0 for value in range(8)]


def test_few_broken_voxels_outside_tissue_are_repaired_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    array = np.full((20, 20, 20), -1000.0, np.float32)
    array[0, 0, 0] = np.nan
    write_volume(tmp_path / "a.nii.gz", array, affine_of("RAS"))
    with caplog.at_level(logging.WARNING):
        image = LoadVolumed("image", repair=True, modality="CT")({"image": tmp_path / "a.nii.gz"})["image"]
    assert torch.isfinite(image).all()
    assert image.meta["repaired_voxels"] == 1
    assert "warning[NII002] a.nii.gz: 1 NaN" in caplog.text


def test_broken_voxels_in_tissue_are_refused_with_the_case(tmp_path: Path) -> None:
    array = np.zeros((20, 20, 20), np.float32)
    array[10, 10, 10] = np.inf
    write_volume(tmp_path / "a.nii.gz", array, affine_of("RAS"))
    with pytest.raises(DataError, match=r"NII002\] case scan-1, a.nii.gz"):
        LoadVolumed("image", repair=True, modality="CT")({"image": tmp_path / "a.nii.gz", "case": "scan-1"})


def test_four_axes_are_refused(tmp_path: Path) -> None:
    write_volume(tmp_path / "a.nii.gz", np.zeros((4, 4, 4, 2), np.int16), affine_of("RAS"))
    with pytest.raises(DataError, match="NII007"):
        LoadVolumed("image")({"image": tmp_path / "a.nii.gz"})


def test_a_truncated_file_is_refused_with_case_and_file(tmp_path: Path) -> None:
    write(tmp_path / "a.nii", affine_of("RAS"))
    (tmp_path / "a.nii").write_bytes((tmp_path / "a.nii").read_bytes()[:-10])
    with pytest.raises(DataError, match=r"NII001\] case scan-1, a.nii"):
        LoadVolumed("image")({"image": tmp_path / "a.nii", "case": "scan-1"})


def test_forms_that_disagree_are_refused_until_one_is_chosen(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(np.zeros((8, 8, 8), np.int16), None)
    image.set_sform(np.diag([2.0, 2.0, 2.0, 1.0]), code=1)
    image.set_qform(np.diag([1.0, 1.0, 3.0, 1.0]), code=1)
    nibabel.save(image, tmp_path / "a.nii.gz")
    with pytest.raises(DataError, match="NII005"):
        LoadVolumed("image")({"image": tmp_path / "a.nii.gz"})
    loaded = LoadVolumed("image", geometry="qform")({"image": tmp_path / "a.nii.gz"})["image"]
    np.testing.assert_allclose(np.diag(loaded.affine), [1, 1, 3, 1])


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 1, 12), (1, 6, 4)])
def test_axes_of_a_single_voxel_are_turned_like_any_other(tmp_path: Path, shape: tuple[int, int, int]) -> None:
    array = np.arange(np.prod(shape), dtype=np.int16).reshape(shape)
    write_volume(tmp_path / "thin.nii.gz", array, affine_of("LPI"))
    image = LoadVolumed("image")({"image": str(tmp_path / "thin.nii.gz")})["image"]
    np.testing.assert_array_equal(np.asarray(image[0]), array[::-1, ::-1, ::-1])
