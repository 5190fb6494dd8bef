"""Real patients: one of BraTS 2023 in both numberings, two of 2013, and one that was registered with B-splines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from medbundles.errors import DataError
from medbundles.io.datalist import read_datalist
from medbundles.prepare.brats import prepare

pytestmark = pytest.mark.real
OLD = {"t1n": "t1", "t1c": "t1ce", "t2w": "t2", "t2f": "flair"}
# Two cases of one image would be one patient's; here every case is a folder of its own.
ALONE: dict[str, Any] = {"folds": 1, "test_fraction": 0.0, "workers": 1}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDBUNDLES_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def glioma(real_data: Path) -> Path:
    return real_data / "brain_tumour" / "brats_gli_00001_4ch"


def voxels(path: Path) -> Any:
    return np.asanyarray(nibabel.load(path).dataobj)


def fingerprint(output: Path, case: str) -> dict[str, Any]:
    entry: dict[str, Any] = json.loads((output / "fingerprint.json").read_text())["cases"][case]
    return entry


def link(target: Path, source: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.symlink_to(source)


def test_a_patient_of_2023_comes_through_with_both_numberings(glioma: Path, tmp_path: Path) -> None:
    new, old = tmp_path / "new" / "BraTS-GLI-00001-000", tmp_path / "old" / "HGG" / "BraTS2021_00001"
    for name, called in OLD.items():
        link(new / f"{new.name}-{name}.nii.gz", glioma / f"{name}.nii.gz")
        link(old / f"{old.name}_{called}.nii.gz", glioma / f"{name}.nii.gz")
    link(new / f"{new.name}-seg.nii.gz", glioma / "seg-BraTS23_1.nii.gz")
    link(old / f"{old.name}_seg.nii.gz", glioma / "seg-bratstoolkit_isen.nii.gz")

    assert prepare(tmp_path / "new", tmp_path / "a", **ALONE).options["label_set"] == "2023"
    report = prepare(tmp_path / "old", tmp_path / "b", **ALONE)

    assert report.options["label_map"] == {"1": 1, "2": 2, "4": 3}
    assert {finding.level for finding in report.findings} == {"note"}
    first, second = (
        voxels(tmp_path / "a/labels" / f"{new.name}.nii.gz"),
        voxels(tmp_path / "b/labels" / f"{old.name}.nii.gz"),
    )
    assert np.array_equal(first, voxels(glioma / "seg-BraTS23_1.nii.gz"))
    # An expert's and a network's outline of one tumor.
    for value in (1, 2, 3):
        assert 2 * np.count_nonzero((first == value) & (second == value)) > 0.7 * (
            np.count_nonzero(first == value) + np.count_nonzero(second == value)
        )
    image = tmp_path / "b" / "images" / f"{old.name}_t1c.nii.gz"
    assert image.read_bytes() == (glioma / "t1c.nii.gz").read_bytes()


def test_the_same_label_mapped_to_an_identity_affine_is_refused(glioma: Path, tmp_path: Path) -> None:
    options = {"pattern": "{case}/{contrast}.nii.gz", "label_name": "seg-BraTS23_1_mapped"}
    with pytest.raises(DataError, match=r"NII004.*seg-BraTS23_1_mapped.nii.gz"):
        prepare(glioma.parent, tmp_path / "out", **options, **ALONE)


def test_two_contrasts_of_2013_have_four_numbers_and_no_zero_background(real_data: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "pattern": "{case}/{contrast}.nii.gz",
        "contrasts": {"t1c": "T1c_subtrMeanDivStd", "t2f": "Flair_subtrMeanDivStd"},
        "label_name": "OTMultiClass",
    }
    source = real_data / "brain_tumour" / "deepmedic_brats2015"

    report = prepare(source, tmp_path / "whole", **options, **ALONE)
    masked = prepare(source, tmp_path / "masked", mask_name="brainmask", **options, **ALONE)

    assert report.options["label_set"] == "2015"
    assert [f.code for f in report.findings if f.level == "warning"] == ["NII018", "NII018", "NII019", "NII019"]
    assert {f.code for f in masked.findings if f.level == "warning"} == {"NII019"}
    for record in read_datalist(tmp_path / "masked")["training"]:
        image = voxels(tmp_path / "masked" / record["image"][1])
        brain = voxels(source / record["case"] / "brainmask.nii.gz") > 0
        assert np.array_equal(image != 0, brain)
        assert np.unique(voxels(tmp_path / "masked" / record["label"])).tolist() == [0, 1, 2, 3]


def test_negative_voxels_that_registration_left_are_counted(real_data: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "pattern": "{case}/{case}_{contrast}_bet.nii.gz",
        "contrasts": {"t1n": "t1", "t1c": "t1c", "t2w": "t2", "t2f": "fla"},
        "label_name": "{case}/auto_segmentations/hnfnetv1-20.nii.gz",
    }
    source = real_data / "brain_tumour" / "tcga_lgg_brats_space"
    report = prepare(source, tmp_path / "out", **options, **ALONE)
    assert report.options["label_set"] == "2021"
    counted = {
        name: measured["negative_voxels"]
        for name, measured in fingerprint(tmp_path / "out", "TCGA-DU-7294")["source"].items()
    }
    assert counted == {"t1n": 2250, "t1c": 1242, "t2w": 136, "t2f": 1561}
    assert [f.code for f in report.findings if f.level == "warning"] == ["NII019"] * 4


@pytest.mark.slow
def test_a_contrast_that_was_moved_is_found_again(glioma: Path, tmp_path: Path) -> None:
    pytest.importorskip("dipy", reason="the extra dwi is not installed")
    case = tmp_path / "in" / "BraTS-GLI-00001-000"
    for name in ("t1c", "t2w"):
        link(case / f"{case.name}-{name}.nii.gz", glioma / f"{name}.nii.gz")
    link(case / f"{case.name}-seg.nii.gz", glioma / "seg-BraTS23_1.nii.gz")
    image = nibabel.load(glioma / "t2f.nii.gz")
    angle = np.deg2rad(4)
    moved = np.eye(4)
    moved[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    moved[:3, 3] = (2.0, -3.0, 4.0)
    nibabel.save(nibabel.nifti1.Nifti1Image(image.dataobj, moved @ image.affine), case / f"{case.name}-t2f.nii.gz")

    prepare(tmp_path / "in", tmp_path / "out", contrasts="t1c,t2w,t2f", register=True, **ALONE)

    figures = fingerprint(tmp_path / "out", case.name)["registration"]
    assert figures["t2f"]["moved"]
    assert figures["t2f"]["rotation_degrees"] == pytest.approx(4, abs=0.7)
    assert not figures["t2w"]["moved"]
    back, before = voxels(tmp_path / "out/images" / f"{case.name}_t2f.nii.gz"), voxels(glioma / "t2f.nii.gz")
    brain = voxels(glioma / "t1c.nii.gz") > 0
    assert np.corrcoef(back[brain], before[brain])[0, 1] > 0.9


@pytest.mark.slow
def test_bias_correction_and_coarser_voxels_keep_the_volumes(glioma: Path, tmp_path: Path) -> None:
    case = tmp_path / "in" / "BraTS-GLI-00001-000"
    link(case / f"{case.name}-t1n.nii.gz", glioma / "t1n.nii.gz")
    link(case / f"{case.name}-seg.nii.gz", glioma / "seg-BraTS23_1.nii.gz")
    prepare(tmp_path / "in", tmp_path / "out", contrasts="t1n", bias_correction=True, spacing=2, **ALONE)
    entry = fingerprint(tmp_path / "out", case.name)
    assert entry["spacing_mm"] == [2.0, 2.0, 2.0]
    assert 1.0 < entry["bias"]["t1n"] < 2.0
    source = voxels(glioma / "seg-BraTS23_1.nii.gz")
    for value in (1, 2, 3):
        milliliters = np.count_nonzero(source == value) / 1000
        assert entry["label_ml"][str(value)] == pytest.approx(milliliters, rel=0.1)
