from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest

from medbundles.errors import DataError
from medbundles.io.cases import find_cases, look_for_cases
from medbundles.io.lidc import is_lidc

Layout = Callable[..., Path]


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """Make empty files; finding cases looks at names only."""

    def make(*names: str) -> Path:
        for name in names:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()
        return tmp_path

    return make


def test_every_volume_beside_others_is_a_case_whatever_its_format(layout: Layout) -> None:
    root = layout("b.nii.gz", "a.nii", "c d.mhd", "c d.raw", "ä.nrrd", "notes.txt", "._a.nii", ".b.nii.gz")

    found = find_cases(root, ["ct"])

    assert [record["case"] for record in found] == ["a", "b", "c d", "ä"]
    assert found[2]["image"] == str(root / "c d.mhd")


def test_a_folder_is_a_case_of_the_files_that_end_in_the_channels_names(layout: Layout) -> None:
    root = layout("P1/P1_t1c.nii.gz", "P1/P1-T2W.nii.gz", "P1/P1_seg.nii.gz", "P2/t2w.nii", "P2/t1c.nii")

    found = find_cases(root, ["t1c", "t2w"])

    assert [record["case"] for record in found] == ["P1", "P2"]
    assert [Path(path).name for path in found[0]["image"]] == ["P1_t1c.nii.gz", "P1-T2W.nii.gz"]
    assert [Path(path).name for path in found[1]["image"]] == ["t1c.nii", "t2w.nii"]


def test_with_one_channel_a_folder_s_only_file_needs_no_special_name(layout: Layout) -> None:
    found = find_cases(layout("P1/scan.nii.gz", "P2/ct.nii.gz", "P2/mask.nii.gz"), ["CT"])

    assert [Path(record["image"]).name for record in found] == ["scan.nii.gz", "ct.nii.gz"]


def test_a_folder_whose_file_is_named_after_the_channel_is_itself_the_case(layout: Layout) -> None:
    root = layout("P7/ct.nii.gz", "P7/nodule_mask.nii.gz") / "P7"

    assert find_cases(root, ["ct"]) == [{"case": "P7", "image": str(root / "ct.nii.gz")}]


def test_one_file_is_one_case(layout: Layout) -> None:
    path = layout("scan.nii.gz", "other.nii.gz") / "scan.nii.gz"

    assert find_cases(path, ["ct"]) == [{"case": "scan", "image": str(path)}]


@pytest.mark.parametrize(("testing", "expected"), [(["c"], ["c"]), ([], ["a", "b"])])
def test_a_prepared_folder_gives_its_testing_records_or_all_when_there_are_none(
    tmp_path: Path, testing: list[str], expected: list[str]
) -> None:
    def listed(case: str, fold: int) -> dict[str, object]:
        return {"image": f"images/{case}.nii.gz", "label": f"labels/{case}.nii.gz", "case": case, "fold": fold}

    content = {"training": [listed("a", 0), listed("b", 3)], "testing": [listed(case, 0) for case in testing]}
    (tmp_path / "datalist.json").write_text(json.dumps(content), encoding="utf-8")

    found = find_cases(tmp_path, ["ct"])

    assert [record["case"] for record in found] == expected
    assert found[0]["image"] == str(tmp_path / "images" / f"{expected[0]}.nii.gz")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["P1/P1_t1c.nii.gz", "P1/P1_flair.nii.gz"], "no file for channel t2w: P1_flair.nii.gz, P1_t1c.nii.gz"),
        (["P1/a_t1c.nii", "P1/b_t1c.nii", "P1/t2w.nii"], "several files for channel t1c: a_t1c.nii, b_t1c.nii"),
    ],
)
def test_a_missing_or_ambiguous_contrast_is_refused_with_the_expected_order(
    layout: Layout, names: list[str], message: str
) -> None:
    with pytest.raises(DataError, match=rf"NII008\] case P1: {message}; expected .* t1c, t2w, in this order"):
        find_cases(layout(*names), ["t1c", "t2w"])


