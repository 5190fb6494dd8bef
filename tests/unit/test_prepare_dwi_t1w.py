"""From raw diffusion MRI and T1w to a folder that a T1w synthesis learns from."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import numpy.typing as npt
import pytest
from dwi_layout import (
    DWI_AFFINE,
    DWI_SHAPE,
    T1W_AFFINE,
    T1W_SHAPE,
    TinyHead,
    write_bids,
    write_case,
    write_dwi,
    write_nifti,
)

from medbundles.components import registration
from medbundles.errors import ConfigurationError, DataError
from medbundles.io.datalist import read_datalist
from medbundles.io.diffusion_channels import DEFAULT
from medbundles.prepare import _dwi_case, _t1w_alignment
from medbundles.prepare.dwi_t1w import prepare

pytest.importorskip("dipy", reason="the extra dwi is not installed")

Array = npt.NDArray[Any]
Record = dict[str, Any]
# How movements are searched for; most tests are not about it, and their tiny heads need less.
SEARCH = {name: getattr(registration, name) for name in ("PIPELINES", "LEVELS", "WORKING_MM", "FINE_LEVELS", "FINE_MM")}
SHORT_SEARCH = {"PIPELINES": (["rigid"],), "LEVELS": ([5], [0.0], [1]), "WORKING_MM": 8.0, "FINE_MM": 8.0}


@pytest.fixture(autouse=True, scope="module")
def short_search() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in SHORT_SEARCH.items():
            patch.setattr(registration, name, value)
        yield


@pytest.fixture
def full_search(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SEARCH.items():
        monkeypatch.setattr(registration, name, value)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bids(tmp_path_factory.mktemp("bids"), people=3)


@pytest.fixture(scope="module")
def prepared(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("prepared") / "out"
    prepare(source, output, folds=2, workers=1)
    return output


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one case."""
    folder = tmp_path_factory.mktemp("one")
    write_case(folder, "anna", TinyHead(1))
    return folder


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two cases."""
    folder = tmp_path_factory.mktemp("two")
    for number, name in enumerate(("anna", "bert")):
        write_case(folder, name, TinyHead(number))
    return folder


def records_of(output: Path) -> dict[str, Record]:
    lists = read_datalist(output)
    return {record["case"]: record for record in lists["training"] + lists["testing"]}


def content(output: Path, name: str = "fingerprint.json") -> dict[str, Any]:
    read: dict[str, Any] = json.loads((output / name).read_text())
    return read


def load(path: Path) -> Array:
    return np.asarray(nibabel.load(path).dataobj)


def canonical(path: Path) -> tuple[Array, Array]:
    image = nibabel.as_closest_canonical(nibabel.load(path))
    return np.asarray(image.dataobj), image.affine


def bytes_of(output: Path) -> dict[Path, bytes]:
    files = [path for path in output.rglob("*") if path.is_file() and ".prepare" not in path.parts]
    return {path.relative_to(output): path.read_bytes() for path in files}


def test_channels_are_files_in_the_order_of_the_data_list(prepared: Path) -> None:
    assert content(prepared, "datalist.json")["channels"] == list(DEFAULT)
    for case, record in records_of(prepared).items():
        assert record["image"] == [f"images/{case}_{name}.nii.gz" for name in DEFAULT]
        assert all((prepared / path).is_file() for path in (*record["image"], record["label"], record["mask"]))


def test_signals_and_target_are_normalized_inside_the_mask_diffusivities_keep_their_unit(prepared: Path) -> None:
    record = records_of(prepared)["sub-1_ses-a"]
    mask = load(prepared / record["mask"])
    images = {name: load(prepared / path) for name, path in zip(DEFAULT, record["image"], strict=True)}
    assert (mask.dtype, images["l1"].dtype) == (np.uint8, np.float32)
    for volume in (images["mean_b0"], images["dwi3"], load(prepared / record["label"])):
        assert volume[mask == 1].mean() == pytest.approx(0, abs=1e-5)
        assert volume[mask == 1].std() == pytest.approx(1, abs=1e-5)
    assert np.percentile(images["l3"][mask == 1], [5, 50, 99.5]) == pytest.approx([0.3, 0.8, 3.0], abs=0.3)
    assert not any(volume[mask == 0].any() for volume in images.values())


def test_the_target_shows_what_the_t1w_shows(prepared: Path) -> None:
    label = load(prepared / "labels" / "sub-1_ses-a.nii.gz")
    mask = load(prepared / "masks" / "sub-1_ses-a.nii.gz") == 1
    expected = TinyHead(10).t1w(DWI_AFFINE, DWI_SHAPE)
    assert np.corrcoef(label[mask], expected[mask])[0, 1] > 0.85


def test_both_scans_of_a_person_are_in_one_part(prepared: Path) -> None:
    first, second = (records_of(prepared)[f"sub-0_ses-{session}"] for session in "ab")
    assert first["subject"] == second["subject"] == "sub-0"
    assert first.get("fold", "test") == second.get("fold", "test")


def test_the_fingerprint_knows_the_t1w_of_the_training_cases_alone(prepared: Path) -> None:
    fingerprint = content(prepared)
    training = [record["case"] for record in read_datalist(prepared)["training"]]
    own = [fingerprint["cases"][case]["t1w"]["mean"] for case in training]
    assert fingerprint["t1w"]["cases"] == len(training) < len(fingerprint["cases"])
    assert fingerprint["t1w"]["mean"] == pytest.approx(np.mean(own))
    assert 500 < fingerprint["t1w"]["mean"] < 900


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)], ids=["flipped", "exchanged"])
def test_how_a_scan_is_stored_does_not_matter(one: Path, tmp_path: Path, order: tuple[int, int, int]) -> None:
    head = TinyHead(1)
    voxels, affine = head.dwi()[0].transpose(*order, 3)[::-1], DWI_AFFINE[:, [*order, 3]].copy()
    affine[:3, 3] += affine[:3, 0] * (voxels.shape[0] - 1)
    affine[:3, 0] *= -1
    _, directions = head.dwi(affine, voxels.shape[:3])
    write_dwi(tmp_path / "in" / "anna" / "dwi.nii.gz", voxels, affine, directions)
    write_nifti(tmp_path / "in" / "anna" / "t1w.nii.gz", head.t1w(), T1W_AFFINE)
    names = ("mean_b0", "fa", "v1_xy", "dwi1")
    prepare(one, tmp_path / "first", channels=names, workers=1)
    prepare(tmp_path / "in", tmp_path / "second", channels=names, workers=1)
    for path in (*records_of(tmp_path / "first")["anna"]["image"], "labels/anna.nii.gz"):
        (first, grid), (second, same_grid) = (canonical(tmp_path / part / path) for part in ("first", "second"))
        assert np.allclose(grid, same_grid)
        # The fit rounds in another order; the fibers of a few round tensors are anybody's guess.
        assert np.mean(np.abs(first - second) > 1e-3) < 0.001


def test_cubic_voxels_cover_the_same_place(one: Path, tmp_path: Path) -> None:
    prepare(one, tmp_path / "out", channels="mean_b0", grid=4.5, workers=1)
    image = nibabel.load(tmp_path / "out" / "images" / "anna_mean_b0.nii.gz")
    assert nibabel.affines.voxel_sizes(image.affine) == pytest.approx(4.5)
    assert np.asarray(image.shape) * 4.5 == pytest.approx(np.array(DWI_SHAPE) * 6, abs=4.5)


def test_on_its_own_grid_the_t1w_is_not_interpolated(one: Path, tmp_path: Path) -> None:
    prepare(one, tmp_path / "out", channels=["mean_b0", "md"], grid="t1w", workers=1)
    label, mask = (load(tmp_path / "out" / kind / "anna.nii.gz") for kind in ("labels", "masks"))
    assert label.shape == load(tmp_path / "out" / "images" / "anna_md.nii.gz").shape == T1W_SHAPE
    own = TinyHead(1).t1w()[mask == 1]
    assert label[mask == 1] == pytest.approx((own - own.mean()) / own.std(), abs=1e-4)


def test_a_given_mask_is_taken(tmp_path: Path) -> None:
    folder = write_case(tmp_path / "in", "anna", TinyHead(1))
    brain = np.zeros(DWI_SHAPE, np.uint8)
    brain[8:15, 8:17, 6:12] = 1
    write_nifti(folder / "mask.nii.gz", brain, DWI_AFFINE)
    prepare(tmp_path / "in", tmp_path / "out", channels="fa", allow=["DWI010"], workers=1)
    assert np.array_equal(load(tmp_path / "out" / "masks" / "anna.nii.gz"), brain)


@pytest.mark.slow
@pytest.mark.usefixtures("full_search")
def test_bytes_do_not_depend_on_the_number_of_workers(two: Path, tmp_path: Path) -> None:
    for workers in (1, 2):
        prepare(two, tmp_path / str(workers), channels="fa, mean_b0", register=True, workers=workers)
    assert bytes_of(tmp_path / "1") == bytes_of(tmp_path / "2")


@pytest.mark.skipif(sys.platform == "win32", reason="signals as POSIX has them")
def test_a_killed_preparation_continues_where_it_was(two: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    command = [sys.executable, "-m", "medbundles", "prepare", "dwi_t1w", "--channels", "fa", "--workers", "1"]
    process = subprocess.Popen([*command, "--source", str(two), "--output", str(output)])
    deadline = time.monotonic() + 120
    while not (output / ".prepare" / "anna.json").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (output / "datalist.json").exists()
    assert prepare(two, output, channels="fa", workers=1).reused == 1
    assert list(records_of(output)) == ["anna", "bert"]


def test_other_channels_are_made_again_and_the_old_ones_leave(one: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    prepare(one, output, channels="fa", workers=1)
    assert prepare(one, output, channels="fa", workers=1, overwrite=True).reused == 1
    assert prepare(one, output, channels="md", workers=1, overwrite=True).reused == 0
    assert [path.name for path in (output / "images").iterdir()] == ["anna_md.nii.gz"]


def test_a_displaced_t1w_is_refused_and_mended_by_registration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registration, "PIPELINES", (["translation", "rigid"],))
    monkeypatch.setattr(registration, "LEVELS", ([50, 20], [1.0, 0.0], [1, 1]))
    write_case(tmp_path / "moved", "anna", TinyHead(1, shift_mm=(8.0, -8.0, 6.0)))
    with pytest.raises(DataError, match=r"DWI010.*anna, t1w.nii.gz: the T1w lies 1[234]\.. mm off.*--register true"):
        prepare(tmp_path / "moved", tmp_path / "out", channels="fa", workers=1)
    assert not (tmp_path / "out" / "datalist.json").exists()
    prepare(tmp_path / "moved", tmp_path / "out", channels="fa", register=True, workers=1)
    mended = load(tmp_path / "out" / "labels" / "anna.nii.gz")
    mask = load(tmp_path / "out" / "masks" / "anna.nii.gz") == 1
    assert np.corrcoef(mended[mask], TinyHead(1).t1w(DWI_AFFINE, DWI_SHAPE)[mask])[0, 1] > 0.85
    alignment = content(tmp_path / "out")["cases"]["anna"]["alignment"]
    assert alignment["overlap_after"] > alignment["overlap_before"]
    assert alignment["information_after"] > alignment["information_before"]


def test_a_t1w_that_the_first_search_leaves_is_refined_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    still = registration.Alignment(np.eye(4), 0.0, 1.0, 1.1, 1.1)
    monkeypatch.setattr(_t1w_alignment, "align_rigidly", lambda *_: still)
    write_case(tmp_path / "moved", "anna", TinyHead(1, shift_mm=(2.0, -1.0, 1.0)))
    prepare(tmp_path / "moved", tmp_path / "out", channels="fa", register=True, workers=1)
    alignment = content(tmp_path / "out")["cases"]["anna"]["alignment"]
    assert alignment["registered"]
    assert alignment["information_after"] > alignment["information_before"]


def test_a_registration_can_be_looked_at(one: Path, tmp_path: Path) -> None:
    prepare(one, tmp_path / "out", channels="fa", register=True, workers=1)
    assert (tmp_path / "out" / "previews" / "anna_registration.png").read_bytes().startswith(b"\x89PNG")


def test_training_counts_only_where_the_t1w_was_seen(tmp_path: Path) -> None:
    folder = write_case(tmp_path / "in", "anna", TinyHead(1))
    origin = T1W_AFFINE.copy()
    origin[:3, 3] += origin[:3, :3] @ [0, 0, 14]
    write_nifti(folder / "t1w.nii.gz", TinyHead(1).t1w()[..., 14:], origin)
    with pytest.raises(DataError, match=r"DWI010.*shows \d\d % of the brain"):
        prepare(tmp_path / "in", tmp_path / "out", channels="mean_b0", workers=1)
    prepare(tmp_path / "in", tmp_path / "out", channels="mean_b0", allow="DWI010", workers=1)
    mask, image = (load(tmp_path / "out" / name) for name in ("masks/anna.nii.gz", "images/anna_mean_b0.nii.gz"))
    heights = DWI_AFFINE[2, 3] + 6 * np.arange(DWI_SHAPE[2])
    assert not mask[..., heights < origin[2, 3]].any()
    assert image[..., heights < origin[2, 3]].any()


def test_missing_gradients_are_told_of_all_cases_before_anything_is_written(tmp_path: Path) -> None:
    for name in ("anna", "bert"):
        folder = write_case(tmp_path / "in", name, TinyHead())
        (folder / "dwi.bval").unlink()
    with pytest.raises(DataError) as refusal:
        prepare(tmp_path / "in", tmp_path / "out")
    assert {(finding.code, finding.case, finding.file) for finding in refusal.value.findings} == {
        ("DWI001", "anna", "dwi.bval"),
        ("DWI001", "bert", "dwi.bval"),
    }
    assert not (tmp_path / "out").exists()


def test_a_case_without_a_t1w_is_refused_or_left_out(tmp_path: Path) -> None:
    write_case(tmp_path / "in", "anna", TinyHead())
    (write_case(tmp_path / "in", "bert", TinyHead(1)) / "t1w.nii.gz").unlink()
    with pytest.raises(DataError, match=r"NII008.*case bert, dwi.nii.gz: no T1w"):
        prepare(tmp_path / "in", tmp_path / "out")
    report = prepare(tmp_path / "in", tmp_path / "out", channels="fa", skip_bad_cases=True, workers=1)
    assert report.skipped == ("bert",)
    assert list(records_of(tmp_path / "out")) == ["anna"]


def test_a_mask_on_another_grid_is_refused_from_its_header(tmp_path: Path) -> None:
    folder = write_case(tmp_path / "in", "anna", TinyHead())
    moved = DWI_AFFINE.copy()
    moved[0, 3] += 3
    write_nifti(folder / "mask.nii.gz", np.ones(DWI_SHAPE, np.uint8), moved)
    with pytest.raises(DataError, match=r"DWI012.*mask.nii.gz"):
        prepare(tmp_path / "in", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("file", ["dwi", "t1w"])
def test_voxels_that_are_no_numbers_are_refused(tmp_path: Path, file: str) -> None:
    folder = write_case(tmp_path / "in", "anna", TinyHead())
    image = nibabel.load(folder / f"{file}.nii.gz")
    voxels = np.asarray(image.dataobj).astype(np.float32)
    voxels[10, 10, 10] = np.nan
    write_nifti(folder / f"{file}.nii.gz", voxels, image.affine)
    with pytest.raises(DataError, match=rf"NII002.*case anna, {file}.nii.gz: "):
        prepare(tmp_path / "in", tmp_path / "out", workers=1)


def test_a_t1w_without_contrast_is_refused(tmp_path: Path) -> None:
    folder = write_case(tmp_path / "in", "anna", TinyHead())
    write_nifti(folder / "t1w.nii.gz", np.full(T1W_SHAPE, 7, np.int16), T1W_AFFINE)
    with pytest.raises(DataError, match="NII011"):
        prepare(tmp_path / "in", tmp_path / "out", workers=1)


def test_options_that_cannot_be_meant_are_refused_all_at_once(one: Path, tmp_path: Path) -> None:
    wrong: dict[str, Any] = {"grid": "mni", "register": "yes", "shell": -1, "folds": 0}
    with pytest.raises(ConfigurationError) as refusal:
        prepare(one, tmp_path / "out", **wrong)
    named = [finding.message.split()[0] for finding in refusal.value.findings]
    assert named == ["grid", "register", "shell", "folds"]


@pytest.mark.parametrize(("grid", "fixes"), [("t1w", ["prepare with --grid 5.8"]), ("dwi", [])])
def test_slabs_are_no_grid_for_a_network_that_is_applied_to_cubes(tmp_path: Path, grid: str, fixes: list[str]) -> None:
    folder = write_case(tmp_path / "in", "anna", TinyHead(1))
    affine, shape = T1W_AFFINE @ np.diag([1, 1, 3, 1]), (*T1W_SHAPE[:2], T1W_SHAPE[2] // 3)
    write_nifti(folder / "t1w.nii.gz", TinyHead(1).t1w(affine, shape), affine)
    report = prepare(tmp_path / "in", tmp_path / "out", channels="fa", grid=grid, workers=1)
    warned = [finding for finding in report.findings if finding.code == "DWI013"]
    assert [finding.fix for finding in warned] == fixes
    assert all("4 x 4 x 12 mm" in finding.message for finding in warned)


def test_an_unknown_channel_is_refused_with_the_nearest(one: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="did you mean mean_dwi"):
        prepare(one, tmp_path / "out", channels="fa, mean_dvi")


def test_the_command_answers_in_json_alone(one: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "medbundles", "prepare", "dwi_t1w", "--source", str(one), "--json"]
    command += ["--output", str(tmp_path / "out"), "--channels", "fa,md", "--grid", "6"]
    answer = subprocess.run(command, check=True, capture_output=True, text=True)
    report = json.loads(answer.stdout)
    assert report["options"]["channels"] == ["fa", "md"]
    assert report["options"]["grid"] == 6


def test_a_change_of_the_code_makes_cases_again(one: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare(one, tmp_path / "out", channels="fa", workers=1)
    monkeypatch.setattr(_dwi_case, "code_hash", lambda *modules: "newer")
    assert prepare(one, tmp_path / "out", channels="fa", workers=1, overwrite=True).reused == 0


def test_of_two_places_in_a_header_the_chosen_one_counts(tmp_path: Path) -> None:
    case = write_case(tmp_path / "in", "anna", TinyHead())
    path = case / "dwi.nii.gz"
    image = nibabel.nifti1.load(path)
    moved = DWI_AFFINE.copy()
    moved[:3, 3] += 30
    image.set_qform(moved, code=1)
    image.to_filename(path)
    with pytest.raises(DataError, match="sform and qform"):
        prepare(tmp_path / "in", tmp_path / "out", workers=1)
    prepare(tmp_path / "in", tmp_path / "out", workers=1, geometry="sform")
    made = nibabel.nifti1.load(tmp_path / "out" / "labels" / "anna.nii.gz")
    np.testing.assert_allclose(made.affine, DWI_AFFINE, atol=1e-4)
