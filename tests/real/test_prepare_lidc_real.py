"""Two real LIDC-IDRI cases with the readers' own XML: one as DICOM, one whose slices are written again from NIfTI."""

from __future__ import annotations

import shutil
import xml.etree.ElementTree as ElementTree

import nibabel
import numpy as np
import pytest
from lidc_layout import TinySeries

from medbundles.io.datalist import read_datalist
from medbundles.prepare.lidc import prepare

pytestmark = pytest.mark.real
ROOT = "1.3.6.1.4.1.14519.5.2.1.6279.6001."
SERIES = {
    "LIDC-IDRI-0001": ROOT + "179049373636438705059720603192",
    "LIDC-IDRI-0003": ROOT + "170706757615202213033480003264",
}
# The masks beside the scans were made by another program from the same outlines. For outlines drawn in one of the two
# directions it takes the outline's own pixels for nodule, which they are not; that is all the difference there is.
LEAST_DICE = 0.985


@pytest.fixture(scope="module")
def crops(real_data):
    return real_data / "lung_ct" / "lidc_idri_crops"


@pytest.fixture(scope="module")
def prepared(crops, tmp_path_factory):
    """Both cases; the readers also outlined nodules above and below what there is of the second scan."""
    folder = tmp_path_factory.mktemp("lidc")
    shutil.copytree(crops / "dicom", folder / "source")
    write_as_dicom(crops, "LIDC-IDRI-0003", folder / "source" / "LIDC-IDRI-0003")
    report = prepare(
        folder / "source", folder / "out", annotations_dir=crops / "xml", folds=1, test_fraction=0.0, workers=1,
        allow=["LUN009"],
    )  # fmt: skip
    return folder / "out", report


def write_as_dicom(crops, case, folder):
    """Write the NIfTI crop as slices with the UIDs that the XML has at their heights."""
    image = nibabel.load(crops / "nifti" / case / "ct.nii.gz")
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ image.affine
    voxels = np.asanyarray(image.dataobj)
    uids = {}
    for element in ElementTree.parse(crops / "xml" / f"{case}.xml").getroot().iter():
        if element.find("{*}imageSOP_UID") is not None:
            uids[float(element.findtext("{*}imageZposition"))] = element.findtext("{*}imageSOP_UID").strip()
    series = TinySeries(
        SERIES[case],
        patient=case,
        shape=voxels.shape,
        spacing=tuple(np.linalg.norm(lps[:3, :3], axis=0).tolist()),
        position=tuple(lps[:3, 3].tolist()),
    )
    series.hounsfield = lambda: voxels
    series.sop = lambda number: uids.get(round(series.height(number), 2), f"1.2.826.{number}")
    series.write(folder)


def dice_of(first, second):
    first, second = (np.asanyarray(image.dataobj) > 0 for image in (first, second))
    return 2 * (first & second).sum() / (first.sum() + second.sum())


@pytest.mark.parametrize("case", SERIES)
def test_the_consensus_agrees_with_another_programs(prepared, crops, case):
    output, _ = prepared
    ours = nibabel.load(output / "labels" / f"{SERIES[case]}.nii.gz")
    theirs = nibabel.load(crops / "nifti" / case / "nodule_mask_2of4.nii.gz")
    assert np.allclose(ours.affine, theirs.affine, atol=1e-4)
    assert dice_of(ours, theirs) > LEAST_DICE


@pytest.mark.parametrize("case", SERIES)
def test_the_consensus_holds_no_voxel_that_the_other_has_not(prepared, crops, case):
    output, _ = prepared
    ours = np.asanyarray(nibabel.load(output / "labels" / f"{SERIES[case]}.nii.gz").dataobj) > 0
    theirs = np.asanyarray(nibabel.load(crops / "nifti" / case / "nodule_mask_2of4.nii.gz").dataobj) > 0
    # Where an outline has a gap, the line that closes it may run beside the other program's by a pixel.
    assert (ours & ~theirs).sum() <= 2


def test_the_dicom_series_gives_the_published_volume(prepared, crops):
    output, _ = prepared
    ours = nibabel.load(output / "images" / f"{SERIES['LIDC-IDRI-0001']}.nii.gz")
    theirs = nibabel.load(crops / "nifti" / "LIDC-IDRI-0001" / "ct.nii.gz")
    assert np.array_equal(np.asanyarray(ours.dataobj), np.asanyarray(theirs.dataobj))


def test_the_nodule_lies_where_luna16s_table_has_it(prepared):
    lists = read_datalist(prepared[0])
    (record,) = [record for record in lists["training"] if record["subject"] == "LIDC-IDRI-0001"]
    (nodule,) = record["nodules"]
    assert np.linalg.norm(np.subtract(nodule["center_lps_mm"], (56.21, 86.34, -115.87))) < 0.5
    assert nodule["diameter_mm"] == pytest.approx(23.35, abs=0.5)
    assert (nodule["readers"], nodule["malignancy"], nodule["malignant"]) == (4, 5.0, True)


def test_what_the_crops_lack_is_said(prepared):
    assert {finding.code for finding in prepared[1].findings if finding.level == "warning"} == {"LUN009"}
