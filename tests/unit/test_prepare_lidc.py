from __future__ import annotations

import json
import shutil

import nibabel
import numpy as np
import pytest
from lidc_layout import TinyReader, TinySeries, cube, file_name, tiny_collection, two_readers, write_case, write_xml
from pydicom.uid import generate_uid

from medbundles.errors import ConfigurationError, DataError, OutputConflict, PartialFailure
from medbundles.io.datalist import read_datalist
from medbundles.io.grids import flip_lps, to_index
from medbundles.prepare.lidc import prepare

SERIES = TinySeries("1.2.826.10.5")


@pytest.fixture
def convert(tmp_path):
    """Write one series with these readers, prepare it and return its record."""

    def run(*readers, series=SERIES, **options):
        write_case(tmp_path / "lidc", series, list(readers))
        return next(iter(records_of(tmp_path, **options).values()))

    return run


def records_of(tmp_path, **options):
    options = {"folds": 1, "test_fraction": 0.0, "workers": 1, "overwrite": True} | options
    prepare(tmp_path / "lidc", tmp_path / "out", **options)
    lists = read_datalist(tmp_path / "out")
    return {record["case"]: record for record in lists["training"] + lists["testing"]}


def label_of(tmp_path, record):
    return np.asanyarray(nibabel.load(tmp_path / "out" / record["label"]).dataobj)


def bytes_of(output):
    files = [path for path in output.rglob("*") if path.is_file() and ".prepare" not in path.parts]
    return {path.relative_to(output): path.read_bytes() for path in files}


def test_image_and_label_keep_the_scans_own_grid(convert, tmp_path):
    record = convert(*two_readers())
    image, label = (nibabel.load(tmp_path / "out" / record[key]) for key in ("image", "label"))
    assert np.array_equal(np.asanyarray(image.dataobj), SERIES.hounsfield())
    assert (image.get_data_dtype(), label.get_data_dtype()) == (np.int16, np.uint8)
    assert np.allclose(to_index(image.affine, flip_lps(SERIES.place(7))), (0, 0, 7), atol=1e-3)
    assert np.array_equal(image.affine, label.affine)


def test_the_label_is_what_enough_readers_share(convert, tmp_path):
    label = label_of(tmp_path, convert(*two_readers()))
    assert set(zip(*map(tuple, np.nonzero(label)), strict=True)) == {
        (x, y, z) for x in range(12, 18) for y in range(12, 18) for z in (2, 3, 4)
    }


def test_fewer_readers_may_be_asked_for(convert, tmp_path):
    assert label_of(tmp_path, convert(*two_readers(), minimum_readers=1)).sum() == 7 * 6 * 3


def test_a_nodule_is_described_by_its_consensus(convert):
    (nodule,) = convert(*two_readers())["nodules"]
    center = np.add(SERIES.place(3), (14.5 * 0.8, 14.5 * 0.7, 0))
    assert np.allclose(nodule["center_lps_mm"], center, atol=1e-3)
    assert nodule["diameter_mm"] == pytest.approx((6 * 108 * 0.8 * 0.7 * 2.5 / np.pi) ** (1 / 3), abs=1e-3)
    assert (nodule["malignancy"], nodule["malignant"], nodule["readers"]) == (4.5, True, 2)


@pytest.mark.parametrize(
    ("ratings", "malignancy", "malignant"),
    [([4, 2, 4, 2], 3.0, True), ([5, 3, 3, 3], 3.0, False), ([5, None], 5.0, None), ([None, None], None, None)],
)
def test_malignant_is_the_verdict_of_luna16s_table(convert, ratings, malignancy, malignant):
    readers = [TinyReader([cube((12, 12), (17, 17), (2, 3), rating)]) for rating in ratings]
    (nodule,) = convert(*readers)["nodules"]
    assert (nodule["malignancy"], nodule["malignant"]) == (malignancy, malignant)


def test_what_too_few_readers_saw_is_excluded_and_not_in_the_label(convert, tmp_path):
    alone = cube((22, 8), (24, 10), (5, 6))
    record = convert(TinyReader([cube((12, 12), (17, 17), (2, 3)), alone]), two_readers()[1])
    (excluded,) = record["excluded"]
    assert (excluded["reason"], excluded["readers"]) == ("too few readers", 1)
    assert np.allclose(excluded["center_lps_mm"][:2], np.add(SERIES.position[:2], (23 * 0.8, 9 * 0.7)), atol=1e-3)
    assert excluded["diameter_mm"] == pytest.approx((6 * 18 * 0.8 * 0.7 * 2.5 / np.pi) ** (1 / 3), abs=1e-3)
    assert label_of(tmp_path, record)[22:25, 8:11].sum() == 0


