"""Every fault of the NIfTI table through the real command: exit code, fault code, case and file."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import numpy.typing as npt
import pytest

from medbundles.io.images import write_volume
from medbundles.io.memory import available_memory_bytes

from .conftest import AFFINE, assert_found, rewrite_list

Check = Callable[..., subprocess.CompletedProcess[str]]
Scan = npt.NDArray[np.int16]


def edit_header(path: Path, change: Callable[[nibabel.Nifti1Header], None]) -> None:
    """Change header fields in the file's bytes, where no library can put them right again."""
    raw = gzip.decompress(path.read_bytes())
    header = nibabel.Nifti1Header(raw[:348], check=False)
    change(header)
    path.write_bytes(gzip.compress(header.binaryblock + raw[348:], 1))


def test_files_that_are_not_whole_are_named_with_expected_and_found_bytes(cases: Path, check: Check) -> None:
    whole = (cases / "sound.nii.gz").read_bytes()
    bytes_expected = 352 + 40 * 36 * 12 * 2
    (cases / "cut.nii.gz").write_bytes(whole[: len(whole) * 2 // 3])
    (cases / "plain.nii").write_bytes(gzip.decompress(whole)[:5000])
    (cases / "empty.nii.gz").touch()
    (cases / "text.nii.gz").write_text("this is a letter, not a volume", encoding="utf-8")
    (cases / "table.nii").write_text("a,b,c\n" * 200, encoding="utf-8")

    result = check(cases)

    assert_found(result, "NII001", "cut", "cut.nii.gz", rf"expected {bytes_expected} bytes, found \d+")
    assert_found(result, "NII001", "plain", "plain.nii", f"expected {bytes_expected} bytes, found 5000")
    assert_found(result, "NII001", "empty", "empty.nii.gz", "found 0 bytes")
    assert_found(
        result, "NII001", "text", "text.nii.gz", "expected the first bytes 1f 8b, found 74 68 69 73", "30 bytes"
    )
    assert_found(result, "NII001", "table", "table.nii", "expected a header of 348 bytes")
    assert "case sound" not in result.stderr


def test_damage_inside_a_compressed_file_is_found_when_it_is_read(cases: Path, check: Check, scan: Scan) -> None:
    noise = np.random.default_rng(0).integers(-1000, 1000, (64, 64, 20)).astype(np.int16)
    write_volume(cases / "bad.nii.gz", noise, AFFINE)
    content = bytearray((cases / "bad.nii.gz").read_bytes())
    content[len(content) // 2] ^= 0xFF
    (cases / "bad.nii.gz").write_bytes(content)

    assert_found(check(cases), "NII001", "bad", "bad.nii.gz", "damaged inside|cut short")


def test_nan_in_tissue_refuses_and_nan_in_air_is_replaced_with_a_warning(cases: Path, check: Check, scan: Scan) -> None:
    in_air, in_lung, many = (scan.astype(np.float32) for _ in range(3))
    in_air[0, 0, 0] = in_air[1, 2, 3] = np.nan
    in_lung[12, 12, 6] = np.inf
    many[0] = np.nan
    write_volume(cases / "in air.nii.gz", in_air, AFFINE)

    assert_found(check(cases), "NII002", "in air", "in air.nii.gz", "2 NaN", "replaced", level="warning")

    write_volume(cases / "in lung.nii.gz", in_lung, AFFINE)
    write_volume(cases / "many.nii.gz", many, AFFINE)
    result = check(cases)
    assert_found(result, "NII002", "in lung", "in lung.nii.gz", "1 of them in tissue")
    assert_found(result, "NII002", "many", "many.nii.gz", r"2\.5 %")


def test_nan_refuses_training_wherever_it_lies(prepared: Path, check: Check, scan: Scan) -> None:
    array = scan.astype(np.float32)
    array[0, 0, 0] = np.nan
    write_volume(prepared / "images" / "second.nii.gz", array, AFFINE)

    assert_found(check(prepared), "NII002", "second", "second.nii.gz", "expected none in training")


def test_a_voxel_size_of_zero_refuses(cases: Path, check: Check, scan: Scan) -> None:
    write_volume(cases / "flat.nii.gz", scan, AFFINE)
    edit_header(cases / "flat.nii.gz", lambda header: header["pixdim"].__setitem__(3, 0))

    assert_found(check(cases), "NII003", "flat", "flat.nii.gz", r"0\.8 x 0\.8 x 0 mm")


@pytest.mark.parametrize(("factor", "said"), [(1000, "800 x 800 x 2000 mm"), (0.001, "0.0008 x 0.0008 x 0.002 mm")])
def test_a_voxel_size_in_another_unit_warns(cases: Path, check: Check, scan: Scan, factor: float, said: str) -> None:
    write_volume(cases / "huge.nii.gz", scan, np.diag([-0.8 * factor, -0.8 * factor, 2.0 * factor, 1.0]))

    result = check(cases)

    assert_found(result, "NII017", "huge", "huge.nii.gz", said, "expected 0.005 to 50 mm", level="warning")
    assert "case sound" not in result.stderr


def test_a_label_on_a_shifted_grid_refuses_unless_allowed(prepared: Path, check: Check) -> None:
    label = np.zeros((40, 36, 12), dtype=np.uint8)
    label[10:13, 10:13, 4:6] = 1
    shifted = AFFINE.copy()
    shifted[2, 3] = 4.0
    write_volume(prepared / "labels" / "first.nii.gz", label, shifted)

    assert_found(check(prepared), "NII004", "first", "labels/first.nii.gz", r"4\.0 mm at the far corner", "--allow")
    allowed = check(prepared, "--allow", "['NII004']")
    assert_found(allowed, "NII004", "first", "labels/first.nii.gz", r"\(allowed\)", level="warning")


def test_a_label_of_another_size_refuses_whatever_is_allowed(prepared: Path, check: Check) -> None:
    write_volume(prepared / "labels" / "first.nii.gz", np.ones((40, 36, 11), dtype=np.uint8), AFFINE)

    result = check(prepared, "--allow", "['NII004']")

    assert_found(result, "NII004", "first", "labels/first.nii.gz", "40 x 36 x 11 voxels", "40 x 36 x 12")


def test_sform_and_qform_that_disagree_refuse_until_one_is_chosen(cases: Path, check: Check, scan: Scan) -> None:
    image = nibabel.Nifti1Image(scan, np.diag([2.0, 2.0, 2.0, 1.0]))
    image.set_qform(np.diag([1.0, 1.0, 3.0, 1.0]), code=1)
    nibabel.save(image, cases / "torn.nii.gz")

    assert_found(check(cases), "NII005", "torn", "torn.nii.gz", "2 x 2 x 2 and 1 x 1 x 3 mm", "--geometry qform")
    assert check(cases, "--geometry", "sform").returncode == 0


def test_both_form_codes_zero_warn_alone_and_refuse_beside_a_label(
    cases: Path, prepared: Path, check: Check, scan: Scan
) -> None:
    def forget(header: nibabel.Nifti1Header) -> None:
        header["sform_code"] = header["qform_code"] = 0

    edit_header(cases / "sound.nii.gz", forget)
    edit_header(prepared / "images" / "first.nii.gz", forget)

    assert_found(check(cases), "NII006", "sound", "sound.nii.gz", "orientation are unknown", level="warning")
    assert_found(check(prepared), "NII006", "first", "first.nii.gz", "--allow")


def test_two_and_four_axes_refuse_and_trailing_ones_are_dropped_with_a_note(
    cases: Path, check: Check, scan: Scan
) -> None:
    nibabel.save(nibabel.Nifti1Image(scan[..., None], AFFINE), cases / "trailing.nii.gz")
    assert_found(check(cases), "NII007", "trailing", "trailing.nii.gz", "40 x 36 x 12 x 1", level="note")

    nibabel.save(nibabel.Nifti1Image(np.stack([scan] * 3, axis=-1), AFFINE), cases / "series.nii.gz")
    nibabel.save(nibabel.Nifti1Image(scan[..., 0], AFFINE), cases / "image.nii.gz")
    result = check(cases)
    assert_found(result, "NII007", "series", "series.nii.gz", "40 x 36 x 12 x 3", "expected a 3D volume")
    assert_found(result, "NII007", "image", "image.nii.gz", "40 x 36 voxels")


def test_label_values_outside_the_set_refuse_with_values_and_file(prepared: Path, check: Check) -> None:
    shape = (40, 36, 12)
    values = {"first": np.float32(0.5), "second": np.int16(-1), "third": np.uint8(7)}
    for case, value in values.items():
        label = np.zeros(shape, dtype=value.dtype)
        label[10:13, 10:13, 4:6] = value
        write_volume(prepared / "labels" / f"{case}.nii.gz", label, AFFINE)

    result = check(prepared)

    assert_found(result, "NII009", "first", "labels/first.nii.gz", r"label values 0\.5 ", "expected 0, 1")
    assert_found(result, "NII009", "second", "labels/second.nii.gz", "label values -1 ")
    assert_found(result, "NII009", "third", "labels/third.nii.gz", "label values 7 ")


def test_a_label_file_with_a_scale_factor_refuses(prepared: Path, check: Check) -> None:
    def scale(header: nibabel.Nifti1Header) -> None:
        header["scl_slope"], header["scl_inter"] = 0.5, 0

    edit_header(prepared / "labels" / "first.nii.gz", scale)

    assert_found(check(prepared), "NII009", "first", "labels/first.nii.gz", r"scl_slope 0\.5")


def test_some_empty_labels_are_counted_and_all_of_them_refuse(prepared: Path, check: Check) -> None:
    empty = np.zeros((40, 36, 12), dtype=np.uint8)
    write_volume(prepared / "labels" / "first.nii.gz", empty, AFFINE)
    some = check(prepared)
    assert some.returncode == 0
    assert "note[NII011] 1 of 3 labels are empty" in some.stdout

    for case in ("second", "third"):
        write_volume(prepared / "labels" / f"{case}.nii.gz", empty, AFFINE)
    assert_found(check(prepared), "NII011", "first", "labels/first.nii.gz", "3 of 3 labels are empty")


def test_a_constant_image_is_noticed(prepared: Path, check: Check) -> None:
    write_volume(prepared / "images" / "second.nii.gz", np.full((40, 36, 12), -1000, dtype=np.int16), AFFINE)

    assert_found(check(prepared), "NII011", "second", "second.nii.gz", "every voxel is -1000", level="warning")


def test_one_slice_a_small_and_an_odd_volume_are_noted(cases: Path, check: Check, scan: Scan) -> None:
    write_volume(cases / "slice.nii.gz", scan[..., :1], AFFINE)
    write_volume(cases / "odd.nii.gz", scan[:33, :35, :7], AFFINE)

    result = check(cases)

    assert_found(result, "NII012", "slice", "slice.nii.gz", "a single slice", level="note")
    assert_found(result, "NII012", "odd", "odd.nii.gz", "smaller than the patch of 64 x 64", level="note")


def test_a_ct_that_is_not_in_hounsfield_units_refuses_unless_allowed(cases: Path, check: Check, scan: Scan) -> None:
    eight_bits = np.clip((scan.astype(np.float32) + 1000) / 8, 0, 255).astype(np.uint8)
    write_volume(cases / "offset.nii.gz", np.maximum(scan, -1024) + np.int16(1024), AFFINE)
    write_volume(cases / "picture.nii.gz", eight_bits, AFFINE)
    write_volume(cases / "normalized.nii.gz", (scan / 1000).astype(np.float32), AFFINE)

    result = check(cases)

    assert_found(result, "NII013", "offset", "offset.nii.gz", "stored with an offset", "expected air near -1000 HU")
    assert_found(result, "NII013", "picture", "picture.nii.gz", "8 bits")
    assert_found(result, "NII013", "normalized", "normalized.nii.gz", "0 % of the voxels between -1200 and -700")
    assert check(cases, "--allow", "NII013").returncode == 0


def test_padding_below_air_is_noted_only(cases: Path, check: Check, scan: Scan) -> None:
    padded = scan.copy()
    padded[:3] = -3024
    write_volume(cases / "padded.nii.gz", padded, AFFINE)

    assert_found(check(cases), "NII013", "padded", "padded.nii.gz", "padding below -1200 HU", level="note")


def test_an_image_in_training_and_testing_refuses_by_content_and_by_subject(prepared: Path, check: Check) -> None:
    copied = nibabel.load(prepared / "images" / "first.nii.gz")
    # Another type and another compression: the content is the same all the same.
    write_volume(prepared / "images" / "third.nii.gz", copied.get_fdata().astype(np.float32), AFFINE, compression=9)
    result = check(prepared)
    assert_found(result, "NII014", "first", "third.nii.gz", "the same image is in fold 0 and in testing")

    rewrite_list(prepared, lambda records: records["third"].update(subject="subject of second"))
    result = check(prepared)
    assert_found(result, "NII014", "second", "third.nii.gz", "the same subject is in fold 1 and in testing")


@pytest.mark.skipif(sys.platform == "win32", reason="needs a file system with holes in files")
def test_a_volume_larger_than_the_memory_ends_with_4_before_it_is_read(cases: Path, check: Check) -> None:
    slices = (available_memory_bytes() or 1 << 36) // (1 << 24)  # a byte a voxel on disk, seventeen in memory
    header = nibabel.Nifti1Header()
    header.set_data_dtype(np.uint8)
    header.set_data_shape((1024, 1024, slices))
    header.set_sform(AFFINE, code=1)
    header.set_zooms((0.8, 0.8, 2.0))
    header["vox_offset"], header["magic"] = 352, b"n+1"
    with (cases / "huge.nii").open("wb") as handle:
        handle.write(header.binaryblock)
        handle.truncate(352 + (slices << 20))

    assert_found(check(cases), "NII015", "huge", "huge.nii", r"GiB of memory, \d+\.\d GiB are free")


def test_a_listed_file_that_is_absent_is_named_with_all_other_faults(prepared: Path, check: Check) -> None:
    (prepared / "images" / "first.nii.gz").unlink()
    (prepared / "labels" / "second.nii.gz").unlink()
    rewrite_list(prepared, lambda records: records["third"].update(subject="subject of second"))

    result = check(prepared)

    assert_found(result, "NII016", "first", "first.nii.gz", "does not exist")
    assert_found(result, "NII016", "second", "labels/second.nii.gz", "does not exist")
    assert_found(result, "NII014", "second", "third.nii.gz", "the same subject")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"case": "second"}, "2 cases share a name"),
        ({"case": "SECOND"}, "2 cases share a name"),
        ({"case": "../../elsewhere"}, "cannot be the beginning of a file's name"),
    ],
)
def test_case_names_that_would_write_over_each_other_or_elsewhere_refuse(
    prepared: Path, check: Check, change: dict[str, str], said: str
) -> None:
    rewrite_list(prepared, lambda records: records["first"].update(change))

    result = check(prepared)

    assert result.returncode == 3
    assert "error[NII016]" in result.stderr
    assert said in result.stderr


