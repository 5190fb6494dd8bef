"""Reading headers and voxels: every format tells the same geometry, and what is written comes back."""

from __future__ import annotations

from pathlib import Path

import itk
import nibabel
import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from medbundles.errors import DataError
from medbundles.io.grids import LPS_TO_RAS, Affine, corner_displacement_voxels, spacing_of
from medbundles.io.headers import choose_affine, read_header
from medbundles.io.images import read_volume, write_volume

from .grids import affines

ONE_FOLDER = settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
ARRAY = np.arange(7 * 6 * 5, dtype=np.int16).reshape(7, 6, 5) - 1000
# Half of what the checks call the same grid; single precision numbers in a header cost less than a thousandth of it.
CLOSE = 0.005


def write_itk(path: Path, affine: Affine, compression: bool = False) -> None:
    """Write ``ARRAY`` on a grid through ITK, which knows LPS only."""
    lps = LPS_TO_RAS @ affine
    image = itk.image_from_array(np.ascontiguousarray(ARRAY.transpose(2, 1, 0)))
    spacing = np.array(spacing_of(affine))
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    image.SetDirection(itk.matrix_from_array(np.ascontiguousarray(lps[:3, :3] / spacing)))
    itk.imwrite(image, str(path), compression=compression)


@ONE_FOLDER
@given(affine=affines(), suffix=st.sampled_from([".nii", ".nii.gz"]))
def test_what_is_written_comes_back_on_its_grid_and_in_its_type(tmp_path: Path, affine: Affine, suffix: str) -> None:
    path = tmp_path / f"volume{suffix}"
    write_volume(path, ARRAY, affine)

    volume = read_volume(path)

    assert corner_displacement_voxels(affine, volume.affine, (512, 512, 512)) < CLOSE
    assert volume.array.dtype == np.int16
    assert np.array_equal(volume.array, ARRAY)


@ONE_FOLDER
@given(affine=affines(sheared=True))
def test_a_sheared_grid_is_written_without_a_qform_that_would_contradict_it(tmp_path: Path, affine: Affine) -> None:
    write_volume(tmp_path / "sheared.nii", ARRAY, affine)

    assert read_header(tmp_path / "sheared.nii").qform_code == 0
    assert corner_displacement_voxels(affine, read_volume(tmp_path / "sheared.nii").affine, (512, 512, 512)) < CLOSE


@ONE_FOLDER
@given(tilt=st.floats(-0.5, 0.5), turn=st.floats(-2e-3, 2e-3))
@example(tilt=0.3, turn=1e-3)
def test_a_qform_near_a_half_turn_may_be_as_coarse_as_its_quaternion(tmp_path: Path, tilt: float, turn: float) -> None:
    about_x = [[1, 0, 0], [0, np.cos(tilt), -np.sin(tilt)], [0, np.sin(tilt), np.cos(tilt)]]
    about_z = [[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]]
    affine = np.eye(4)
    affine[:3, :3] = about_x @ np.array(about_z) @ np.diag([-0.7, -0.7, 1.0])
    header = nibabel.Nifti1Header()
    header.set_data_dtype(np.uint8)
    header.set_data_shape((512, 512, 300))
    header.set_sform(affine, code=1)
    header.set_qform(affine, code=1)
    header["vox_offset"], header["magic"] = 352, b"n+1"
    with (tmp_path / "tilted.nii").open("wb") as handle:
        handle.write(header.binaryblock)
        handle.truncate(352 + 512 * 512 * 300)

    chosen = choose_affine(read_header(tmp_path / "tilted.nii"))

    assert corner_displacement_voxels(affine, chosen, (512, 512, 300)) < CLOSE


@settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(affine=affines(), name=st.sampled_from(["a.mhd", "a.mha", "a.nrrd"]), compression=st.booleans())
def test_every_format_gives_the_world_coordinates_of_nifti(
    tmp_path: Path, affine: Affine, name: str, compression: bool
) -> None:
    write_itk(tmp_path / name, affine, compression)
    write_volume(tmp_path / "a.nii", ARRAY, affine)
    nifti, other = read_volume(tmp_path / "a.nii"), read_volume(tmp_path / name)

    assert corner_displacement_voxels(nifti.affine, other.affine, (512, 512, 512)) < CLOSE
    assert np.array_equal(nifti.array, other.array)
    assert other.array.dtype == np.int16


