"""DICOM headers and pixels as they are read."""

from __future__ import annotations

import numpy as np
import pytest
from lidc_layout import INTERCEPT, TinySeries

from medbundles.errors import DataError, EnvironmentFailure
from medbundles.io.dicom import find_folders, read_slice_header, scan_folder
from medbundles.io.dicom_grid import sort_slices
from medbundles.io.dicom_volume import read_series
from medbundles.io.images import flip_lps, to_world

UID = "1.2.826.10.2"


def write(folder, **changes):
    series = TinySeries(UID, **changes)
    series.write(folder)
    return series, sort_slices(scan_folder(folder).slices)


def test_voxels_are_hounsfield_units_in_the_order_of_the_positions(tmp_path):
    series, slices = write(tmp_path)
    volume, _ = read_series(slices)
    assert volume.array.dtype == np.int16
    assert np.array_equal(volume.array, series.hounsfield())


@pytest.mark.parametrize(
    "directions",
    [(1, 0, 0, 0, 1, 0), (0, 1, 0, 1, 0, 0), (0, 1, 0, 0, 0, -1), (0.8, 0.6, 0, -0.6, 0.8, 0)],
    ids=["axial", "mirrored", "sagittal", "oblique"],
)
def test_a_voxel_lies_where_its_slice_says(tmp_path, directions):
    series, slices = write(tmp_path, directions=tuple(map(float, directions)))
    volume, _ = read_series(slices)
    row, column = np.reshape(series.directions, (2, 3))
    expected = np.array(series.place(6)) + 9 * series.spacing[0] * row + 4 * series.spacing[1] * column
    assert np.allclose(flip_lps(to_world(volume.affine, (9, 4, 6))), expected, atol=1e-4)
    assert volume.array[9, 4, 6] == series.hounsfield()[9, 4, 6]


def test_a_negative_padding_written_as_an_unsigned_number_becomes_air(tmp_path):
    def pad(data, _):
        data.add_new("PixelPaddingValue", "US", 65536 - 2000)
        pixels = np.frombuffer(data.PixelData, "<i2").copy()
        pixels[:7] = -2000
        data.PixelData = pixels.tobytes()

    _, slices = write(tmp_path, edit=pad)
    volume, share = read_series(slices)
    assert (volume.array[:7, 0] == -1024).all()
    assert share == pytest.approx(7 / (32 * 30))


def test_padding_that_tissue_may_have_as_well_is_kept(tmp_path):
    def pad(data, _):
        data.add_new("PixelPaddingValue", "SS", 40 - INTERCEPT)

    series, slices = write(tmp_path, edit=pad)
    volume, share = read_series(slices)
    assert share == 0
    assert np.array_equal(volume.array, series.hounsfield())


def test_a_slope_with_a_fraction_gives_fractions(tmp_path):
    def scale(data, _):
        data.RescaleSlope = "0.5"

    series, slices = write(tmp_path, edit=scale)
    volume, _ = read_series(slices)
    assert np.allclose(volume.array, (series.hounsfield() - float(INTERCEPT)) / 2 + INTERCEPT)


def test_values_beyond_16_bits_are_not_wrapped(tmp_path):
    def bright(data, _):
        data.PixelRepresentation = 0
        data.PixelData = np.full((30, 32), 60000, "<u2").tobytes()

    _, slices = write(tmp_path, edit=bright)
    assert (read_series(slices)[0].array == 60000 + INTERCEPT).all()


def test_files_that_are_no_images_are_counted(tmp_path):
    write(tmp_path)
    (tmp_path / "notes.txt").write_text("nothing")
    (tmp_path / "empty.dcm").touch()
    (tmp_path / "reading.xml").write_text("<a/>")
    (tmp_path / ".hidden.dcm").write_text("nothing")
    found = scan_folder(tmp_path, (".xml",))
    assert (len(found.slices), found.others) == (8, 2)


def test_a_table_of_contents_is_no_slice(tmp_path):
    def directory(data, _):
        data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = "1.2.840.10008.1.3.10"

    (file,) = TinySeries(UID, shape=(4, 4, 1), edit=directory).write(tmp_path)
    assert read_slice_header(file) is None


def test_folders_with_nothing_but_annotations_are_not_visited(tmp_path):
    write(tmp_path / "a" / "b")
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "069.XML").write_text("<a/>")
    assert find_folders(tmp_path, (".xml",)) == [tmp_path / "a" / "b"]


def test_a_file_cut_before_its_uids_is_refused_by_name(tmp_path):
    file = TinySeries(UID).write(tmp_path)[0]
    file.write_bytes(file.read_bytes()[:200])
    found = scan_folder(tmp_path)
    assert len(found.slices) == 7
    assert [(path, finding.code, finding.file) for path, finding in found.damaged] == [(file, "DCM007", file.name)]


def test_pixels_that_are_cut_short_are_counted_without_reading_them(tmp_path):
    file = TinySeries(UID).write(tmp_path)[0]
    file.write_bytes(file.read_bytes()[:-100])
    header = read_slice_header(file)
    assert (header.expected_bytes, header.found_bytes) == (32 * 30 * 2, 32 * 30 * 2 - 100)


def test_pixels_that_cannot_be_decoded_are_refused_by_name(tmp_path):
    file = TinySeries(UID).write(tmp_path)[0]
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(DataError, match=rf"DCM007.*{file.name}"):
        read_series(sort_slices(scan_folder(tmp_path).slices))


def test_a_compression_without_a_decoder_is_the_machines_fault(tmp_path, monkeypatch):
    _, slices = write(tmp_path)
    monkeypatch.setattr("medbundles.io.dicom_volume.can_decode", lambda _: False)
    with pytest.raises(EnvironmentFailure, match=r"DCM009.*medbundles\[dicom\]"):
        read_series(slices)