def test_records_with_fields_that_cannot_be_used_are_all_named(prepared: Path, check: Check) -> None:
    whole = {"image": "images/first.nii.gz"}
    records = [{"image": 3}, "first.nii.gz", whole | {"fold": "--1"}, {"image": []}, whole | {"label": 5, "case": None}]
    records += [whole | {"age": float("nan")}, whole | {"visits": [{"weight_kg": float("-inf")}]}]
    (prepared / "datalist.json").write_text(json.dumps({"training": records, "testing": {}}), encoding="utf-8")

    result = check(prepared)

    assert result.returncode == 3
    assert result.stderr.count("error[TRN011]") == 9
    for said in (
        'record 1 of "training" has no "image"',
        'record 2 of "training" has no "image"',
        "record 3 of \"training\": fold '--1' is no number",
        'record 5 of "training": label 5 is no path',
        'record 5 of "training": case None is no text',
        'record 4 of "training" has no "image"',
        'record 6 of "training": age holds NaN or an infinite number',
        'record 7 of "training": visits holds NaN or an infinite number',
        '"testing" is no list of records',
    ):
        assert said in result.stderr


def test_voxels_of_a_type_nobody_knows_refuse(cases: Path, check: Check, scan: Scan) -> None:
    write_volume(cases / "odd.nii.gz", scan, AFFINE)
    edit_header(cases / "odd.nii.gz", lambda header: header.__setitem__("datatype", 77))

    assert_found(check(cases), "NII001", "odd", "odd.nii.gz")


