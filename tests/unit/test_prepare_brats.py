"""Brain tumor data sets become prepared folders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from brats_layout import (
    AFFINE,
    CONTRASTS,
    SHAPE,
    contrast,
    numbered,
    tumor,
    write,
    write_brats,
    write_decathlon,
    write_old_brats,
)

from medbundles.errors import ConfigurationError, DataError, Finding
from medbundles.io.datalist import read_datalist
from medbundles.prepare.brats import prepare
from medbundles.prepare.report import PreparationReport


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDBUNDLES_CACHE", str(tmp_path / "cache"))


def load(path: Path) -> Any:
    return np.asanyarray(nibabel.load(path).dataobj)


def records(output: Path) -> dict[str, dict[str, Any]]:
    return {record["case"]: record for part in read_datalist(output).values() for record in part}


def run(source: Path, output: Path, **options: Any) -> PreparationReport:
    return prepare(source, output, workers=1, **{"folds": 2, **options})


def said(report: PreparationReport, code: str) -> list[Finding]:
    return [finding for finding in report.findings if finding.code == code]


@pytest.fixture
def four(tmp_path: Path) -> Path:
    for number in range(4):
        write_brats(tmp_path / "in", f"BraTS-GLI-{number:05d}-000", number)
    return tmp_path / "in"


def test_a_case_of_2023_is_listed_with_its_contrasts_in_order(four: Path, tmp_path: Path) -> None:
    run(four, tmp_path / "out")
    assert json.loads((tmp_path / "out" / "datalist.json").read_text())["channels"] == list(CONTRASTS)
    case = "BraTS-GLI-00001-000"
    record = records(tmp_path / "out")[case]
    assert record["image"] == [f"images/{case}_{name}.nii.gz" for name in CONTRASTS]
    for name, path in zip(CONTRASTS, record["image"], strict=True):
        assert np.array_equal(load(tmp_path / "out" / path), contrast(name, 1))
    assert np.array_equal(load(tmp_path / "out" / record["label"]), tumor())


def test_images_that_nothing_is_done_to_keep_their_bytes(four: Path, tmp_path: Path) -> None:
    run(four, tmp_path / "out")
    case = "BraTS-GLI-00002-000"
    source = four / case / f"{case}-t2f.nii.gz"
    assert (tmp_path / "out" / "images" / f"{case}_t2f.nii.gz").read_bytes() == source.read_bytes()


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_the_4_of_2021_becomes_3(tmp_path: Path, ending: str) -> None:
    for number in range(3):
        write_old_brats(tmp_path / "in" / "HGG", f"Brats18_X_{number}_1", number, ending=ending)
    report = run(tmp_path / "in", tmp_path / "out")
    label = nibabel.load(tmp_path / "out" / "labels" / "Brats18_X_0_1.nii.gz")
    assert label.get_data_dtype() == np.uint8
    assert np.array_equal(np.asanyarray(label.dataobj), tumor())
    assert np.array_equal(load(tmp_path / "out" / "images" / "Brats18_X_0_1_t1c.nii.gz"), contrast("t1c"))
    assert report.options["label_map"] == {"1": 1, "2": 2, "4": 3}
    assert records(tmp_path / "out")["Brats18_X_0_1"]["label_set"] == "2021"
    assert [finding.level for finding in said(report, "NII010")] == ["note"]


def test_a_case_without_enhancing_tumor_is_numbered_like_the_others(tmp_path: Path) -> None:
    write_old_brats(tmp_path / "in", "one")
    write_old_brats(tmp_path / "in", "two", 1, label=tumor(enhancing=False))
    assert run(tmp_path / "in", tmp_path / "out").options["label_set"] == "2021"


def test_the_four_numbers_of_2015_become_three(tmp_path: Path) -> None:
    label = tumor()
    label[5, 5, 5] = 3
    for number in range(2):
        folder = write_old_brats(tmp_path / "in", f"p{number}", number)
        write(folder / f"p{number}_seg.nii.gz", np.where(label == 3, 4, label).astype(np.uint8))
        old = numbered(tumor(), "2021")
        old[5, 5, 5] = 3
        write(folder / f"p{number}_seg.nii.gz", old)
    report = run(tmp_path / "in", tmp_path / "out")
    expected = tumor()
    expected[5, 5, 5] = 1
    assert report.options["label_set"] == "2015"
    assert np.array_equal(load(tmp_path / "out" / "labels" / "p0.nii.gz"), expected)


def test_a_4_without_a_3_under_names_of_2023_may_be_a_cavity_and_is_asked_for(tmp_path: Path) -> None:
    for number in range(2):
        write_brats(tmp_path / "in", f"BraTS-GLI-0000{number}-000", number, numbering="2021")
    with pytest.raises(DataError, match=r"NII010.*in 2024 a resection's cavity.*--label_set 2024"):
        run(tmp_path / "in", tmp_path / "out")


def test_time_points_of_a_patient_stay_together_and_a_test_part_is_kept(tmp_path: Path) -> None:
    for patient in range(5):
        for point in range(2):
            write_brats(tmp_path / "in", f"BraTS-GLI-{patient:05d}-{point:03d}", 10 * patient + point)
    report = run(tmp_path / "in", tmp_path / "out", folds=2, test_fraction=0.2)
    parts: dict[str, set[Any]] = {}
    for record in records(tmp_path / "out").values():
        parts.setdefault(record["subject"], set()).add(record.get("fold", "test"))
    assert report.counts["patients"] == 5
    assert sorted(map(len, parts.values())) == [1] * 5
    assert report.cases == {"training": 8, "testing": 2}


def test_the_same_image_under_two_names_stays_together(tmp_path: Path) -> None:
    for name, seed in (("a-000", 0), ("b-000", 0), ("c-000", 1), ("d-000", 2)):
        write_brats(tmp_path / "in", name, seed)
    report = run(tmp_path / "in", tmp_path / "out")
    assert records(tmp_path / "out")["b-000"]["subject"] == "a-000"
    assert {finding.case for finding in said(report, "NII014")} == {"b-000"}


def test_contrasts_that_show_nothing_join_no_people(tmp_path: Path) -> None:
    for number in range(3):
        folder = write_brats(tmp_path / "in", f"p{number}", number)
        write(folder / f"p{number}-t2w.nii.gz", np.zeros(SHAPE, np.int16))
    report = run(tmp_path / "in", tmp_path / "out")
    assert not said(report, "NII014")
    assert [finding.level for finding in said(report, "NII011")] == ["warning"] * 3


def test_the_decathlon_is_split_into_contrasts_and_its_labels_are_mapped(tmp_path: Path) -> None:
    report = run(write_decathlon(tmp_path), tmp_path / "out")
    out = tmp_path / "out"
    assert report.options["label_map"] == {"1": 2, "2": 1, "3": 3}
    for name in CONTRASTS:
        assert np.array_equal(load(out / "images" / f"BRATS_001_{name}.nii.gz"), contrast(name, 1))
    assert np.array_equal(load(out / "labels" / "BRATS_001.nii.gz"), tumor())


def test_two_contrasts_with_one_lesion_come_by_a_pattern(tmp_path: Path) -> None:
    for number in range(3):
        for name in ("adc", "dwi"):
            write(tmp_path / "in" / f"p{number}" / f"{name}.nii.gz", contrast("t2w", number))
        write(tmp_path / "in" / f"p{number}" / "lesion.nii.gz", (tumor() == 3).astype(np.uint8))
    report = run(
        *(tmp_path / "in", tmp_path / "out"),
        pattern="{case}/{contrast}.nii.gz",
        contrasts="dwi,adc",
        label_name="lesion",
        labels={1: "lesion"},
    )
    assert json.loads((tmp_path / "out" / "datalist.json").read_text())["channels"] == ["dwi", "adc"]
    assert report.options["labels"] == {"1": "lesion"}
    assert (load(tmp_path / "out" / "labels" / "p1.nii.gz") == (tumor() == 3)).all()


def test_three_tissues_with_numbers_of_their_own_come_by_a_pattern(tmp_path: Path) -> None:
    table = np.array([0, 10, 150, 250], np.uint8)
    for number in range(3):
        for word, name in (("T1", "t1n"), ("T2", "t2w")):
            write(tmp_path / "in" / f"subject-{number}-{word}.nii.gz", contrast(name, number))
        write(tmp_path / "in" / f"subject-{number}-label.nii.gz", table[tumor()])
    report = run(
        *(tmp_path / "in", tmp_path / "out"),
        pattern="{case}-{contrast}.nii.gz",
        contrasts={"t2w": "T2", "t1n": "T1"},
        label_name="label",
        label_set={10: 1, 150: 2, 250: 3},
        labels={1: "csf", 2: "gm", 3: "wm"},
    )
    assert report.options["channels"] == ["t1n", "t2w"]
    assert report.options["labels"] == {"1": "csf", "2": "gm", "3": "wm"}
    assert np.array_equal(load(tmp_path / "out" / "labels" / "subject-2.nii.gz"), tumor())


def test_a_contrast_that_may_be_missing_is_null_in_its_record(four: Path, tmp_path: Path) -> None:
    case = "BraTS-GLI-00003-000"
    (four / case / f"{case}-t1n.nii.gz").unlink()
    report = run(four, tmp_path / "out", allow="NII008")
    record = next(
        record
        for part in json.loads((tmp_path / "out" / "datalist.json").read_text()).values()
        for record in part
        if isinstance(record, dict) and record["case"] == case
    )
    assert record["image"][0] is None
    assert all(record["image"][1:])
    assert report.counts["cases without a contrast"] == 1


def test_some_of_the_contrasts_can_be_prepared_alone(four: Path, tmp_path: Path) -> None:
    (four / "BraTS-GLI-00003-000" / "BraTS-GLI-00003-000-t1n.nii.gz").unlink()
    run(four, tmp_path / "out", contrasts=["t2f", "t1c"])
    assert len(list((tmp_path / "out" / "images").glob("*.nii.gz"))) == 8
    assert records(tmp_path / "out")["BraTS-GLI-00003-000"]["image"][0].endswith("_t1c.nii.gz")


def test_a_lone_mask_is_recorded(tmp_path: Path) -> None:
    write_old_brats(tmp_path / "in", "a", 0, label_name="W39_Segm.nii.gz")
    write_old_brats(tmp_path / "in", "b", 1)
    run(tmp_path / "in", tmp_path / "out")
    assert records(tmp_path / "out")["a"]["source_label"] == "W39_Segm.nii.gz"
    assert "source_label" not in records(tmp_path / "out")["b"]


def test_negative_voxels_are_counted_for_each_contrast(four: Path, tmp_path: Path) -> None:
    case = "BraTS-GLI-00000-000"
    values = contrast("t1c", 0)
    values[6, 6, 6:9] = -7
    write(four / case / f"{case}-t1c.nii.gz", values)
    report = run(four, tmp_path / "out")
    (finding,) = said(report, "NII019")
    assert "t1c: 3 negative voxels in 1 of 4 cases, the lowest -7" in finding.message
    assert np.array_equal(load(tmp_path / "out" / "images" / f"{case}_t1c.nii.gz"), values)


def test_images_with_a_skull_are_warned_of_and_masks_make_a_background(tmp_path: Path) -> None:
    for number in range(2):
        folder = write_brats(tmp_path / "in", f"p{number}", number)
        for name in CONTRASTS:
            write(folder / f"p{number}-{name}.nii.gz", contrast(name, number) + np.int16(50))
        write(folder / f"p{number}-brain.nii.gz", (contrast("t1n") > 0).astype(np.uint8))
    assert len(said(run(tmp_path / "in", tmp_path / "first"), "NII018")) == 4
    options: dict[str, Any] = {"pattern": "{case}/{case}-{contrast}", "mask_name": "brain"}
    report = run(tmp_path / "in", tmp_path / "out", **options)
    assert not said(report, "NII018")
    image = load(tmp_path / "out" / "images" / "p1_t2w.nii.gz")
    assert np.array_equal(image, np.where(contrast("t1n") > 0, contrast("t2w", 1) + 50, 0))


def test_a_finished_case_is_not_made_again_until_an_option_changes(four: Path, tmp_path: Path) -> None:
    run(four, tmp_path / "out")
    assert run(four, tmp_path / "out", overwrite=True).reused == 4
    assert run(four, tmp_path / "out", overwrite=True, spacing=2).reused == 0


def test_workers_do_not_change_a_byte(four: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {"spacing": 2, "folds": 2}
    prepare(four, tmp_path / "one", workers=1, **options)
    prepare(four, tmp_path / "two", workers=2, **options)
    first, second = (
        {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.suffix in {".gz", ".json"}}
        for root in (tmp_path / "one", tmp_path / "two")
    )
    assert first == second


def test_bad_cases_can_be_left_out_and_are_named(four: Path, tmp_path: Path) -> None:
    (four / "BraTS-GLI-00001-000" / "BraTS-GLI-00001-000-seg.nii.gz").unlink()
    values = contrast("t1n").astype(np.float32)
    values[5, 5, 5] = np.nan
    write(four / "BraTS-GLI-00002-000" / "BraTS-GLI-00002-000-t1n.nii.gz", values)
    report = run(four, tmp_path / "out", skip_bad_cases=True)
    assert report.skipped == ("BraTS-GLI-00001-000", "BraTS-GLI-00002-000")
    assert {(f.code, f.case) for f in report.findings if f.level == "error"} == {
        ("NII016", "BraTS-GLI-00001-000"),
        ("NII002", "BraTS-GLI-00002-000"),
    }


def test_nan_is_refused(four: Path, tmp_path: Path) -> None:
    case = "BraTS-GLI-00002-000"
    write(four / case / f"{case}-t1n.nii.gz", np.full(SHAPE, np.nan, np.float32))
    with pytest.raises(DataError, match=rf"NII002.*{case}-t1n"):
        run(four, tmp_path / "out")
    assert not (tmp_path / "out" / "datalist.json").exists()


def test_the_same_name_in_two_folders_is_refused(tmp_path: Path) -> None:
    for grade in ("HGG", "LGG"):
        write_old_brats(tmp_path / "in" / grade, "same")
    with pytest.raises(DataError, match=r"NII016.*same"):
        run(tmp_path / "in", tmp_path / "out")


@pytest.mark.parametrize(
    "options",
    [
        {"label_set": 1999},
        {"label_set": {0: 1}},
        {"label_set": {1: 2}, "labels": {1: "lesion"}},
        {"labels": ["lesion"]},
        {"contrasts": "t1n,dwi"},
        {"contrasts": {"t1n": "T1"}},
        {"mask_name": "brain"},
        {"pattern": "{case}.nii.gz"},
        {"pattern": "{case}_{contrast}", "contrasts": ["a/b"]},
        {"register": True, "reference": "pd"},
        {"spacing": -1},
        {"bias_correction": "yes"},
    ],
)
def test_options_that_cannot_be_meant_are_refused_before_anything(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="CFG002"):
        run(tmp_path, tmp_path / "out", **options)


def test_a_file_without_a_place_in_the_world_gets_that_of_the_others_when_allowed(tmp_path: Path) -> None:
    for number in range(2):
        folder = write_brats(tmp_path / "in", f"p{number}", number)
        lost = nibabel.nifti1.Nifti1Image(contrast("t2f", number), None)
        nibabel.save(lost, folder / f"p{number}-t2f.nii.gz")
    with pytest.raises(DataError, match="NII006"):
        run(tmp_path / "in", tmp_path / "out")
    run(tmp_path / "in", tmp_path / "out", allow=["NII004", "NII006"])
    image = nibabel.load(tmp_path / "out" / "images" / "p1_t2f.nii.gz")
    assert np.allclose(image.affine, AFFINE)
    assert image.header["sform_code"] == 1


def test_a_numbering_that_leaves_no_label_is_refused(four: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"NII011.*all 4 labels are empty"):
        run(four, tmp_path / "out", label_set={1: 0, 2: 0, 3: 0})


def test_an_output_inside_of_the_source_is_refused(four: Path) -> None:
    with pytest.raises(ConfigurationError, match="lies in the source"):
        run(four, four / "prepared")
