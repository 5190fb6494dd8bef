"""Two real LIDC-IDRI scans in LUNA16's layout with the published tables of annotations."""

from __future__ import annotations

import shutil

import nibabel
import numpy as np
import pytest
from luna_layout import write_mhd

from medbundles.io.datalist import read_datalist
from medbundles.prepare.luna16 import prepare

pytestmark = pytest.mark.real
ROOT = "1.3.6.1.4.1.14519.5.2.1.6279.6001."
SCANS = {
    "lidc_idri_0314_lungbox": ROOT + "154677396354641150280013275227",
    "lidc_idri_crops/nifti/LIDC-IDRI-0001": ROOT + "179049373636438705059720603192",
}
# A guard against regressions, set after these cases had been seen: not a claim about other scans.
LEAST_DICE = {"density": 0.85, "sphere": 0.78}


@pytest.fixture(scope="module")
def source(real_data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("luna")
    for number, (place, series) in enumerate(SCANS.items()):
        image = nibabel.load(real_data / "lung_ct" / place / "ct.nii.gz")
        lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ image.affine
        spacing = np.linalg.norm(lps[:3, :3], axis=0)
        target = folder / f"subset{number}" / f"{series}.mhd"
        target.parent.mkdir()
        voxels = np.asanyarray(image.dataobj)
        write_mhd(target, voxels, spacing.tolist(), lps[:3, 3].tolist(), lps[:3, :3] / spacing)
    for name in ("annotations.csv", "annotations_with_malignancy.csv"):
        shutil.copy(real_data / "luna_csv" / name, folder / name)
    return folder


@pytest.mark.parametrize("rule", ["density", "sphere"])
def test_masks_agree_with_the_readers(source, real_data, tmp_path, rule):
    prepare(source, tmp_path, mask_rule=rule, folds=1, test_fraction=0.0, workers=1)
    for place, series in SCANS.items():
        readers = nibabel.load(real_data / "lung_ct" / place / "nodule_mask_2of4.nii.gz")
        ours = nibabel.load(tmp_path / "labels" / f"{series}.nii.gz")
        first, second = np.asanyarray(readers.dataobj) > 0, np.asanyarray(ours.dataobj) > 0
        dice = 2 * (first & second).sum() / (first.sum() + second.sum())
        assert np.allclose(ours.affine, readers.affine, atol=1e-4)
        assert dice > LEAST_DICE[rule], f"{place}: {dice:.3f}"


def test_the_published_tables_are_read_without_a_fault(source, tmp_path):
    report = prepare(source, tmp_path, folds=1, workers=1)
    assert {finding.code for finding in report.findings if finding.level != "note"} == {"LUN004", "LUN007", "TRN011"}
    lists = read_datalist(tmp_path)
    nodules = [nodule for part in lists.values() for record in part for nodule in record["nodules"]]
    assert sorted(round(nodule["diameter_mm"], 2) for nodule in nodules) == [15.49, 23.35]
    assert all(nodule["malignant"] is True for nodule in nodules)
