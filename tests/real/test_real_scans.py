"""Every real chest CT passes the checks as a case for inference, in the format its publishers chose."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import itk
import numpy as np
import pytest

from medbundles.checks.cases import check_images
from medbundles.checks.dataset import check_records
from medbundles.checks.nifti import check_geometry
from medbundles.io.cases import find_cases
from medbundles.io.grids import LPS_TO_RAS, corner_displacement_voxels, flip_lps, to_index
from medbundles.io.headers import read_header
from medbundles.io.images import read_volume

pytestmark = pytest.mark.real
BUNDLE = "lung_nodule_ct_segmentation"


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("MEDBUNDLES_CACHE", str(folder))
        yield folder


@pytest.mark.parametrize(
    ("path", "cases"),
    [
        ("lung_ct/lidc_idri_0314_lungbox", 1),
        ("lung_ct/lidc_idri_crops/nifti", 2),
        ("lung_ct/pyradiomics_lung1/lung1_image.nrrd", 1),
    ],
)
def test_chest_scans_pass(
    real_data: Path, medbundles_command: Callable[..., subprocess.CompletedProcess[str]], path: str, cases: int
) -> None:
    result = medbundles_command("check", BUNDLE, real_data / path)

    assert result.returncode == 0, result.stderr
    assert f"{cases} cases for inference" in result.stdout
    assert not result.stderr


def test_the_scanner_s_padding_is_noted_and_nothing_else(real_data: Path) -> None:
    cases = find_cases(real_data / "lung_ct" / "lidc_idri_crops" / "nifti", ["ct"])

    findings = check_images(cases, channels=["ct"], modality="CT", geometry=None, purpose="infer")

    assert [[(finding.code, finding.level) for finding in of_case] for of_case in findings] == [
        [("NII013", "note")]
    ] * 2


@pytest.mark.parametrize("name", ["nodule_mask_2of4.nii.gz", "nodule_votes.nii.gz"])
def test_a_mask_is_not_taken_for_a_scan(
    real_data: Path, medbundles_command: Callable[..., subprocess.CompletedProcess[str]], name: str
) -> None:
    result = medbundles_command("check", BUNDLE, real_data / "lung_ct" / "lidc_idri_0314_lungbox" / name)

    assert result.returncode == 3
    assert f"error[NII013] case {name.split('.')[0]}, {name}:" in result.stderr


def test_expert_masks_lie_on_their_scans(real_data: Path) -> None:
    folders = [real_data / "lung_ct" / "lidc_idri_0314_lungbox"]
    folders += sorted((real_data / "lung_ct" / "lidc_idri_crops" / "nifti").iterdir())
    records = [
        {"case": folder.name, "image": str(folder / "ct.nii.gz"), "label": str(folder / "nodule_mask_2of4.nii.gz")}
        for folder in folders
    ]

    findings = check_records(records, label_values=(0, 1), channels=["ct"], modality="CT")

    assert [finding for finding in findings if finding.level != "note"] == []


def test_the_published_center_of_a_luna16_nodule_lies_in_its_mask(real_data: Path) -> None:
    mask = read_volume(real_data / "lung_ct" / "lidc_idri_0314_lungbox" / "nodule_mask_2of4.nii.gz")

    index = np.rint(to_index(mask.affine, flip_lps([-57.44, 131.23, -520.36]))).astype(int)

    assert mask.array[tuple(index)] == 1


def test_nrrd_headers_agree_with_itk(real_data: Path) -> None:
    path = real_data / "lung_ct" / "pyradiomics_lung1" / "lung1_image.nrrd"
    image, header = itk.imread(str(path)), read_header(path)
    affine = np.eye(4)
    affine[:3, :3] = itk.array_from_matrix(image.GetDirection()) * list(image.GetSpacing())
    affine[:3, 3] = list(image.GetOrigin())

    assert corner_displacement_voxels(LPS_TO_RAS @ affine, header.affine, header.shape) < 1e-6


def test_no_real_volume_of_any_modality_has_a_broken_header(real_data: Path) -> None:
    paths = [path for suffix in ("nii.gz", "nrrd") for path in sorted(real_data.rglob(f"*.{suffix}"))]

    assert len(paths) > 40
    assert [finding for path in paths for finding in check_geometry(read_header(path))] == []
