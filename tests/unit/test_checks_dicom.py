"""One property of a DICOM series a test; the same faults through the command are in tests/faults."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from lidc_layout import TinySeries
from pydicom.uid import JPEG2000Lossless

from medbundles.checks.dicom import check_one_series, check_series
from medbundles.io.dicom import scan_folder

UID = "1.2.826.10.2"


@pytest.fixture
def slices(tmp_path):
    TinySeries(UID).write(tmp_path)
    return list(scan_folder(tmp_path).slices)


def errors_of(slices, modality="CT"):
    checked = check_series(slices, modality)
    assert not checked.slices
    return [(finding.code, finding.case) for finding in checked.findings if finding.level == "error"]


def moved(header, offset):
    return replace(header, position_lps_mm=tuple(np.add(header.position_lps_mm, offset)))


def sorted_by_height(slices):
    return sorted(slices, key=lambda header: header.position_lps_mm[2])


def test_a_sound_series_is_sorted_by_its_positions(slices):
    checked = check_series(slices, "CT")
    assert checked.findings == ()
    assert [header.sop_uid for header in checked.slices] == [f"{UID}.{number + 1}" for number in range(8)]
    assert [header.path.name for header in checked.slices] != sorted(header.path.name for header in slices)


def test_positions_rounded_to_a_tenth_of_a_millimetre_are_even(tmp_path):
    def rounded(data, _):
        data.ImagePositionPatient = [round(float(value), 1) for value in data.ImagePositionPatient]

    TinySeries(UID, shape=(8, 8, 40), spacing=(0.8, 0.8, 1.25), edit=rounded).write(tmp_path)
    assert check_series(scan_folder(tmp_path).slices).findings == ()


def test_every_gap_is_named_with_what_is_missing(slices):
    ordered = sorted_by_height(slices)
    (finding,) = check_series([*ordered[:2], *ordered[4:]]).findings
    assert finding.code == "DCM001"
    assert "between -117.50 and -110.00 mm (2 missing)" in finding.message


def test_uneven_distances_are_refused_as_well(slices):
    ordered = sorted_by_height(slices)
    assert errors_of([moved(ordered[0], (0, 0, -0.9)), *ordered[1:]]) == [("DCM001", UID)]


def test_a_single_slice_is_no_volume(slices):
    assert errors_of(slices[:1]) == [("DCM001", UID)]


def test_identical_copies_are_left_out_and_remembered(slices, tmp_path):
    first = sorted_by_height(slices)[0]
    checked = check_series([*slices, replace(first, sop_uid=f"{UID}.99")])
    assert len(checked.slices) == 8
    assert checked.dropped == {f"{UID}.99": first.sop_uid}
    assert [(finding.code, finding.level) for finding in checked.findings] == [("DCM002", "warning")]


def test_other_pixels_at_the_same_place_are_refused(slices):
    first, second = sorted_by_height(slices)[:2]
    assert errors_of([*slices, replace(second, position_lps_mm=first.position_lps_mm)]) == [("DCM002", UID)]


def test_an_overview_across_the_slices_is_left_out(slices):
    across = replace(slices[0], directions=(1.0, 0.0, 0.0, 0.0, 0.0, -1.0), sop_uid="1.9", shape=(800, 300))
    checked = check_series([*slices, across])
    assert len(checked.slices) == 8
    assert [finding.code for finding in checked.findings] == ["DCM004"]


def test_nothing_but_overviews_is_refused(slices):
    overviews = [replace(header, image_type=("ORIGINAL", "PRIMARY", "LOCALIZER")) for header in slices]
    assert errors_of(overviews) == [("DCM004", UID)]


def test_a_tilted_gantry_is_refused(slices):
    tilted = [moved(h, (0, (h.position_lps_mm[2] + 120) * np.tan(np.deg2rad(12)), 0)) for h in slices]
    assert errors_of(tilted) == [("DCM005", UID)]


def test_a_slice_shifted_within_its_plane_is_refused(slices):
    ordered = sorted_by_height(slices)
    assert errors_of([*ordered[:3], moved(ordered[3], (2.0, 0, 0)), *ordered[4:]]) == [("DCM015", UID)]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"slope": None}, "DCM006"),
        ({"found_bytes": 10}, "DCM007"),
        ({"transfer_syntax": "1.2.3.4"}, "DCM009"),
        ({"frames": 30}, "DCM010"),
        ({"photometric": "RGB"}, "DCM013"),
        ({"position_lps_mm": None}, "DCM014"),
        ({"directions": (1.0, 0.0, 0.0, 1.0, 0.0, 0.0)}, "DCM014"),
        ({"pixel_spacing_mm": (0.0, 0.7)}, "DCM014"),
        ({"shape": (30, 30)}, "DCM015"),
        ({"pixel_spacing_mm": (0.7, 0.9)}, "DCM015"),
    ],
    ids=str,
)
def test_one_slice_that_differs_refuses_the_series(slices, change, code):
    assert errors_of([replace(slices[0], **change), *slices[1:]]) == [(code, UID)]


def test_another_modality_is_refused(slices):
    assert errors_of(slices, "MR") == [("DCM012", UID)]


def test_single_numbers_may_be_stored_as_monochrome1(slices):
    inverted = [replace(header, photometric="MONOCHROME1") for header in slices]
    assert check_series(inverted).findings == ()


def test_a_known_compression_without_its_decoder_names_the_extra(slices, monkeypatch):
    monkeypatch.setattr("medbundles.checks.dicom.can_decode", lambda uid: uid != str(JPEG2000Lossless))
    compressed = [replace(header, transfer_syntax=str(JPEG2000Lossless)) for header in slices]
    (finding,) = check_series(compressed).findings
    assert finding.code == "DCM009"
    assert "medbundles[dicom]" in finding.fix


def test_two_series_in_a_folder_are_listed_with_what_happens_to_them(slices):
    (finding,) = check_one_series({"1.1": slices, "1.2": slices[:3]}, used=["1.2"])
    assert "1.1 (CT, 8 slices, left out)" in finding.message
    assert "1.2 (CT, 3 slices, used)" in finding.message