@pytest.mark.parametrize(
    "names",
    [
        ("a.nii.gz", "a.mhd"),
        ("a.nii.gz", "a/ct.nii.gz"),
        ("Case.nii.gz", "case.nii"),
        (unicodedata.normalize("NFC", "ä.nii"), unicodedata.normalize("NFD", "ä.mhd")),
    ],
)
def test_inputs_whose_outputs_would_have_one_name_are_refused(layout: Layout, names: tuple[str, ...]) -> None:
    with pytest.raises(DataError, match=r"NII016.*2 cases share a name"):
        find_cases(layout(*names), ["ct"])


def test_a_case_name_that_would_leave_the_output_folder_is_refused(tmp_path: Path) -> None:
    content = {"testing": [{"image": "a.nii.gz", "case": "../../a"}]}
    (tmp_path / "datalist.json").write_text(json.dumps(content), encoding="utf-8")

    with pytest.raises(DataError, match="NII016"):
        find_cases(tmp_path, ["ct"])


def test_all_bad_folders_are_named_at_once(layout: Layout) -> None:
    with pytest.raises(DataError) as caught:
        find_cases(layout("P1/a.nii", "P1/b.nii", "P2/c.nii", "P2/d.nii", "P3/e.nii"), ["ct"])

    assert {finding.case for finding in caught.value.findings} == {"P1", "P2"}


@pytest.mark.parametrize("names", [(), ("scan.dcm",), ("empty/readme.txt",)])
def test_a_folder_without_volumes_says_what_is_expected(layout: Layout, names: tuple[str, ...]) -> None:
    with pytest.raises(DataError, match=r"TRN011.*expected CASE\.nii\.gz"):
        find_cases(layout(*names), ["ct"])


def test_a_path_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="TRN011"):
        find_cases(tmp_path / "nothing", ["ct"])


@pytest.mark.parametrize(("file", "case"), [("anna.mhd", "anna"), ("a.b.nii.gz", "a.b"), ("c.nrrd", "c")])
def test_a_record_without_a_case_is_named_after_its_file(tmp_path: Path, file: str, case: str) -> None:
    (tmp_path / "datalist.json").write_text(json.dumps({"testing": [{"image": f"images/{file}"}]}))
    assert [record["case"] for record in find_cases(tmp_path, ["ct"])] == [case]


def test_a_data_set_without_its_list_is_no_pair_of_cases(layout: Layout) -> None:
    root = layout("images/a.nii", "images/b.nii", "labels/a.nii", "labels/b.nii")

    with pytest.raises(DataError, match=r"no datalist\.json .* images/ and labels/"):
        find_cases(root, ["ct"])


def test_cases_named_like_lidc_s_that_are_nifti_are_cases(layout: Layout) -> None:
    root = layout("LIDC-IDRI-0001/ct.nii.gz", "LIDC-IDRI-0003/ct.nii.gz")

    assert not is_lidc(root)
    assert [record["case"] for record in find_cases(root, ["ct"])] == ["LIDC-IDRI-0001", "LIDC-IDRI-0003"]


def test_lidc_as_downloaded_is_recognized(layout: Layout) -> None:
    assert is_lidc(layout("manifest/LIDC-IDRI-0001/1.2.3/4.5.6/000001.dcm"))


def test_a_name_that_leaves_no_room_for_what_outputs_append_is_refused(tmp_path: Path) -> None:
    (tmp_path / ("a" * 240 + ".nii.gz")).touch()
    with pytest.raises(DataError, match=r"NII016.*240 bytes"):
        find_cases(tmp_path, ["ct"])


def test_cases_that_cannot_be_taken_are_told_beside_those_that_can(tmp_path: Path) -> None:
    for name in ("anna/ct.nii.gz", "ben/a.nii.gz", "ben/b.nii.gz"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found, findings = look_for_cases(tmp_path, ["ct"])
    assert [case["case"] for case in found] == ["anna"]
    assert [(finding.code, finding.case) for finding in findings] == [("NII008", "ben")]