def test_an_nrrd_in_ras_space_is_not_flipped(tmp_path: Path) -> None:
    header = "\n".join(
        [
            "NRRD0004",
            "type: short",
            "dimension: 3",
            "space: right-anterior-superior",
            "sizes: 7 6 5",
            "space directions: (0.5,0,0) (0,0.6,0) (0,0,2)",
            "endian: little",
            "encoding: raw",
            "space origin: (10,20,30)",
        ]
    )
    (tmp_path / "ras.nrrd").write_bytes(f"{header}\n\n".encode() + ARRAY.tobytes(order="F"))

    volume = read_volume(tmp_path / "ras.nrrd")

    assert volume.affine[:3, 3].tolist() == [10, 20, 30]
    assert np.diag(volume.affine)[:3].tolist() == [0.5, 0.6, 2]
    assert np.array_equal(volume.array, ARRAY)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_scaled_integers_are_read_as_what_they_mean(tmp_path: Path, suffix: str) -> None:
    image = nibabel.Nifti1Image(ARRAY, np.eye(4))
    image.header.set_slope_inter(0.5, -24)
    path = tmp_path / f"scaled{suffix}"
    nibabel.save(image, path)

    header, volume = read_header(path), read_volume(path)

    assert header.scaled
    assert np.array_equal(volume.array, ARRAY * np.float32(0.5) - 24)
    assert volume.array.dtype == np.float32


def test_big_endian_and_nifti2_files_are_read(tmp_path: Path) -> None:
    nibabel.save(
        nibabel.Nifti1Image(ARRAY.astype(">i2"), np.eye(4), nibabel.Nifti1Header(endianness=">")), tmp_path / "big.nii"
    )
    nibabel.save(nibabel.Nifti2Image(ARRAY, np.eye(4)), tmp_path / "two.nii.gz")

    assert all(np.array_equal(read_volume(tmp_path / name).array, ARRAY) for name in ("big.nii", "two.nii.gz"))


def test_trailing_axes_of_one_are_dropped_but_a_single_slice_stays(tmp_path: Path) -> None:
    nibabel.save(nibabel.Nifti1Image(ARRAY[:, :, :1, None], np.eye(4)), tmp_path / "slice.nii")

    assert read_volume(tmp_path / "slice.nii").array.shape == (7, 6, 1)


def test_the_same_voxels_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.nii.gz", "b.nii.gz"):
        write_volume(tmp_path / name, ARRAY, np.eye(4))

    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()


@pytest.mark.parametrize(
    ("name", "remove", "text"),
    [
        ("a.mha", 1, "cut short: expected 420 bytes, found 419"),
        ("a.nrrd", 1, "cut short: expected 420 bytes, found 419"),
        ("a.raw", 20, "its raw file a.raw is too short: expected 420 bytes, found 400"),
        ("a.raw", 420, "its raw file a.raw is too short: expected 420 bytes, found 0"),
    ],
)
def test_a_file_that_lacks_bytes_is_refused_from_its_header(tmp_path: Path, name: str, remove: int, text: str) -> None:
    header = "a.mhd" if name == "a.raw" else name
    write_itk(tmp_path / header, np.eye(4))
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: len(content) - remove])

    with pytest.raises(DataError, match=text) as caught:
        read_header(tmp_path / header)
    assert caught.value.findings[0].code == ("LUN001" if name == "a.raw" else "NII001")


def test_a_missing_raw_file_is_named(tmp_path: Path) -> None:
    write_itk(tmp_path / "a.mhd", np.eye(4))
    (tmp_path / "a.raw").unlink()

    with pytest.raises(DataError, match=r"LUN001.*a\.mhd: its raw file a\.raw is missing: expected 420 bytes"):
        read_volume(tmp_path / "a.mhd")


@pytest.mark.parametrize("name", ["a.mha", "a.nrrd"])
def test_compressed_voxels_that_stop_early_are_refused(tmp_path: Path, name: str) -> None:
    write_itk(tmp_path / name, np.eye(4), compression=True)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[:-60])

    with pytest.raises(DataError, match="NII001"):
        read_volume(tmp_path / name)


@pytest.mark.parametrize("name", ["a.mhd", "a.mha", "a.nrrd", "a.nii", "a.nii.gz"])
def test_text_under_an_image_name_is_refused_with_the_file_s_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("Dear colleague, here is the scan.\n" * 20, encoding="utf-8")

    with pytest.raises(DataError, match=rf"NII001.*{name}") as caught:
        read_header(tmp_path / name)
    assert str(tmp_path) not in str(caught.value)


def test_another_file_type_says_what_is_expected(tmp_path: Path) -> None:
    (tmp_path / "scan.dcm").write_bytes(b"\0" * 200)

    with pytest.raises(DataError, match=r"expected \.nii\.gz"):
        read_header(tmp_path / "scan.dcm")
