"""LUN004 and LUN009 to LUN011 through the real command line."""

from __future__ import annotations

import json

from lidc_layout import TinyReader, TinySeries, cube, two_readers, write_case, write_xml

SERIES = TinySeries("1.2.826.10.2")


def line_with(code: str, text: str) -> str:
    return next(line for line in text.splitlines() if f"[{code}]" in line)


def report_of(tmp_path):
    return json.loads((tmp_path / "out" / "report.json").read_text())


def nodules_of(tmp_path):
    (record,) = json.loads((tmp_path / "out" / "datalist.json").read_text())["training"]
    return record["nodules"]


def test_an_xml_of_another_series_is_refused_with_both_uids_lun009(prepare_lidc, tmp_path):
    folder = write_case(tmp_path / "lidc", SERIES)
    write_xml(folder / "069.xml", SERIES, two_readers(), uid="1.2.3.4")
    write_case(tmp_path / "lidc", TinySeries("1.2.826.10.3", patient="LIDC-IDRI-0002"))
    result = prepare_lidc()
    line = line_with("LUN009", result.stderr)
    assert result.returncode == 3
    assert f"case {SERIES.uid}" in line
    assert "1.2.3.4" in line
    assert not (tmp_path / "out").exists()


def test_outlines_on_slices_that_are_not_there_are_refused_or_left_out_lun009(prepare_lidc, tmp_path):
    longer = TinySeries(SERIES.uid, shape=(32, 30, 12))
    folder = write_case(tmp_path / "lidc", SERIES)
    both = [TinyReader([*reader.nodules, cube((22, 8), (24, 10), (10, 11))]) for reader in two_readers()]
    write_xml(folder / "069.xml", longer, both)
    result = prepare_lidc()
    line = line_with("LUN009", result.stderr)
    assert result.returncode == 3
    assert all(text in line for text in ("069.xml", "4 outlines", SERIES.uid, longer.sop(10), "--allow"))
    assert prepare_lidc("--allow", "LUN009").returncode == 0
    assert len(nodules_of(tmp_path)) == 1


def test_an_outline_beyond_the_slices_edge_is_refused_lun009(prepare_lidc, tmp_path):
    readers = [*two_readers(), TinyReader([cube((28, 8), (40, 10), (3,))])]
    write_case(tmp_path / "lidc", SERIES, readers)
    result = prepare_lidc()
    line = line_with("LUN009", result.stderr)
    assert result.returncode == 3
    assert all(text in line for text in ("069.xml", "(41, ", "(32, 30)", SERIES.uid))


def test_a_height_that_is_not_the_slices_is_a_warning_lun009(prepare_lidc, tmp_path):
    folder = write_case(tmp_path / "lidc", SERIES)
    write_xml(folder / "069.xml", SERIES, two_readers(), height=lambda z: -z)
    result = prepare_lidc()
    assert result.returncode == 0
    assert "115 instead of -115 mm" in line_with("LUN009", result.stderr)
    assert len(nodules_of(tmp_path)) == 1


def test_points_on_slices_that_are_not_there_are_counted_lun009(prepare_lidc, tmp_path):
    longer = TinySeries(SERIES.uid, shape=(32, 30, 12))
    folder = write_case(tmp_path / "lidc", SERIES)
    write_xml(folder / "069.xml", longer, [*two_readers(), TinyReader(small=[(10, (5, 5)), (11, (5, 5))])])
    assert prepare_lidc().returncode == 0
    (finding,) = [finding for finding in report_of(tmp_path)["findings"] if finding["code"] == "LUN009"]
    assert (finding["level"], finding["message"][:8]) == ("note", "2 points")


def test_two_different_xml_files_of_one_series_are_refused_lun009(prepare_lidc, tmp_path):
    folder = write_case(tmp_path / "lidc", SERIES)
    write_xml(folder / "070.xml", SERIES, [TinyReader()])
    result = prepare_lidc()
    line = line_with("LUN009", result.stderr)
    assert result.returncode == 3
    assert all(text in line for text in (SERIES.uid, "069.xml", "070.xml"))


def test_a_series_without_an_xml_is_left_out_with_a_warning_lun010(prepare_lidc, tmp_path):
    write_case(tmp_path / "lidc", SERIES)
    alone = TinySeries("1.2.826.10.3", patient="LIDC-IDRI-0002")
    alone.write(tmp_path / "lidc" / alone.patient)
    result = prepare_lidc()
    assert result.returncode == 0
    assert f"warning[LUN010] case {alone.uid}" in result.stderr
    assert report_of(tmp_path)["counts"]["CT series without readings"] == 1


def test_a_folder_without_any_xml_is_refused_lun010(prepare_lidc, tmp_path):
    SERIES.write(tmp_path / "lidc" / "LIDC-IDRI-0001")
    result = prepare_lidc()
    assert result.returncode == 3
    assert "--annotations_dir" in line_with("LUN010", result.stderr)


def test_a_damaged_xml_is_refused_with_its_place_lun011(prepare_lidc, tmp_path):
    xml = write_case(tmp_path / "lidc", SERIES) / "069.xml"
    xml.write_text(xml.read_text()[:-40])
    result = prepare_lidc()
    line = line_with("LUN011", result.stderr)
    assert result.returncode == 3
    assert all(text in line for text in (f"case {SERIES.uid}", "069.xml", "line 2"))


def test_xml_files_of_series_that_are_not_on_disk_are_one_warning_lun004(prepare_lidc, tmp_path):
    folder = write_case(tmp_path / "lidc", SERIES)
    for number in range(3):
        write_xml(tmp_path / "xml" / f"{number}.xml", SERIES, [], uid=f"1.2.3.{number}")
    (folder / "069.xml").rename(tmp_path / "xml" / "069.xml")
    result = prepare_lidc("--annotations_dir", tmp_path / "xml")
    assert result.returncode == 0
    assert line_with("LUN004", result.stderr).count("3 XML files") == 1


def test_check_knows_the_layout_and_says_the_same(medbundles_command, tmp_path):
    write_case(tmp_path / "lidc", TinySeries(SERIES.uid, shape=(32, 30, 1)))
    answer = medbundles_command("check", "lung_nodule_ct_segmentation", tmp_path / "lidc")
    assert answer.returncode == 3
    assert "raw source in LIDC-IDRI's layout" in answer.stdout
    assert "[DCM001]" in answer.stderr


def test_a_series_left_out_by_choice_is_no_stray_lun009(prepare_lidc, tmp_path):
    folder = write_case(tmp_path / "lidc", SERIES)
    other = TinySeries("1.2.826.10.3")
    for file in other.write(tmp_path / "other"):
        file.rename(folder / f"second-{file.name}")
    write_xml(tmp_path / "lidc" / "x" / "1.xml", other, two_readers())
    result = prepare_lidc("--series", other.uid)
    assert result.returncode == 0, result.stderr
    assert "LUN009" not in result.stderr
