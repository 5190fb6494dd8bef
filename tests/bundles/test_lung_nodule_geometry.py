"""The same scan stored in other ways gives the same findings: left is never right."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest

from tests.bundles.conftest import Run

BUNDLE = "lung_nodule_ct_segmentation"
WAYS = ["flipped", "permuted", "metaimage"]


@pytest.fixture(scope="module")
def findings(python: Run, chest_data: Path, trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Inference on one scan: as it is, flipped to RAS, with permuted axes, and as MetaImage."""
    import itk

    scans, output = tmp_path_factory.mktemp("scans"), tmp_path_factory.mktemp("findings") / "out"
    original = nibabel.load(chest_data / "images" / "chest 6.nii.gz")
    nibabel.save(original, scans / "original.nii.gz")
    nibabel.save(nibabel.as_closest_canonical(original), scans / "flipped.nii.gz")
    order = nibabel.orientations.axcodes2ornt(("S", "P", "R"))
    turn = nibabel.orientations.ornt_transform(nibabel.io_orientation(original.affine), order)
    nibabel.save(original.as_reoriented(turn), scans / "permuted.nii.gz")
    itk.imwrite(itk.imread(str(scans / "original.nii.gz")), str(scans / "metaimage.mhd"))
    command = ("-m", "medbundles", "infer", BUNDLE, "--dataset_dir", scans, "--output_dir", output)
    result = python(*command, "--weights", trained)
    assert result.returncode == 0, result.stdout + result.stderr
    return output


@pytest.mark.parametrize("way", WAYS)
def test_findings_lie_at_the_same_places_in_the_world(findings: Path, way: str) -> None:
    nodules = json.loads((findings / "nodules.json").read_text())["nodules"]
    places = {
        case: [(nodule["center_lps_mm"], nodule["volume_mm3"]) for nodule in nodules if nodule["case"] == case]
        for case in ("original", way)
    }
    assert len(places["original"]) == len(places[way]) > 0
    found = np.array(sorted([*place, volume] for place, volume in places[way]))
    expected = np.array(sorted([*place, volume] for place, volume in places["original"]))
    np.testing.assert_allclose(found, expected, atol=0.05)


@pytest.mark.parametrize("way", WAYS)
def test_masks_cover_the_same_points_of_the_world(findings: Path, way: str) -> None:
    masks = [nibabel.as_closest_canonical(nibabel.load(findings / f"{case}_seg.nii.gz")) for case in ("original", way)]
    np.testing.assert_allclose(masks[0].affine, masks[1].affine, atol=1e-3)
    assert np.array_equal(np.asarray(masks[0].dataobj), np.asarray(masks[1].dataobj))
