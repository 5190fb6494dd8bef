"""The released weights on a real tumor, which nothing was trained or chosen on."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

pytestmark = [pytest.mark.real, pytest.mark.slow]
NAME = "brain_tumor_mri_segmentation"
Command = Callable[..., subprocess.CompletedProcess[str]]


def labels(path: Path) -> Any:
    return np.asanyarray(nibabel.load(path).dataobj)


def overlap(first: Any, second: Any) -> float:
    return float(2 * np.count_nonzero(first & second) / (np.count_nonzero(first) + np.count_nonzero(second)))


@pytest.fixture
def glioma(real_data: Path) -> Path:
    return real_data / "brain_tumour" / "brats_gli_00001_4ch"


def segmented(command: Command, scans: Path, output: Path) -> Any:
    result = command("infer", NAME, "--dataset_dir", scans, "--output_dir", output)
    assert result.returncode == 0, result.stderr
    (found,) = output.glob("*_seg.nii.gz")
    return labels(found)


def test_the_whole_tumor_of_a_real_patient_is_outlined(
    medbundles_command: Command, glioma: Path, tmp_path: Path
) -> None:
    found = segmented(medbundles_command, glioma, tmp_path / "out")
    assert overlap(found > 0, labels(glioma / "seg-BraTS23_1.nii.gz") > 0) > 0.8


def test_flair_alone_still_finds_it(medbundles_command: Command, glioma: Path, tmp_path: Path) -> None:
    scan = tmp_path / "scan"
    scan.mkdir()
    (scan / "scan_flair.nii.gz").symlink_to(glioma / "t2f.nii.gz")
    found = segmented(medbundles_command, scan, tmp_path / "out")
    assert overlap(found > 0, labels(glioma / "seg-BraTS23_1.nii.gz") > 0) > 0.6
