"""Raw scans become a network's input where they lie; what is wrong with them is said before anything runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from medbundles.checks.diffusion_cases import check_raw_scans, find_scans
from medbundles.components.transforms import LoadDiffusiond
from medbundles.errors import DataError
from medbundles.io.images import read_volume, write_volume
from medbundles.samples.head.sites import sphere

pytest.importorskip("dipy", reason="the extra dwi is not installed")

SHAPE = (12, 14, 8)
B_VALUES = np.array([0.0, *[1000.0] * 12])
CHANNELS = ["mean_b0", "fa", "md"]
# First axis to the left, slices of 6 mm tilted by 17 degrees: what scanners store.
COSINE, SINE = np.cos(0.3), np.sin(0.3)
AFFINE = np.array(
    [[-4.0, 0, 0, 20], [0, 4 * COSINE, -6 * SINE, -10], [0, 4 * SINE, 6 * COSINE, 5], [0, 0, 0, 1]], dtype=float
)


def write_scan(folder: Path, affine: np.ndarray = AFFINE, flip: bool = False) -> Path:
    """One scan with a bright corner; flipped, the same scan stored with its first axis turned."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(0)
    diffusivity = 0.7 + 0.2 * generator.random(SHAPE)
    signal = 1000 * (1 + generator.random(SHAPE))
    signal[2, 2, 2] = 9000
    volumes = (signal[..., None] * np.exp(-B_VALUES / 1000 * diffusivity[..., None])).astype(np.float32)
    directions = np.vstack([np.zeros(3), sphere(12)])
    mask = np.zeros(SHAPE, np.uint8)
    mask[2:10, 2:12, 1:7] = 1
    if flip:
        turn = np.diag([-1.0, 1, 1, 1])
        turn[0, 3] = SHAPE[0] - 1
        # FSL mirrors the first axis where the determinant is positive: the numbers of the file stay.
        volumes, mask, affine = volumes[::-1], mask[::-1], affine @ turn
    write_volume(folder / "dwi.nii.gz", np.ascontiguousarray(volumes), affine)
    write_volume(folder / "mask.nii.gz", np.ascontiguousarray(mask), affine)
    np.savetxt(folder / "dwi.bval", B_VALUES[None], fmt="%g")
    np.savetxt(folder / "dwi.bvec", directions.T, fmt="%.6f")
    return folder


def load(root: Path, **options: Any) -> dict[Any, Any]:
    (record,), _ = find_scans(root, channels=CHANNELS)
    return LoadDiffusiond(CHANNELS, **options)(record)


def test_a_raw_scan_becomes_channels_in_ras_that_remember_its_grid(tmp_path: Path) -> None:
    item = load(write_scan(tmp_path / "anna"))
    assert item["image"].shape == (3, *SHAPE)
    assert item["mask"].shape == (1, *SHAPE)
    assert float(item["image"].affine[0, 0]) > 0
    np.testing.assert_allclose(item["dwi_affine"], AFFINE, atol=1e-5)
    assert item["dwi_shape"] == list(SHAPE)


def test_a_bright_place_stays_where_it_is_in_the_world(tmp_path: Path) -> None:
    image = load(write_scan(tmp_path / "anna"))["image"]
    brightest = np.unravel_index(int(image[0].argmax()), SHAPE)
    np.testing.assert_allclose((image.affine @ np.array([*brightest, 1.0]))[:3], (AFFINE @ [2, 2, 2, 1])[:3], atol=1e-4)


def test_how_a_scan_is_stored_does_not_matter(tmp_path: Path) -> None:
    one, other = (load(write_scan(tmp_path / str(flip) / "anna", flip=flip))["image"] for flip in (False, True))
    np.testing.assert_allclose(one.affine, other.affine, atol=1e-4)
    np.testing.assert_allclose(one, other, atol=1e-3)


def test_the_networks_grid_has_cubic_voxels(tmp_path: Path) -> None:
    item = load(write_scan(tmp_path / "anna"), grid=3.0)
    edges = np.linalg.norm(item["image"].affine[:3, :3].numpy(), axis=0)
    np.testing.assert_allclose(edges, 3.0, atol=1e-5)
    assert item["image"].shape[1:] == item["mask"].shape[1:]


def test_a_prepared_case_is_read_as_it_is(tmp_path: Path) -> None:
    values = np.zeros((6, 6, 6), np.float32)
    values[2:4, 2:4, 2:4] = 1.5
    for name in CHANNELS:
        write_volume(tmp_path / f"images/anna_{name}.nii.gz", values, np.eye(4))
    record = {"image": [f"images/anna_{name}.nii.gz" for name in CHANNELS], "case": "anna", "subject": "anna"}
    (tmp_path / "datalist.json").write_text(json.dumps({"channels": CHANNELS, "training": [], "testing": [record]}))
    item = load(tmp_path)
    assert item["image"].shape == (3, 6, 6, 6)
    assert int(item["mask"].sum()) == 8
    assert "dwi_affine" not in item


def test_a_few_missing_numbers_around_a_prepared_case_are_no_brain(tmp_path: Path) -> None:
    values = np.zeros((12, 12, 12), np.float32)
    values[5:7, 5:7, 5:7] = 1.5
    values[0, 0, 0] = np.nan
    write_volume(tmp_path / "anna_fa.nii.gz", values, np.eye(4))
    item = LoadDiffusiond(["fa"])({"image": str(tmp_path / "anna_fa.nii.gz"), "case": "anna"})
    assert (int(item["mask"].sum()), bool(np.isfinite(item["image"]).all())) == (8, True)


