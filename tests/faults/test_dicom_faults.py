"""DCM001 to DCM015 through the real command line, which reads DICOM in ``prepare lidc``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from lidc_layout import TinySeries, file_name, two_readers, write_case, write_xml
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGLSLossless

UID = "1.2.826.10.2"


@pytest.fixture
def write(tmp_path):
    """Write one series with its XML; return its folder."""

    def run(edit=None) -> Path:
        return write_case(tmp_path / "lidc", TinySeries(UID, edit=edit))

    return run


def line_with(code: str, text: str) -> str:
    return next(line for line in text.splitlines() if f"[{code}]" in line)


def assert_refused(result, code: str, *said: str, status: int = 3) -> None:
    line = line_with(code, result.stderr)
    assert result.returncode == status
    assert all(text in line for text in (f"error[{code}]", UID, *said)), line


def findings_of(tmp_path: Path) -> dict[str, dict[str, str]]:
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    return {finding["code"]: finding for finding in report["findings"]}


def edit_slice(place: int, **values):
    def edit(data, number):
        if number == place:
            for name, value in values.items():
                setattr(data, name, value)

    return edit


def without(tag: str, place: int = 3):
    def edit(data, number):
        if number == place:
            delattr(data, tag)

    return edit


def test_a_missing_slice_is_refused_with_its_place_dcm001(prepare_lidc, write, tmp_path):
    (write() / file_name(3)).unlink()
    assert_refused(prepare_lidc(), "DCM001", "-115.00 and -110.00 mm (1 missing)")
    assert not (tmp_path / "out").exists()


def test_the_same_slice_twice_is_dropped_with_a_warning_dcm002(prepare_lidc, write, tmp_path):
    folder = write()
    (folder / "copy.dcm").write_bytes((folder / file_name(3)).read_bytes())
    result = prepare_lidc()
    assert result.returncode == 0, result.stderr
    assert findings_of(tmp_path)["DCM002"]["level"] == "warning"


def test_other_pixels_at_one_place_are_refused_dcm002(prepare_lidc, write):
    write(edit_slice(3, ImagePositionPatient=[-12, -10, -115]))
    assert_refused(prepare_lidc(), "DCM002", "-115.00 mm", ".dcm")


def test_a_second_series_in_the_folder_is_listed_and_the_one_with_readings_taken_dcm003(prepare_lidc, write, tmp_path):
    folder = write()
    for file in TinySeries("1.2.826.10.77").write(tmp_path / "other"):
        file.rename(folder / f"second-{file.name}")
    result = prepare_lidc()
    assert result.returncode == 0, result.stderr
    message = findings_of(tmp_path)["DCM003"]["message"]
    assert f"{UID} (CT, 8 slices, used)" in message
    assert "1.2.826.10.77 (CT, 8 slices, left out)" in message


def test_an_overview_inside_the_series_is_left_out_with_a_warning_dcm004(prepare_lidc, write, tmp_path):
    folder = write()
    overview = TinySeries(UID, shape=(64, 64, 9), edit=edit_slice(8, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]))
    (file,) = overview.write(tmp_path / "overview", [8])
    file.rename(folder / "overview.dcm")
    result = prepare_lidc()
    assert result.returncode == 0, result.stderr
    assert findings_of(tmp_path)["DCM004"]["file"] == "overview.dcm"


def test_a_tilted_gantry_is_refused_dcm005(prepare_lidc, write):
    def tilt(data, number):
        data.ImagePositionPatient = [-12, -10 + 0.5 * number, -120 + 2.5 * number]

    write(tilt)
    assert_refused(prepare_lidc(), "DCM005", "11.3 degrees", ".dcm")


def test_a_ct_without_its_slope_is_refused_dcm006(prepare_lidc, write):
    write(without("RescaleSlope"))
    assert_refused(prepare_lidc(), "DCM006", "1 of 8 slices", file_name(3))


def test_pixels_cut_short_are_refused_with_expected_and_found_bytes_dcm007(prepare_lidc, write):
    file = write() / file_name(3)
    file.write_bytes(file.read_bytes()[:-500])
    assert_refused(prepare_lidc(), "DCM007", file.name, "1920", "1420")


def test_a_file_cut_in_its_header_is_refused_dcm007(prepare_lidc, write):
    file = write() / file_name(3)
    file.write_bytes(file.read_bytes()[:200])
    assert_refused(prepare_lidc(), "DCM007", file.name, "200 bytes")


def test_junk_among_the_slices_is_skipped_and_counted_dcm008(prepare_lidc, write, tmp_path):
    folder = write()
    for name in ("DICOMDIR", "notes.txt"):
        (folder / name).write_text("nothing")
    assert prepare_lidc().returncode == 0
    assert findings_of(tmp_path)["DCM008"]["message"].startswith("2 files")


def test_a_compression_without_a_decoder_ends_with_4_and_names_the_extra_dcm009(prepare_lidc, write):
    from pydicom.pixels.decoders import JPEGLSLosslessDecoder

    if JPEGLSLosslessDecoder.is_available:
        pytest.skip("a JPEG-LS decoder is installed")

    def compress(data, _):
        data.file_meta.TransferSyntaxUID = JPEGLSLossless
        data.PixelData = encapsulate([data.PixelData])
        data["PixelData"].is_undefined_length = True

    write(compress)
    assert_refused(prepare_lidc(), "DCM009", "JPEG-LS", "medbundles[dicom]", status=4)


def test_a_multi_frame_file_is_refused_dcm010(prepare_lidc, write):
    write(edit_slice(0, NumberOfFrames=4))
    assert_refused(prepare_lidc(), "DCM010", "4 frames", "NIfTI")


def test_a_folder_without_a_dicom_file_is_refused_dcm011(prepare_lidc, tmp_path):
    write_xml(tmp_path / "lidc" / "069.xml", TinySeries(UID), two_readers())
    result = prepare_lidc()
    assert result.returncode == 3
    assert "error[DCM011] lidc:" in result.stderr


def test_readings_of_another_modality_are_refused_dcm012(prepare_lidc, tmp_path):
    write_case(tmp_path / "lidc", TinySeries(UID, modality="MR"))
    assert_refused(prepare_lidc(), "DCM012", "series of MR, expected CT")


def test_padding_becomes_air_and_is_noted_dcm013(prepare_lidc, write, tmp_path):
    def pad(data, _):
        data.add_new("PixelPaddingValue", "SS", -2000)
        data.PixelData = (-2000).to_bytes(2, "little", signed=True) * 96 + data.PixelData[192:]

    write(pad)
    assert prepare_lidc().returncode == 0
    assert findings_of(tmp_path)["DCM013"]["message"].startswith("10.0 % of the voxels")


def test_color_pixels_are_refused_dcm013(prepare_lidc, write):
    write(edit_slice(3, PhotometricInterpretation="RGB"))
    assert_refused(prepare_lidc(), "DCM013", "RGB", file_name(3))


@pytest.mark.parametrize("tag", ["ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"])
def test_a_slice_that_does_not_say_where_it_lies_is_refused_dcm014(prepare_lidc, write, tag):
    write(without(tag))
    assert_refused(prepare_lidc(), "DCM014", tag, file_name(3))


def test_slices_of_different_pixel_spacing_are_refused_dcm015(prepare_lidc, write):
    write(edit_slice(3, PixelSpacing=[0.9, 0.8]))
    assert_refused(prepare_lidc(), "DCM015", file_name(3))
