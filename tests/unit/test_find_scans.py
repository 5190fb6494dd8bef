"""What an inference is given of a folder of scans, and what it refuses before it begins."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from dwi_layout import TinyHead, write_case, write_nifti

from medbundles.checks.diffusion_cases import check_raw_scans, find_scans
from medbundles.errors import ConfigurationError, DataError

CHANNELS = ["fa"]


def write_prepared(root: Path, grid: float | str) -> Path:
    """One case of one channel, and what ``medbundles prepare dwi_t1w`` says of its grid."""
    write_nifti(
        root / "images/anna_fa.nii.gz", np.random.default_rng(0).random((8, 8, 8)).astype(np.float32), np.eye(4)
    )
    record = {"image": "images/anna_fa.nii.gz", "case": "anna", "subject": "anna"}
    (root / "datalist.json").write_text(json.dumps({"channels": CHANNELS, "training": [], "testing": [record]}))
    (root / "fingerprint.json").write_text(json.dumps({"grid": grid}))
    return root


def write_twins(root: Path) -> Path:
    """Two people's scans under one BIDS name: the outputs of one would overwrite the other's."""
    for person in ("sub-01", "sub-02"):
        TinyHead().write(root / person / "dwi" / "sub-01_dwi.nii.gz", None)
    return root


@pytest.mark.parametrize("skip", [False, True])
def test_two_scans_of_one_name_are_refused(tmp_path: Path, skip: bool) -> None:
    with pytest.raises(DataError, match=r"NII016.*2 cases share a name"):
        find_scans(write_twins(tmp_path), channels=CHANNELS, skip_bad_cases=skip)


def test_the_check_of_raw_scans_sees_two_of_one_name(tmp_path: Path) -> None:
    _, findings = check_raw_scans(write_twins(tmp_path))
    assert [finding.code for finding in findings if finding.level == "error"] == ["NII016"]


def test_several_t1w_do_not_matter_where_none_is_needed(tmp_path: Path) -> None:
    folder = write_case(tmp_path, "anna", TinyHead())
    (folder / "t1w.nii").touch()
    records, findings = find_scans(tmp_path, channels=CHANNELS)
    assert [record["case"] for record in records] == ["anna"]
    assert all(finding.code != "NII008" for finding in findings)


def test_a_scan_with_two_masks_is_left_out_where_bad_ones_may_be(tmp_path: Path) -> None:
    write_case(tmp_path, "anna", TinyHead())
    folder = write_case(tmp_path, "ben", TinyHead(1))
    for name in ("mask.nii", "mask.nii.gz"):
        write_nifti(folder / name, np.ones((4, 4, 4), np.uint8), np.eye(4))
    records, _ = find_scans(tmp_path, channels=CHANNELS, skip_bad_cases=True)
    assert [record["case"] for record in records] == ["anna"]


def test_a_mask_elsewhere_cannot_be_allowed_and_says_so(tmp_path: Path) -> None:
    folder = write_case(tmp_path, "anna", TinyHead())
    write_nifti(folder / "mask.nii.gz", np.ones((23, 26, 18), np.uint8), np.diag([6.0, 6, 6, 1]))
    with pytest.raises(DataError) as refused:
        find_scans(tmp_path, channels=CHANNELS, allow=["NII004"])
    (finding,) = refused.value.findings
    assert (finding.code, finding.allowable, "allow" in finding.fix) == ("DWI012", False, False)


@pytest.mark.parametrize("grid", [1.5, "dwi"])
def test_a_prepared_folder_on_the_networks_grid_is_taken(tmp_path: Path, grid: float | str) -> None:
    records, _ = find_scans(write_prepared(tmp_path, grid), channels=CHANNELS, grid=grid)
    assert [record["case"] for record in records] == ["anna"]


def test_a_prepared_folder_on_another_grid_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"CFG004.*grid_mm is 1\.5 in model\.json and 2\.0 .*--grid 1\.5"):
        find_scans(write_prepared(tmp_path, 2.0), channels=CHANNELS, grid=1.5)
