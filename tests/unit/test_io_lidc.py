"""The readers' XML as it is read."""

from __future__ import annotations

import pytest
from lidc_layout import TinyNodule, TinyReader, TinySeries, square, two_readers, write_xml

from medbundles.errors import DataError
from medbundles.io.lidc import find_readings, is_lidc, read_reading, read_series_uid

SERIES = TinySeries("1.2.826.10.3")


def test_outlines_keep_their_points_slice_and_rating(tmp_path):
    reading = read_reading(write_xml(tmp_path / "a.xml", SERIES, two_readers()))
    (nodule,) = reading.readers[0].nodules
    assert reading.series_uid == SERIES.uid
    assert [reader.nodules[0].malignancy for reader in reading.readers] == [4, 5]
    assert nodule.outlines[0].points == tuple(square((12, 12), (17, 17)))
    assert nodule.outlines[0].sop_uid == SERIES.sop(2)
    assert nodule.outlines[0].z_mm == SERIES.height(2)


def test_single_points_are_marks_of_their_kind(tmp_path):
    path = write_xml(tmp_path / "a.xml", SERIES, [TinyReader(small=[(1, (5, 6))], others=[(2, (7, 8))])])
    (reader,) = read_reading(path).readers
    assert reader.nodules == ()
    assert [(mark.kind, mark.point) for mark in reader.marks] == [("below 3 mm", (5, 6)), ("non-nodule", (7, 8))]


def test_a_single_point_on_one_slice_of_a_nodule_stays_with_it(tmp_path):
    item = TinyNodule({1: [(5, 5)], 2: square((4, 4), (6, 6))})
    (reader,) = read_reading(write_xml(tmp_path / "a.xml", SERIES, [TinyReader([item])])).readers
    assert len(reader.nodules[0].outlines) == 2
    assert reader.marks == ()


def test_inclusion_false_is_a_hole(tmp_path):
    item = TinyNodule({1: square((4, 4), (9, 9))}, holes={1: square((6, 6), (7, 7))})
    (reader,) = read_reading(write_xml(tmp_path / "a.xml", SERIES, [TinyReader([item])])).readers
    assert [outline.included for outline in reader.nodules[0].outlines] == [True, False]


@pytest.mark.parametrize("rating", [None, 0, 6])
def test_a_nodule_may_be_without_a_rating(tmp_path, rating):
    item = TinyNodule({1: square((4, 4), (9, 9))}, malignancy=rating)
    (reader,) = read_reading(write_xml(tmp_path / "a.xml", SERIES, [TinyReader([item])])).readers
    assert reader.nodules[0].malignancy is None


@pytest.mark.parametrize("root", ["IdriReadMessage", "html"])
def test_other_xml_belongs_to_no_ct(tmp_path, root):
    assert read_series_uid(write_xml(tmp_path / "a.xml", SERIES, [], root=root)) is None


def test_all_xml_files_are_found_whatever_their_case(tmp_path):
    paths = [write_xml(tmp_path / name, SERIES, []) for name in ("a/1.xml", "b/2.XML")]
    assert find_readings(tmp_path) == paths


@pytest.mark.parametrize("place", ["LIDC-IDRI-0001", "manifest-1/LIDC-IDRI/LIDC-IDRI-0001"])
@pytest.mark.parametrize("name", ["series/1-001.dcm", "readings.xml"])
def test_the_layout_is_known_by_its_folders_and_what_is_in_them(tmp_path, place, name):
    path = tmp_path / place / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    assert is_lidc(tmp_path)
    assert not is_lidc(tmp_path / place)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("<xCoord>11</xCoord>", "<xCoord>eleven</xCoord>", "xCoord is 'eleven'"),
        ("<xCoord>11</xCoord>", "<xCoord>nan</xCoord>", "xCoord is 'nan'"),
        ("<xCoord>11</xCoord>", "", "xCoord is missing"),
        (f"<imageSOP_UID>{SERIES.sop(2)}</imageSOP_UID>", "", "imageSOP_UID is missing"),
        (f"<SeriesInstanceUid>{SERIES.uid}</SeriesInstanceUid>", "", "no SeriesInstanceUid"),
        ("</LidcReadMessage>", "", "not well-formed"),
        ("LidcReadMessage", "IdriReadMessage", "its root is no LidcReadMessage"),
    ],
)
def test_a_damaged_xml_is_refused_with_what_is_wrong(tmp_path, before, after, said):
    path = write_xml(tmp_path / "069.xml", SERIES, two_readers())
    path.write_text(path.read_text().replace(before, after))
    with pytest.raises(DataError, match=rf"LUN011\] 069.xml: .*{said}"):
        read_reading(path)


def test_an_empty_file_is_refused(tmp_path):
    (tmp_path / "069.xml").touch()
    with pytest.raises(DataError, match="LUN011"):
        read_series_uid(tmp_path / "069.xml")