def test_everything_wrong_with_a_folder_of_scans_is_said_at_once(tmp_path: Path) -> None:
    (write_scan(tmp_path / "anna") / "dwi.bvec").unlink()
    (write_scan(tmp_path / "ben") / "dwi.bval").write_text("0 1000 1000")
    with pytest.raises(DataError) as refused:
        find_scans(tmp_path, channels=CHANNELS)
    assert {(found.case, found.code) for found in refused.value.findings} == {("anna", "DWI001"), ("ben", "DWI002")}


def test_the_good_scans_are_kept_when_bad_ones_may_be_left_out(tmp_path: Path) -> None:
    (write_scan(tmp_path / "anna") / "dwi.bvec").unlink()
    write_scan(tmp_path / "ben")
    good, findings = find_scans(tmp_path, channels=CHANNELS, skip_bad_cases=True)
    assert [record["case"] for record in good] == ["ben"]
    assert any(found.case == "anna" and found.level == "error" for found in findings)


def test_a_mask_on_another_grid_is_refused(tmp_path: Path) -> None:
    folder = write_scan(tmp_path / "anna")
    write_volume(folder / "mask.nii.gz", np.ones((5, 5, 5), np.uint8), AFFINE, overwrite=True)
    with pytest.raises(DataError, match="DWI012"):
        find_scans(tmp_path, channels=CHANNELS)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda volumes: volumes.astype(np.complex64), "NII007.*type complex64.*export the magnitude"),
        (lambda volumes: volumes[:, :, :, None], "NII007.*12 x 14 x 8 x 1 x 13 voxels, expected a 4D image"),
        (lambda volumes: volumes[..., 0], "DWI002.*13 b-values, 13 directions and 1 volume;"),
    ],
)
def test_images_that_are_no_series_of_volumes_are_refused_before_work(tmp_path: Path, change: Any, said: str) -> None:
    folder = write_scan(tmp_path / "anna")
    write_volume(folder / "dwi.nii.gz", change(read_volume(folder / "dwi.nii.gz").array), AFFINE)
    with pytest.raises(DataError, match=said) as refusal:
        find_scans(tmp_path, channels=CHANNELS)
    assert len(refusal.value.findings) == 1


def test_a_scan_without_a_position_is_warned_about_and_refused_beside_a_t1w(tmp_path: Path) -> None:
    path = write_scan(tmp_path / "anna") / "dwi.nii.gz"
    nibabel.Nifti1Image(read_volume(path).array, None).to_filename(path)
    (path.parent / "mask.nii.gz").unlink()
    findings = check_raw_scans(tmp_path)[1]
    assert [(found.code, found.level, found.case) for found in findings] == [("NII006", "warning", "anna")]
    assert find_scans(tmp_path, channels=CHANNELS)[1] == findings
    write_volume(path.with_name("t1w.nii.gz"), np.ones(SHAPE, np.float32), AFFINE)
    (refused,) = check_raw_scans(tmp_path)[1]
    assert (refused.code, refused.level, refused.allowable) == ("NII006", "error", True)


def test_an_empty_mask_is_refused_with_the_case(tmp_path: Path) -> None:
    folder = write_scan(tmp_path / "anna")
    write_volume(folder / "mask.nii.gz", np.zeros(SHAPE, np.uint8), AFFINE, overwrite=True)
    with pytest.raises(DataError, match=r"DWI012.*anna"):
        load(tmp_path)


def test_a_soft_mask_counts_above_one_half(tmp_path: Path) -> None:
    folder = write_scan(tmp_path / "anna")
    mask = read_volume(folder / "mask.nii.gz").array
    write_volume(folder / "mask.nii.gz", np.where(mask, 1.0, 0.001).astype(np.float32), AFFINE)
    assert int(load(tmp_path)["mask"].sum()) == int(mask.sum())


def test_a_scan_most_of_which_is_dark_is_refused_unless_allowed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = write_scan(tmp_path / "anna")
    volumes = np.array(read_volume(folder / "dwi.nii.gz").array)
    volumes[:7] = 0
    write_volume(folder / "dwi.nii.gz", volumes, AFFINE)
    with pytest.raises(DataError, match=r"DWI008.*case anna, dwi.nii.gz: .*--allow"):
        load(tmp_path)
    assert load(tmp_path, allow=["DWI008"])["mask"].any()
    assert "(allowed)" in caplog.text


def test_a_folder_without_scans_says_what_is_expected(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"TRN011.*dwi.nii.gz"):
        find_scans(tmp_path, channels=CHANNELS)


def with_nan(folder: Path, place: tuple[slice, ...], outside: float) -> Path:
    """The scan with broken voxels in one volume; around its mask there is as much signal as given."""
    image = read_volume(write_scan(folder) / "dwi.nii.gz")
    voxels = np.array(image.array)
    inside = read_volume(folder / "mask.nii.gz").array > 0
    voxels[~inside] = outside
    voxels[(*place, 3)] = np.nan
    write_volume(folder / "dwi.nii.gz", voxels, image.affine)
    return folder


def test_numbers_that_are_missing_inside_the_head_are_refused_with_the_case(tmp_path: Path) -> None:
    with pytest.raises(DataError) as refusal:
        load(with_nan(tmp_path / "anna", (slice(5, 6),) * 3, 5.0))
    finding = refusal.value.findings[0]
    assert (finding.code, finding.case, finding.file) == ("NII002", "anna", "dwi.nii.gz")


def test_a_few_missing_numbers_in_the_air_change_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    broken = load(with_nan(tmp_path / "a" / "anna", (slice(0, 1),) * 3, 5.0))
    assert "NII002" in caplog.text
    whole = load(with_nan(tmp_path / "b" / "anna", (slice(0, 0),) * 3, 5.0))
    np.testing.assert_array_equal(broken["image"], whole["image"])