def test_a_volume_of_nan_alone_is_not_called_a_wrong_unit_as_well(cases: Path, check: Check, scan: Scan) -> None:
    write_volume(cases / "void.nii.gz", np.full(scan.shape, np.nan, dtype=np.float32), AFFINE)

    result = check(cases)

    assert_found(result, "NII002", "void", "void.nii.gz", "100 %")
    assert "NII013" not in result.stderr


def test_an_sform_with_nan_is_named_as_what_it_is(cases: Path, check: Check, scan: Scan) -> None:
    write_volume(cases / "lost.nii.gz", scan, AFFINE)
    edit_header(cases / "lost.nii.gz", lambda header: header["srow_x"].__setitem__(0, np.nan))

    assert_found(check(cases), "NII003", "lost", "lost.nii.gz", "affine holds NaN", "voxel size 0.8 x 0.8 x 2 mm")


def test_a_misspelt_geometry_is_a_usage_error(cases: Path, check: Check) -> None:
    result = check(cases, "--geometry", "sfrom")

    assert result.returncode == 2
    assert "sform" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_code_that_cannot_be_allowed_is_a_usage_error(cases: Path, check: Check) -> None:
    result = check(cases, "--allow", "['NII001']")

    assert result.returncode == 2
    assert "CFG001" in result.stderr
    assert "NII001 cannot be allowed" in result.stderr


def test_names_with_spaces_and_letters_of_other_languages_pass(cases: Path, check: Check, scan: Scan) -> None:
    write_volume(cases / "Übung 3 (肺).nii", scan, AFFINE)

    result = check(cases)

    assert result.returncode == 0
    assert "2 cases for inference" in result.stdout
