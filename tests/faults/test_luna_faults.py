"""LUN001 to LUN008 through the real command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from luna_layout import COLUMNS, TinyScan, rows_of, tiny_scans, write_annotations, write_luna


@pytest.fixture
def prepare(medbundles_command, tmp_path):
    def run(source: Path, *options: object):
        return medbundles_command(
            "prepare", "luna16", "--source", source, "--output", tmp_path / "out", "--workers", 1, *options
        )

    return run


@pytest.fixture
def source(tmp_path) -> Path:
    return write_luna(tmp_path / "luna", tiny_scans(3), subsets=3)


def report_of(tmp_path: Path) -> dict:
    return json.loads((tmp_path / "out" / "report.json").read_text())


def codes_of(report: dict) -> list[str]:
    return [finding["code"] for finding in report["findings"]]


def line_with(code: str, text: str) -> str:
    return next(line for line in text.splitlines() if f"[{code}]" in line)


def first_scan(source: Path) -> Path:
    return min(source.glob("subset0/*.mhd"))


def test_a_missing_raw_file_is_refused_with_the_bytes_it_should_have_lun001(prepare, source, tmp_path):
    scan = first_scan(source)
    size = scan.with_suffix(".raw").stat().st_size
    scan.with_suffix(".raw").unlink()
    result = prepare(source)
    line = line_with("LUN001", result.stderr)
    assert result.returncode == 3
    assert all(text in line for text in (scan.stem, scan.name, f"{scan.stem}.raw", str(size)))
    assert not (tmp_path / "out").exists()


def test_a_raw_file_that_is_too_short_is_refused_with_expected_and_found_bytes_lun001(prepare, source):
    scan = first_scan(source)
    raw = scan.with_suffix(".raw")
    size = raw.stat().st_size
    raw.write_bytes(raw.read_bytes()[: size // 2])
    result = prepare(source)
    line = line_with("LUN001", result.stderr)
    assert result.returncode == 3
    assert all(text in line for text in (scan.stem, scan.name, str(size), str(size // 2)))


def test_a_center_outside_its_volume_is_refused_lun002(prepare, source, tmp_path):
    series = first_scan(source).stem
    rows = rows_of(tiny_scans(3)) * 20  # one in forty is a slip, not a system
    write_annotations(source / "annotations.csv", [*rows, (series, 500, 500, 500, 5)])
    result = prepare(source)
    line = line_with("LUN002", result.stderr)
    assert result.returncode == 3
    assert series in line
    assert "annotations.csv" in line
    assert "voxel instead of world" not in result.stderr
    assert not (tmp_path / "out").exists()


def test_a_table_in_voxel_coordinates_is_recognized_lun002(prepare, source):
    write_annotations(source / "annotations.csv", [(scan.series, 14, 15, 6, 7) for scan in tiny_scans(3)])
    result = prepare(source)
    assert result.returncode == 3
    assert "voxel instead of world coordinates?" in result.stderr


def test_bad_cases_can_be_left_out_and_the_command_ends_with_7(prepare, source, tmp_path):
    series = first_scan(source).stem
    write_annotations(source / "annotations.csv", [*rows_of(tiny_scans(3)) * 20, (series, 500, 500, 500, 5)])
    result = prepare(source, "--skip-bad-cases")
    assert result.returncode == 7
    report = report_of(tmp_path)
    assert report["skipped"] == [series]
    assert not (tmp_path / "out" / "images" / f"{series}.nii.gz").exists()


def test_a_duplicate_annotation_is_merged_and_noted_lun003(prepare, source, tmp_path):
    rows = rows_of(tiny_scans(3))
    write_annotations(source / "annotations.csv", [*rows, rows[0]])
    assert prepare(source).returncode == 0
    report = report_of(tmp_path)
    assert codes_of(report).count("LUN003") == 1
    assert report["counts"]["nodules"] == len(rows)


def test_annotations_of_series_that_are_not_there_are_one_warning_lun004(prepare, source, tmp_path):
    absent = [("1.2.826.9.7", 0, 0, 0, 5), ("1.2.826.9.8", 0, 0, 0, 5), ("1.2.826.9.8", 9, 9, 9, 5)]
    write_annotations(source / "annotations.csv", [*rows_of(tiny_scans(3)), *absent])
    result = prepare(source)
    assert result.returncode == 0
    assert result.stderr.count("LUN004") == 1
    assert "3 annotations of 2 series" in line_with("LUN004", result.stderr)


@pytest.mark.parametrize("diameter", [0, -3, 61])
def test_a_diameter_that_is_none_is_refused_lun005(prepare, source, diameter):
    scan = tiny_scans(1)[0]
    write_annotations(source / "annotations.csv", [(scan.series, *scan.nodules[0][0], diameter)])
    result = prepare(source)
    line = line_with("LUN005", result.stderr)
    assert result.returncode == 3
    assert all(text in line for text in (scan.series, "annotations.csv", "row 2", f"{diameter} mm"))


def test_a_row_can_be_left_out_by_allowing_its_fault_lun005(prepare, source, tmp_path):
    scans = tiny_scans(3)
    write_annotations(source / "annotations.csv", [*rows_of(scans), (scans[0].series, *scans[0].to_lps((9, 9, 3)), 0)])
    assert prepare(source, "--allow", "LUN005").returncode == 0
    report = report_of(tmp_path)
    assert report["counts"]["nodules"] == len(rows_of(scans))
    assert next(f for f in report["findings"] if f["code"] == "LUN005")["level"] == "warning"


def test_a_byte_order_mark_and_decimal_commas_are_read_lun006(prepare, source, tmp_path):
    table = source / "annotations.csv"
    text = table.read_text().replace(",", ";").replace(".", ",")
    for scan in tiny_scans(3):
        text = text.replace(scan.series.replace(".", ","), scan.series)
    table.write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert prepare(source).returncode == 0
    assert report_of(tmp_path)["counts"]["nodules"] == len(rows_of(tiny_scans(3)))


def test_a_missing_column_is_refused_naming_row_and_column_lun006(prepare, source):
    rows = [row[:4] for row in rows_of(tiny_scans(3))]
    write_annotations(source / "annotations.csv", rows, COLUMNS[:4])
    result = prepare(source)
    line = line_with("LUN006", result.stderr)
    assert result.returncode == 3
    assert all(text in line for text in ("annotations.csv", "row 1", '"diameter_mm"'))


def test_a_field_that_is_no_number_is_refused_naming_row_and_column_lun006(prepare, source):
    rows = rows_of(tiny_scans(3))
    write_annotations(source / "annotations.csv", [rows[0], (*rows[1][:2], "left", *rows[1][3:])])
    result = prepare(source)
    line = line_with("LUN006", result.stderr)
    assert result.returncode == 3
    assert all(text in line for text in ("annotations.csv", "row 3", '"coordY"', "'left'"))


def test_incomplete_subsets_are_a_warning_with_the_expected_count_lun007(prepare, source):
    result = prepare(source)
    assert result.returncode == 0
    assert "expected 888" in line_with("LUN007", result.stderr)


def test_a_small_data_set_in_all_ten_folders_is_complete_in_itself_lun007(prepare, source, tmp_path):
    for number in range(3, 10):
        (source / f"subset{number}").mkdir()
    assert "LUN007" not in prepare(source).stderr
    assert next(f for f in report_of(tmp_path)["findings"] if f["code"] == "LUN007")["level"] == "note"


def test_a_nodule_between_voxel_centers_keeps_its_center_voxel_lun008(prepare, tmp_path):
    scan = TinyScan("1.2.826.9.1", spacing=(1.0, 1.0, 6.0)).add((15.5, 15.5, 6.5), 0.9)
    source = write_luna(tmp_path / "luna", [scan])
    assert prepare(source, "--mask-rule", "sphere").returncode == 0
    note = next(finding for finding in report_of(tmp_path)["findings"] if finding["code"] == "LUN008")
    assert (note["level"], note["case"], note["file"]) == ("note", scan.series, "annotations.csv")


def test_all_faults_of_a_source_are_shown_at_once(prepare, source):
    scan = first_scan(source)
    scan.with_suffix(".raw").unlink()
    other = tiny_scans(3)[1]
    write_annotations(source / "annotations.csv", [(other.series, 500, 500, 500, 5), (other.series, 1, 1, 1, 0)])
    result = prepare(source)
    assert all(f"[{code}]" in result.stderr for code in ("LUN001", "LUN002", "LUN005"))


def test_a_scan_that_is_not_in_hounsfield_units_is_refused_before_there_is_a_data_list(prepare, source, tmp_path):
    scan = first_scan(source)
    raw = scan.with_suffix(".raw")
    (np.fromfile(raw, "<i2") + 1024).astype("<i2").tofile(raw)
    result = prepare(source)
    line = line_with("NII013", result.stderr)
    assert result.returncode == 3
    assert scan.stem in line
    assert scan.name in line
    assert not (tmp_path / "out" / "datalist.json").exists()


def test_a_finished_folder_is_not_overwritten_unless_asked(prepare, source, tmp_path):
    assert prepare(source).returncode == 0
    before = (tmp_path / "out" / "datalist.json").read_bytes()
    assert prepare(source).returncode == 6
    again = prepare(source, "--overwrite", "--json")
    assert again.returncode == 0
    assert json.loads(again.stdout)["reused"] == 3
    assert (tmp_path / "out" / "datalist.json").read_bytes() == before


def test_a_folder_without_scans_is_refused(prepare, tmp_path):
    result = prepare(tmp_path)
    assert result.returncode == 3
    assert "TRN011" in result.stderr


def test_options_that_cannot_be_meant_end_with_2_all_at_once(prepare, source):
    result = prepare(source, "--split", "randomly", "--folds", 0, "--test-fraction", 2, "--mask-rule", "cube")
    assert result.returncode == 2
    assert result.stderr.count("CFG002") == 4
