"""Cases of brain tumor data sets are found by their names; no image is opened, so empty files will do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from brats_layout import write_decathlon

from medbundles.errors import ConfigurationError, DataError, Finding
from medbundles.io.brats import find_contrasts, is_tumor_source
from medbundles.io.contrasts import ContrastSource, canonical
from medbundles.io.name_pattern import NamePattern

OLD = ("t1", "t1ce", "t2", "flair", "seg")
NEW = ("t1n", "t1c", "t2w", "t2f", "seg")


def touch(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()
    return folder


def old_case(folder: Path, ending: str = ".nii.gz", kinds: tuple[str, ...] = OLD) -> Path:
    return touch(folder, *(f"{folder.name}_{kind}{ending}" for kind in kinds))


def new_case(folder: Path, kinds: tuple[str, ...] = NEW) -> Path:
    return touch(folder, *(f"{folder.name}-{kind}.nii.gz" for kind in kinds))


def found(root: Path) -> ContrastSource:
    source, findings = find_contrasts(root)
    assert not findings
    return source


def refusals(root: Path) -> list[Finding]:
    return [finding for finding in find_contrasts(root)[1] if finding.level == "error"]


def test_names_until_2021_are_found_in_nested_folders_compressed_or_not(tmp_path: Path) -> None:
    old_case(tmp_path / "HGG" / "Brats18_CBICA_AAB_1")
    old_case(tmp_path / "LGG" / "Brats18_TCIA09_141_1", ".nii")
    source = found(tmp_path)
    assert source.layout == "BraTS 2015-2021"
    assert [case.name for case in source.cases] == ["Brats18_CBICA_AAB_1", "Brats18_TCIA09_141_1"]
    assert [path.name.split(".")[0].rsplit("_", 1)[1] for path in source.cases[1].present] == [*OLD[:4]]


def test_time_points_of_a_patient_share_a_subject(tmp_path: Path) -> None:
    for name in ("BraTS-GLI-00002-000", "BraTS-GLI-00002-001", "BraTS-GLI-00003-000"):
        new_case(tmp_path / name)
    assert [case.subject for case in found(tmp_path).cases] == 2 * ["BraTS-GLI-00002"] + ["BraTS-GLI-00003"]


@pytest.mark.parametrize(
    ("name", "subject"),
    [
        ("Brats17_2013_10_1", "Brats17_2013_10"),
        ("BraTS20_Training_001", "BraTS20_Training_001"),
        ("sub-001", "sub-001"),
        ("UPENN-101", "UPENN-101"),
    ],
)
def test_only_what_is_a_time_point_is_left_out_of_a_subject(tmp_path: Path, name: str, subject: str) -> None:
    old_case(tmp_path / name)
    assert found(tmp_path).cases[0].subject == subject


def test_a_lone_mask_of_another_name_is_taken_and_told(tmp_path: Path) -> None:
    touch(old_case(tmp_path / "BraTS20_Training_355", ".nii", OLD[:4]), "W39_1998.09.19_Segm.nii")
    old_case(tmp_path / "BraTS20_Training_356", ".nii")
    source, findings = find_contrasts(tmp_path)
    assert source.cases[0].label == tmp_path / "BraTS20_Training_355" / "W39_1998.09.19_Segm.nii"
    assert source.cases[0].lone_label
    assert not source.cases[1].lone_label
    assert [(f.level, f.case, f.file) for f in findings] == [
        ("warning", "BraTS20_Training_355", "W39_1998.09.19_Segm.nii")
    ]


@pytest.mark.parametrize("others", [("brain_mask.nii.gz",), ("first.nii.gz", "second.nii.gz"), ()])
def test_what_may_be_no_tumor_mask_is_not_taken_for_one(tmp_path: Path, others: tuple[str, ...]) -> None:
    touch(old_case(tmp_path / "case", kinds=OLD[:4]), *others)
    assert [finding.code for finding in refusals(tmp_path)] == ["NII016"]


def test_a_missing_contrast_is_named_with_the_expected_order_and_can_be_allowed(tmp_path: Path) -> None:
    new_case(tmp_path / "a-000", ("t1n", "t2w", "t2f", "seg"))
    (finding,) = refusals(tmp_path)
    assert (finding.code, finding.case, finding.allowable) == ("NII008", "a-000", True)
    assert "no file for t1c; expected t1n, t1c, t2w, t2f in this order" in finding.message


def test_a_contrast_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    touch(old_case(tmp_path / "case"), "case_t1.nii", "case_T1Gd.nii.gz")
    assert [(f.code, f.allowable) for f in refusals(tmp_path)] == 2 * [("NII008", False)]


def test_a_label_without_any_image_cannot_be_allowed(tmp_path: Path) -> None:
    new_case(tmp_path / "a-000", ("seg",))
    assert [(f.code, f.allowable) for f in refusals(tmp_path)] == [("NII008", False)]


def test_names_of_both_conventions_are_refused_together(tmp_path: Path) -> None:
    old_case(tmp_path / "one")
    new_case(tmp_path / "two")
    with pytest.raises(DataError, match=r"NII010.*one_.*two-"):
        find_contrasts(tmp_path)


def test_a_folder_without_a_case_says_how_to_name_files(tmp_path: Path) -> None:
    touch(tmp_path / "case", "T1.nii.gz", "._case_t1.nii.gz")
    with pytest.raises(DataError, match=r"TRN011.*--pattern"):
        find_contrasts(tmp_path)
    with pytest.raises(DataError, match="TRN011"):
        find_contrasts(tmp_path / "absent")


def test_the_decathlon_says_itself_where_contrasts_and_labels_are(tmp_path: Path) -> None:
    source, findings = find_contrasts(write_decathlon(tmp_path))
    assert source.layout == "Decathlon"
    assert source.volumes == (1, 2, 3, 0)
    assert source.label_map == {1: 2, 2: 1, 3: 3}
    assert [(finding.level, finding.file) for finding in findings] == [("note", "imagesTs")]


@pytest.mark.parametrize(
    ("key", "value", "code"),
    [
        ("labels", {"0": "background", "1": "tumor", "2": "cyst"}, "NII010"),
        ("labels", None, "NII016"),
        ("modality", {"0": "FLAIR", "1": "T1w", "2": "T2w"}, "NII008"),
    ],
)
def test_a_decathlon_that_does_not_say_so_is_refused(tmp_path: Path, key: str, value: object, code: str) -> None:
    path = write_decathlon(tmp_path) / "dataset.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    with pytest.raises(DataError, match=code):
        find_contrasts(path.parent)


def test_sources_of_tumors_are_told_from_others(tmp_path: Path) -> None:
    assert is_tumor_source(new_case(tmp_path / "new" / "a-000").parent)
    assert is_tumor_source(write_decathlon(tmp_path))
    assert not is_tumor_source(new_case(tmp_path / "unlabeled" / "a-000", NEW[:4]).parent)
    assert not is_tumor_source(touch(tmp_path / "prepared", "datalist.json", "a_t1.nii", "a_seg.nii"))


def test_a_pattern_finds_contrasts_labels_and_masks(tmp_path: Path) -> None:
    touch(tmp_path / "anna", "anna_T1.nii", "anna_T1C.nii", "anna_seg.nii", "anna_brain.nii")
    words = {"t1n": "T1", "t1c": "T1C"}
    pattern = NamePattern("{case}/{case}_{contrast}")
    source, findings = find_contrasts(tmp_path, canonical(words), pattern, words, mask="brain")
    (case,) = source.cases
    assert not findings
    assert [path.name for path in (*case.present, case.label, case.mask) if path] == [
        *("anna_T1.nii", "anna_T1C.nii", "anna_seg.nii", "anna_brain.nii")
    ]


def test_a_pattern_may_sort_by_contrast_and_name_person_and_session(tmp_path: Path) -> None:
    for folder in ("dwi", "adc", "mask"):
        touch(tmp_path / folder / "x", "sub-01_ses-1.nii.gz", "sub-01_ses-2.nii.gz")
    pattern = NamePattern("{contrast}/*/sub-{subject}_ses-{session}.nii.gz")
    source, _ = find_contrasts(tmp_path, ("dwi", "adc"), pattern, label="mask")
    assert [(case.name, case.subject) for case in source.cases] == [("01_1", "01"), ("01_2", "01")]


def test_a_label_may_have_a_pattern_of_its_own(tmp_path: Path) -> None:
    touch(tmp_path / "anna" / "readers", "isen-20.nii.gz")
    touch(tmp_path / "anna", "flair.nii.gz")
    label = NamePattern("{case}/**/isen*.nii.gz")
    source, findings = find_contrasts(tmp_path, ("flair",), NamePattern("{case}/{contrast}.nii.gz"), label=label)
    assert source.cases[0].label == tmp_path / "anna" / "readers" / "isen-20.nii.gz"
    assert not findings


@pytest.mark.parametrize("text", ["{contrast}.nii.gz", "{case}_{modality}.nii.gz"])
def test_a_pattern_without_a_case_or_with_an_unknown_word_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="CFG002"):
        NamePattern(text)


def test_a_pattern_that_nothing_fits_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, "anna_t1.nii.gz")
    with pytest.raises(DataError, match=r"TRN011.*--pattern"):
        find_contrasts(tmp_path, ("dwi",), NamePattern("{case}_{contrast}"))


def test_contrasts_come_in_one_order_whatever_order_they_were_named_in() -> None:
    assert canonical(["adc", "t2f", "t1n", "dwi"]) == ("t1n", "t2f", "adc", "dwi")


def test_folders_whose_images_have_other_names_are_told(tmp_path: Path) -> None:
    new_case(tmp_path / "good")
    touch(tmp_path / "p1", "p1_FLAIR_stripped.nii.gz", "p1_T1_gd_stripped.nii.gz")
    (told,) = find_contrasts(tmp_path)[1]
    assert (told.code, told.level) == ("NII016", "warning")
    assert "1 folders whose images have other names are left out: p1/p1_FLAIR_stripped.nii.gz" in told.message