def test_points_of_several_readers_are_one_excluded_finding_of_unknown_size(convert):
    marked = [TinyReader(small=[(6, (20, 9))]), TinyReader(small=[(6, (21, 9))]), TinyReader(others=[(6, (20, 9))])]
    excluded = convert(*marked)["excluded"]
    assert [(e["reason"], e["readers"], e["diameter_mm"]) for e in excluded] == [
        ("below 3 mm", 2, None),
        ("non-nodule", 1, None),
    ]


def test_a_point_within_a_nodule_is_not_excluded(convert):
    record = convert(*two_readers(), TinyReader(small=[(3, (14, 14))]))
    assert record["excluded"] == []


def test_a_scan_in_which_nobody_saw_anything_is_a_negative_case(convert, tmp_path):
    record = convert(TinyReader(), TinyReader())
    assert (record["nodules"], record["excluded"]) == ([], [])
    assert not label_of(tmp_path, record).any()


def test_no_patient_is_in_two_parts(tmp_path):
    for number in range(12):
        write_case(tmp_path / "lidc", TinySeries(f"1.2.826.10.6.{number}", patient=f"LIDC-IDRI-{number // 2:04d}"))
    records = records_of(tmp_path, folds=2, test_fraction=0.3)
    parts = {}
    for record in records.values():
        parts.setdefault(record["subject"], set()).add(record.get("fold", "testing"))
    assert len(records) == 12
    assert len(parts) == 6
    assert all(len(places) == 1 for places in parts.values())


def test_the_same_voxels_under_two_patients_are_one_subject(tmp_path):
    hounsfield = SERIES.hounsfield()
    for number in range(2):
        series = TinySeries(f"1.2.826.10.7.{number}", patient=f"LIDC-IDRI-{number:04d}")
        series.hounsfield = lambda: hounsfield
        write_case(tmp_path / "lidc", series)
    assert {record["subject"] for record in records_of(tmp_path, folds=2).values()} == {"LIDC-IDRI-0000"}


def test_annotations_may_lie_in_a_folder_of_their_own(tmp_path):
    folder = write_case(tmp_path / "lidc", SERIES)
    (tmp_path / "xml" / "157").mkdir(parents=True)
    shutil.move(folder / "069.xml", tmp_path / "xml" / "157" / "158.xml")
    records = records_of(tmp_path, annotations_dir=tmp_path / "xml")
    assert [len(record["nodules"]) for record in records.values()] == [1]


def test_of_several_xml_files_the_one_that_names_the_series_is_taken(tmp_path):
    folder = write_case(tmp_path / "lidc", SERIES)
    write_xml(folder / "001.xml", SERIES, [TinyReader()], uid="1.2.3")
    assert [len(record["nodules"]) for record in records_of(tmp_path).values()] == [1]


def test_series_in_one_flat_folder_are_told_apart(tmp_path):
    for number in range(2):
        series = TinySeries(f"1.2.826.10.8.{number}", edit=None)
        for file in series.write(tmp_path / "each"):
            (tmp_path / "lidc").mkdir(exist_ok=True)
            file.rename(tmp_path / "lidc" / f"{generate_uid()}.dcm")
        write_xml(tmp_path / "lidc" / f"{number}.xml", series, two_readers())
    assert sorted(records_of(tmp_path)) == ["1.2.826.10.8.0", "1.2.826.10.8.1"]


def test_only_the_series_asked_for_is_converted(tmp_path):
    tiny_collection(tmp_path / "lidc")
    assert list(records_of(tmp_path, series=["1.2.826.10.9.2"])) == ["1.2.826.10.9.2"]


def test_xray_images_are_left_out_in_silence(tmp_path, capsys):
    tiny_collection(tmp_path / "lidc", 1)
    xray = TinySeries("1.2.826.10.4", modality="DX", shape=(20, 20, 1))
    xray.write(tmp_path / "lidc" / "LIDC-IDRI-0001" / "x")
    write_xml(tmp_path / "lidc" / "LIDC-IDRI-0001" / "x" / "1.xml", xray, [], root="IdriReadMessage")
    report = prepare(tmp_path / "lidc", tmp_path / "out", folds=1, test_fraction=0, workers=1)
    assert report.counts["X-ray series"] == report.counts["XML files of other kinds"] == 1
    assert report.findings == ()
    assert capsys.readouterr().err == ""


