"""What ``strict`` makes of the warnings about an inference's cases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from medbundles.components.workflows.run_data import RunData
from medbundles.errors import DataError, Finding
from medbundles.io.datalist import write_datalist

WARNING = Finding("DWI011", "warning", "two shells", case="anna")
ERROR = Finding("DWI001", "error", "no table", case="ben")


def check(folder: Path, *findings: Finding, **options: Any) -> list[str]:
    """Return the names of the cases that are kept of anna and carl; ben is left out already."""

    def find(root: Path, **_: Any) -> tuple[list[dict[str, Any]], list[Finding]]:
        return [{"case": "anna"}, {"case": "carl"}], list(findings)

    kept, _ = RunData("infer", folder, find_cases=find, **options).check()
    return [record["case"] for record in kept]


def test_a_warning_refuses_only_under_strict(tmp_path: Path) -> None:
    assert check(tmp_path, WARNING) == ["anna", "carl"]
    with pytest.raises(DataError, match="DWI011"):
        check(tmp_path, WARNING, strict=True)


def test_a_case_with_a_warning_is_left_out_like_one_with_an_error(tmp_path: Path) -> None:
    assert check(tmp_path, WARNING, ERROR, strict=True, skip_bad_cases=True) == ["carl"]


def test_a_warning_about_no_case_cannot_be_left_out(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="TRN011"):
        check(tmp_path, Finding("TRN011", "warning", "images left out"), strict=True, skip_bad_cases=True)


def test_strict_judges_the_checks_of_images_as_well(tmp_path: Path) -> None:
    voxels = np.random.default_rng(0).normal(0, 100, (8, 8, 8)).astype(np.float32)
    nibabel.Nifti1Image(voxels, None).to_filename(tmp_path / "scan.nii.gz")
    with pytest.raises(DataError, match=r"warning\[NII006\] case scan"):
        RunData("infer", tmp_path, channels=("mr",), strict=True).check()


def test_training_on_a_list_with_a_test_part_alone_is_refused(tmp_path: Path) -> None:
    voxels = np.random.default_rng(0).normal(0, 100, (8, 8, 8)).astype(np.float32)
    nibabel.Nifti1Image(voxels, np.eye(4)).to_filename(tmp_path / "scan.nii.gz")
    record = {"image": "scan.nii.gz", "label": "scan.nii.gz", "case": "anna"}
    write_datalist(tmp_path, [], [record])
    with pytest.raises(DataError, match="no record for training with fold 0"):
        RunData("train", tmp_path, channels=("mr",), label_values=(0, 1)).check()
