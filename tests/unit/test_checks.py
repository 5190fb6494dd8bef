"""What the fault tests cannot see from outside: decisions, repairs, caching, cases that are skipped."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from medbundles.checks import voxels
from medbundles.checks.cases import check_cases
from medbundles.checks.dataset import check_dataset, check_records
from medbundles.checks.nifti import check_axes, check_memory, check_same_grid
from medbundles.checks.nonfinite import repair_nonfinite
from medbundles.checks.verdict import refuse
from medbundles.errors import ConfigurationError, DataError, EnvironmentFailure, Finding
from medbundles.io.datalist import Record, records, write_datalist
from medbundles.io.headers import ImageHeader
from medbundles.io.images import write_volume

AFFINE = np.diag([1.0, 1.0, 2.0, 1.0])
GRID_ERROR = Finding("NII004", "error", "moved", allowable=True)
BROKEN_ERROR = Finding("NII001", "error", "cut short")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MEDBUNDLES_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def two_cases(tmp_path: Path) -> list[Record]:
    scan = np.linspace(-1000, 200, 4000).reshape(20, 20, 10).astype(np.int16)
    write_volume(tmp_path / "good.nii.gz", scan, AFFINE)
    write_volume(tmp_path / "bad.nii.gz", scan + np.int16(1000), AFFINE)
    return [{"case": case, "image": str(tmp_path / f"{case}.nii.gz")} for case in ("good", "bad")]


def header(shape: tuple[int, ...] = (10, 10, 10), dtype: str = "i2") -> ImageHeader:
    return ImageHeader("scan.nii", shape, np.dtype(dtype), (1.0, 1.0, 2.0), AFFINE)


def test_warnings_and_notes_pass_and_warnings_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    findings = [Finding("NII012", "note", "small"), Finding("NII006", "warning", "no orientation")]

    assert refuse(findings) == findings
    assert capsys.readouterr().err == "warning[NII006] no orientation\n"


def test_strict_refuses_warnings() -> None:
    with pytest.raises(DataError):
        refuse([Finding("NII006", "warning", "no orientation")], strict=True)


def test_all_errors_are_raised_at_once_before_the_warnings() -> None:
    findings = [Finding("NII006", "warning", "w"), BROKEN_ERROR, GRID_ERROR]

    with pytest.raises(DataError) as caught:
        refuse(findings)
    assert [finding.code for finding in caught.value.findings] == ["NII001", "NII004", "NII006"]


def test_what_is_allowed_becomes_a_warning_and_the_rest_still_refuses() -> None:
    assert refuse([GRID_ERROR], allow=["NII004"])[0].level == "warning"
    with pytest.raises(DataError, match="NII001"):
        refuse([GRID_ERROR, BROKEN_ERROR], allow=["NII004"])


def test_an_error_that_its_check_does_not_leave_to_the_user_stays_one() -> None:
    with pytest.raises(DataError):
        refuse([Finding("NII004", "error", "another size")], allow=["NII004"])


def test_codes_that_nobody_can_allow_are_a_mistake_of_the_configuration() -> None:
    with pytest.raises(ConfigurationError, match="NII001, NII999 cannot be allowed"):
        refuse([], allow=["NII999", "NII001", "NII004"])


def test_only_a_lack_of_memory_is_the_machine_s_fault() -> None:
    memory = Finding("NII015", "error", "too large")

    with pytest.raises(EnvironmentFailure):
        refuse([memory])
    with pytest.raises(DataError):
        refuse([memory, BROKEN_ERROR])


def test_memory_is_compared_with_what_inference_needs() -> None:
    assert check_memory(header(), available=18_000) == []
    assert check_memory(header(), available=17_999)[0].code == "NII015"


@pytest.mark.parametrize(
    ("shape", "channels", "accepted"),
    [
        ((9, 9, 9), 1, True),
        ((9, 9, 9, 4), 4, True),
        ((9, 9, 9, 4), 1, False),
        ((9, 9, 9), 4, False),
        ((9, 9), 1, False),
    ],
)
def test_four_axes_are_right_only_where_they_are_the_channels(
    shape: tuple[int, ...], channels: int, accepted: bool
) -> None:
    assert (check_axes(header(shape), channels) == []) is accepted


def test_colors_are_no_volume() -> None:
    assert check_axes(header(dtype="u1,u1,u1"))[0].level == "error"


def test_grids_are_the_same_below_a_tenth_of_a_voxel() -> None:
    near, far = AFFINE.copy(), AFFINE.copy()
    near[0, 3], far[0, 3] = 0.09, 0.11

    def moved(affine: np.ndarray) -> ImageHeader:
        return ImageHeader("other.nii", (10, 10, 10), np.dtype("i2"), (1.0, 1.0, 2.0), affine)

    assert check_same_grid(header(), moved(near)) == []
    assert check_same_grid(header(), moved(far))[0].allowable


@pytest.mark.parametrize("order", [[0, 1, 2], [1, 0, 2]])
def test_axes_that_run_another_way_are_never_allowed(order: list[int]) -> None:
    turned = AFFINE[:, [*order, 3]].copy()
    turned[:3, 0] *= -1
    other = ImageHeader("other.nii", (10, 10, 10), np.dtype("i2"), (1.0, 1.0, 2.0), turned)
    (finding,) = check_same_grid(header(), other)
    assert (finding.code, finding.allowable) == ("NII004", False)
    assert "axes run" in finding.message


def test_broken_voxels_in_air_become_air() -> None:
    scan = np.full((30, 30, 30), -1000.0, dtype=np.float32)
    scan[10:20, 10:20, 10:20] = 40
    scan[0, 0, 0], scan[2, 3, 4] = np.nan, -np.inf

    repaired, count = repair_nonfinite(scan, "CT")

    assert count == 2
    assert repaired[0, 0, 0] == repaired[2, 3, 4] == -1000
    assert np.isnan(scan[0, 0, 0])


def test_a_sound_array_is_returned_as_it_is() -> None:
    scan = np.zeros((4, 4, 4), dtype=np.int16)

    assert repair_nonfinite(scan)[0] is scan


def test_broken_voxels_in_dark_background_of_other_modalities_become_its_value() -> None:
    image = np.zeros((30, 30, 30), dtype=np.float32)
    image[10:20, 10:20, 10:20] = 500
    image[1, 1, 1] = np.nan

    assert repair_nonfinite(image)[0][1, 1, 1] == 0


@pytest.mark.parametrize("value", [-850.0, 40.0])
def test_broken_voxels_in_lung_and_tissue_are_refused(value: float) -> None:
    scan = np.full((20, 20, 20), value, dtype=np.float32)
    scan[5, 5, 5] = np.nan

    with pytest.raises(DataError, match=r"NII002\] case P1, ct\.nii: 1 NaN"):
        repair_nonfinite(scan, "CT", "P1", "ct.nii")


def test_many_broken_voxels_are_refused_even_in_air() -> None:
    scan = np.full((20, 20, 20), -1000.0, dtype=np.float32)
    scan[0, 0, :9] = np.nan

    with pytest.raises(DataError, match="NII002"):
        repair_nonfinite(scan, "CT")


def test_bad_cases_refuse_all_or_are_left_out(two_cases: list[Record]) -> None:
    with pytest.raises(DataError, match="case bad"):
        check_cases(two_cases, channels=["ct"], modality="CT")

    good, findings = check_cases(two_cases, channels=["ct"], modality="CT", skip_bad_cases=True)
    assert [case["case"] for case in good] == ["good"]
    assert [(finding.code, finding.level) for finding in findings] == [("NII013", "error")]


def test_a_scan_whose_offset_was_applied_twice_is_refused(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    shifted = generator.choice([-2024, -984], (12, 12, 12)).astype(np.int16)
    write_volume(tmp_path / "shifted.nii.gz", shifted, np.eye(4))
    case = {"case": "shifted", "image": str(tmp_path / "shifted.nii.gz")}
    with pytest.raises(DataError, match=r"NII013.*applied twice"):
        check_cases([case], channels=["ct"], modality="CT")


def test_nothing_is_left_to_do_when_all_cases_are_bad(two_cases: list[Record]) -> None:
    with pytest.raises(DataError):
        check_cases(two_cases[1:], channels=["ct"], modality="CT", skip_bad_cases=True)


def test_an_allowed_case_is_good(two_cases: list[Record]) -> None:
    good, findings = check_cases(two_cases, channels=["ct"], modality="CT", allow=["NII013"])

    assert len(good) == 2
    assert findings[-1].level == "warning"


def test_a_second_look_reads_no_voxel(two_cases: list[Record], monkeypatch: pytest.MonkeyPatch) -> None:
    first = voxels.facts_of(two_cases[0]["image"], "CT")
    monkeypatch.setattr(voxels, "read_volume", lambda *_, **__: pytest.fail("the voxels were read again"))

    assert voxels.facts_of(two_cases[0]["image"], "CT") == first


def test_a_changed_file_is_measured_again(two_cases: list[Record]) -> None:
    path = Path(two_cases[0]["image"])
    before = voxels.facts_of(path)
    write_volume(path, np.ones((20, 20, 10), dtype=np.int16), AFFINE)
    os.utime(path, ns=(1, 1))

    assert voxels.facts_of(path) != before


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: json.dumps(json.loads(text) | {"values": "abc", "air_share": None}),
        lambda text: json.dumps(json.loads(text) | {"nonfinite": 7}),
    ],
    ids=["cut short", "of other types", "of another value"],
)
def test_a_damaged_cache_is_measured_again(
    two_cases: list[Record], own_cache: Path, damage: Callable[[str], str]
) -> None:
    before = voxels.facts_of(two_cases[0]["image"])
    for kept in own_cache.rglob("*.json"):
        kept.write_text(damage(kept.read_text(encoding="utf-8")), encoding="utf-8")

    assert voxels.facts_of(two_cases[0]["image"]) == before


def test_the_cache_holds_no_name_of_a_patient(two_cases: list[Record], own_cache: Path) -> None:
    voxels.facts_of(two_cases[0]["image"])

    kept = list(own_cache.rglob("*.json"))
    assert kept
    assert not any("good" in path.name or "good" in path.read_text(encoding="utf-8") for path in kept)


def test_an_unwritable_cache_costs_time_only(two_cases: list[Record], own_cache: Path) -> None:
    own_cache.parent.joinpath("cache").write_text("a file where the folder should be", encoding="utf-8")

    assert voxels.facts_of(two_cases[0]["image"]).voxels == 4000


def test_the_content_s_hash_ignores_type_and_order_in_memory() -> None:
    array = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
    others = [array.astype(np.float64), np.asfortranarray(array), array.astype(">i4")]

    assert {voxels.measure(other).content_sha256 for other in others} == {voxels.measure(array).content_sha256}
    assert voxels.measure(array[::-1]).content_sha256 != voxels.measure(array).content_sha256


def test_many_notes_of_one_kind_are_said_once(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    cases = []
    for number in range(5):
        write_volume(tmp_path / f"{number}.nii", rng.integers(-1000, 0, (8, 8, 8)).astype(np.int16), AFFINE)
        write_volume(tmp_path / f"{number}_label.nii", np.ones((8, 8, 8), dtype=np.uint8), AFFINE)
        paths = {"image": str(tmp_path / f"{number}.nii"), "label": str(tmp_path / f"{number}_label.nii")}
        cases.append({"case": str(number), **paths})

    findings = check_records(cases, label_values=(0, 1), channels=["ct"], modality="CT", patch_size=(64, 64))

    assert [str(finding) for finding in findings] == [
        "note[NII012] in 5 cases, for example 0: 8 x 8 x 8 voxels: smaller than the patch of 64 x 64, padded"
    ]


def test_a_record_without_a_label_is_refused_for_training(two_cases: list[Record]) -> None:
    findings = check_records(two_cases[:1], label_values=(0, 1), channels=["ct"])

    assert (findings[0].code, findings[0].case) == ("NII016", "good")


def test_findings_are_plain_data_for_records(two_cases: list[Record]) -> None:
    _, findings = check_cases(two_cases, channels=["ct"], modality="CT", skip_bad_cases=True)

    assert json.loads(json.dumps([finding.as_dict() for finding in findings]))[0]["file"] == "bad.nii.gz"


@pytest.fixture
def list_of_one(tmp_path: Path) -> Path:
    """A data list whose only case has an image and a label of the same name in two folders."""
    scan = np.linspace(-1000, 200, 4000).reshape(20, 20, 10).astype(np.int16)
    write_volume(tmp_path / "images" / "anna.nii.gz", scan, AFFINE)
    write_volume(tmp_path / "labels" / "anna.nii.gz", (scan > 0).astype(np.uint8), np.diag([2.0, 2.0, 2.0, 1.0]))
    write_datalist(tmp_path, [{"image": "images/anna.nii.gz", "label": "labels/anna.nii.gz"}], [])
    return tmp_path


def test_image_and_label_of_one_name_are_told_apart(list_of_one: Path) -> None:
    findings = check_dataset(list_of_one, label_values=(0, 1), channels=["ct"])

    (moved,) = [finding for finding in findings if finding.code == "NII004"]
    assert moved.file == "labels/anna.nii.gz"
    assert "differs from images/anna.nii.gz" in moved.message


def test_a_list_of_one_fold_is_said_before_training_refuses_it(list_of_one: Path) -> None:
    findings = check_dataset(list_of_one, label_values=(0, 1), channels=["ct"])

    assert any("at least two folds" in finding.message for finding in findings if finding.code == "TRN011")


def test_training_on_one_fold_says_to_give_folds(list_of_one: Path) -> None:
    with pytest.raises(DataError, match="at least two different values"):
        records(list_of_one, "training", fold=0)


@pytest.mark.parametrize("name", ["test", "validation", "trainig"])
def test_records_under_an_unknown_name_are_refused(list_of_one: Path, name: str) -> None:
    path = list_of_one / "datalist.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {name: [{"image": "images/anna.nii.gz"}]}))

    with pytest.raises(DataError, match=f'records under "{name}"'):
        check_dataset(list_of_one, label_values=(0, 1), channels=["ct"])


def test_a_declared_value_that_no_label_has_is_warned_of(tmp_path: Path) -> None:
    write_volume(tmp_path / "a.nii", np.arange(512, dtype=np.int16).reshape(8, 8, 8), AFFINE)
    write_volume(tmp_path / "label.nii", np.eye(8, dtype=np.uint8)[..., None].repeat(8, 2), AFFINE)
    case = {"case": "a", "image": str(tmp_path / "a.nii"), "label": str(tmp_path / "label.nii")}
    findings = check_records([case], label_values=(0, 1, 7), channels=["ct"])
    assert [each.message for each in findings if each.code == "NII009"] == ["no label of 1 has the value 7"]
