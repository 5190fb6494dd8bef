"""NII004, NII008, NII010 and NII011 of tumor data sets through the real command line."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from brats_layout import AFFINE, SHAPE, contrast, tumor, write, write_brats, write_old_brats

from .conftest import assert_found

Prepare = Callable[..., subprocess.CompletedProcess[str]]
GOOD, BAD = "BraTS-GLI-00001-000", "BraTS-GLI-00002-000"


@pytest.fixture
def prepare(medbundles_command: Prepare, tmp_path: Path) -> Prepare:
    """Run ``medbundles prepare brats`` on the test's folder ``in``."""

    def run(*options: object) -> subprocess.CompletedProcess[str]:
        folders = ("--source", tmp_path / "in", "--output", tmp_path / "out")
        environment = {"MEDBUNDLES_CACHE": str(tmp_path / "cache")}
        return medbundles_command("prepare", "brats", *folders, "--workers", 1, "--folds", 1, *options, env=environment)

    return run


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    """Return the folder of the second of two good cases, for a test to spoil."""
    write_brats(tmp_path / "in", GOOD, 1)
    return write_brats(tmp_path / "in", BAD, 2)


def test_a_contrast_on_another_grid_is_refused_with_the_displacement(prepare: Prepare, bad: Path) -> None:
    moved = AFFINE.copy()
    moved[2, 3] = 4.0
    write(bad / f"{BAD}-t2f.nii.gz", contrast("t2f", 2), moved)

    result = prepare()

    assert_found(result, "NII004", BAD, f"{BAD}-t2f.nii.gz", f"differs from {BAD}-t1n.nii.gz by 4.0 mm", "--register")
    assert GOOD not in result.stderr
    assert prepare("--allow", "NII004").returncode == 0


def test_a_label_of_another_size_is_refused_whatever_is_allowed(prepare: Prepare, bad: Path) -> None:
    write(bad / f"{BAD}-seg.nii.gz", tumor()[:12])

    assert_found(prepare("--allow", "NII004"), "NII004", BAD, f"{BAD}-seg.nii.gz", "12 x 16 x 16 voxels")


def test_a_missing_contrast_is_refused_until_it_is_allowed(prepare: Prepare, bad: Path, tmp_path: Path) -> None:
    (bad / f"{BAD}-t1c.nii.gz").unlink()

    result = prepare()
    assert result.returncode == 3
    assert f"error[NII008] case {BAD}: no file for t1c; expected t1n, t1c, t2w, t2f in this order" in result.stderr
    assert not (tmp_path / "out").exists()

    result = prepare("--allow", "NII008")
    assert result.returncode == 0
    assert f"warning[NII008] case {BAD}" in result.stderr
    assert "1 cases without a contrast" in result.stdout


@pytest.mark.parametrize("numbering", ["2021", "2023"])
def test_labels_of_both_numberings_are_mapped_and_recorded(prepare: Prepare, tmp_path: Path, numbering: str) -> None:
    for number in range(2):
        (write_old_brats if numbering == "2021" else write_brats)(tmp_path / "in", f"p{number}", number)

    result = prepare("--json")

    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["options"]["label_set"] == numbering
    assert [finding["level"] for finding in report["findings"] if finding["code"] == "NII010"] == ["note"]
    listed = json.loads((tmp_path / "out" / "datalist.json").read_text())
    assert all(record["label_map"] == report["options"]["label_map"] for record in listed["training"])


def test_labels_that_may_mean_several_things_are_refused_until_it_is_said(prepare: Prepare, tmp_path: Path) -> None:
    for number in range(2):
        write_old_brats(tmp_path / "in", f"p{number}", number, label=(tumor() > 0).astype(np.uint8))

    result = prepare()
    assert result.returncode == 3
    assert "error[NII010] the labels are 1 alone: what they mean is not known" in result.stderr

    assert prepare("--labels", "{1: lesion}").returncode == 0


def test_a_raw_source_is_checked_without_being_prepared(medbundles_command: Prepare, bad: Path, tmp_path: Path) -> None:
    (bad / f"{BAD}-t2w.nii.gz").unlink()

    environment = {"MEDBUNDLES_CACHE": str(tmp_path / "cache")}
    result = medbundles_command("check", "brain_tumor_mri_segmentation", bad.parent, env=environment)

    assert "raw source in BraTS 2023's layout, 2 cases to prepare" in result.stdout
    assert result.returncode == 3
    assert f"error[NII008] case {BAD}: no file for t2w" in result.stderr


def test_values_that_no_numbering_has_are_refused_with_the_file(prepare: Prepare, bad: Path) -> None:
    write(bad / f"{BAD}-seg.nii.gz", np.where(tumor() == 3, 9, tumor()).astype(np.uint8))

    assert_found(prepare(), "NII009", BAD, f"{BAD}-seg.nii.gz", "label values 9 ", "expected 0, 1, 2, 3, 4")


def test_empty_labels_are_counted_and_refused_where_all_are(prepare: Prepare, bad: Path, tmp_path: Path) -> None:
    write(bad / f"{BAD}-seg.nii.gz", np.zeros(SHAPE, np.uint8))

    result = prepare("--json")
    assert result.returncode == 0
    report = json.loads(result.stdout)
    assert "1 of 2 labels are empty (negative cases)" in [finding["message"] for finding in report["findings"]]
    assert report["counts"]["empty labels"] == 1

    write(tmp_path / "in" / GOOD / f"{GOOD}-seg.nii.gz", np.zeros(SHAPE, np.uint8))
    result = prepare("--overwrite")
    assert result.returncode == 3
    assert "2 of 2 labels are empty: there is nothing to learn" in result.stderr