def test_bytes_do_not_depend_on_the_number_of_workers(tmp_path):
    tiny_collection(tmp_path / "lidc")
    for workers in (1, 2):
        prepare(tmp_path / "lidc", tmp_path / str(workers), workers=workers)
    assert bytes_of(tmp_path / "1") == bytes_of(tmp_path / "2")


def test_an_interrupted_preparation_continues_with_the_same_result(tmp_path):
    tiny_collection(tmp_path / "lidc")
    prepare(tmp_path / "lidc", tmp_path / "whole", workers=1)
    prepare(tmp_path / "lidc", tmp_path / "out", workers=1)
    (tmp_path / "out" / "datalist.json").unlink()
    next((tmp_path / "out" / "images").iterdir()).unlink()
    assert prepare(tmp_path / "lidc", tmp_path / "out", workers=1).reused == 2
    assert bytes_of(tmp_path / "out") == bytes_of(tmp_path / "whole")


def test_another_number_of_readers_converts_again(tmp_path):
    tiny_collection(tmp_path / "lidc", 1)
    prepare(tmp_path / "lidc", tmp_path / "out", folds=1, workers=1)
    report = prepare(tmp_path / "lidc", tmp_path / "out", folds=1, workers=1, minimum_readers=1, overwrite=True)
    assert report.reused == 0


def test_the_report_is_what_the_file_holds(convert, tmp_path):
    convert(*two_readers(), TinyReader(small=[(6, (20, 9))]))
    written = json.loads((tmp_path / "out" / "report.json").read_text())
    assert written["counts"] == {"nodules": 1, "malignant": 1, "below 3 mm (excluded)": 1}
    assert written["options"]["minimum_readers"] == 2


def test_nodules_that_enclose_nothing_are_kept_and_noted(convert, tmp_path):
    tiny = [TinyReader([cube((12, 12), (11, 11), (2,))]) for _ in range(2)]
    record = convert(*tiny)
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert label_of(tmp_path, record).sum() == 1
    assert [finding["code"] for finding in report["findings"]] == ["LUN008"]


def test_a_bad_case_can_be_left_out(tmp_path):
    tiny_collection(tmp_path / "lidc", 2)
    broken = TinySeries("1.2.826.10.9.9", patient="LIDC-IDRI-0009")
    (write_case(tmp_path / "lidc", broken) / file_name(3)).unlink()
    report = prepare(tmp_path / "lidc", tmp_path / "out", folds=1, workers=1, skip_bad_cases=True)
    assert report.skipped == ("1.2.826.10.9.9",)
    with pytest.raises(PartialFailure):
        report.raise_if_partial()


@pytest.mark.parametrize(
    "option",
    [{"minimum_readers": 0}, {"minimum_readers": 5}, {"minimum_readers": "two"}, {"annotations_dir": "nowhere"}],
)
def test_options_that_cannot_be_meant_are_refused(tmp_path, option):
    with pytest.raises(ConfigurationError, match=next(iter(option))):
        prepare(tmp_path, tmp_path / "out", **option)


def test_a_series_that_is_not_there_cannot_be_asked_for(tmp_path):
    tiny_collection(tmp_path / "lidc", 1)
    with pytest.raises(DataError, match=r"TRN011.*1\.2\.3"):
        prepare(tmp_path / "lidc", tmp_path / "out", series=["1.2.3"])


def test_a_patient_id_is_required(tmp_path):
    write_case(tmp_path / "lidc", TinySeries("1.2.826.10.5", patient="LIDC-IDRI-0001", edit=_nameless))
    with pytest.raises(DataError, match=r"DCM014.*PatientID"):
        prepare(tmp_path / "lidc", tmp_path / "out")


def _nameless(data, _):
    data.PatientID = ""


def test_a_prepared_folder_is_not_written_over(convert, tmp_path):
    convert(*two_readers())
    with pytest.raises(OutputConflict, match="TRN005"):
        prepare(tmp_path / "lidc", tmp_path / "out")


def test_readers_who_share_no_voxel_leave_an_excluded_finding(convert, tmp_path):
    apart = [TinyReader([cube((12, 12), (13, 13), (2,))]), TinyReader([cube((14, 12), (15, 13), (2,))])]
    record = convert(*apart)
    assert record["nodules"] == []
    assert [excluded["reason"] for excluded in record["excluded"]] == ["no common voxel"]
