from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import nibabel
import numpy as np
import pytest
from luna_layout import COLUMNS, TinyScan, rows_of, tiny_scans, write_annotations, write_luna

from medbundles.errors import ConfigurationError, DataError, OutputConflict
from medbundles.io.datalist import read_datalist
from medbundles.io.grids import flip_lps, to_index
from medbundles.io.locks import FolderLock
from medbundles.prepare.luna16 import prepare

TABLES = ("datalist.json", "fingerprint.json", "report.json")


@pytest.fixture
def source(tmp_path):
    return write_luna(tmp_path / "luna", tiny_scans(6))


def records_of(output):
    lists = read_datalist(output)
    return {record["case"]: record for record in lists["training"] + lists["testing"]}


def bytes_of(output):
    files = [path for path in output.rglob("*") if path.is_file() and ".prepare" not in path.parts]
    return {path.relative_to(output): path.read_bytes() for path in files}


def test_images_keep_voxels_type_and_a_rotated_grid(tmp_path):
    angle = 0.3
    turned = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, -1]])
    scan = TinyScan("1.2.826.9.1", directions=turned, spacing=(0.7, 0.9, 2.5)).add((15, 14, 6), 8)
    prepare(write_luna(tmp_path / "luna", [scan]), tmp_path / "out", workers=1)
    image = nibabel.load(tmp_path / "out" / "images" / "1.2.826.9.1.nii.gz")
    corner = flip_lps(scan.to_lps((31, 29, 13)))
    assert image.get_data_dtype() == np.int16
    assert np.array_equal(np.asanyarray(image.dataobj), scan.voxels())
    assert np.allclose(to_index(image.affine, corner), (31, 29, 13), atol=1e-3)


def test_the_annotation_lies_in_the_label_of_its_own_scan(source, tmp_path):
    prepare(source, tmp_path / "out", workers=1)
    for record in records_of(tmp_path / "out").values():
        label = nibabel.load(tmp_path / "out" / record["label"])
        voxels = np.asanyarray(label.dataobj)
        assert label.get_data_dtype() == np.uint8
        assert bool(record["nodules"]) == voxels.any()
        for nodule in record["nodules"]:
            index = np.floor(to_index(label.affine, flip_lps(nodule["center_lps_mm"])) + 0.5).astype(int)
            assert voxels[tuple(index)] == 1


def test_malignancy_is_kept_and_rows_only_in_the_plain_table_are_added(source, tmp_path):
    rows = rows_of(tiny_scans(6))
    folder = source / "CSVFILES"
    folder.mkdir()
    with_verdict = [(*rows[0], "True"), (*rows[1], "False"), (*rows[2], "")]
    write_annotations(folder / "annotations_with_malignancy.csv", with_verdict, (*COLUMNS, "mal_bool"))
    report = prepare(source, tmp_path / "out", workers=1)
    found = {r["case"]: n["malignant"] for r in records_of(tmp_path / "out").values() for n in r["nodules"]}
    assert found == {rows[0][0]: True, rows[1][0]: False, rows[2][0]: None, rows[3][0]: None}
    assert "LUN003" not in {finding.code for finding in report.findings}


def test_bytes_do_not_depend_on_the_number_of_workers(source, tmp_path):
    prepare(source, tmp_path / "one", workers=1)
    prepare(source, tmp_path / "two", workers=2)
    assert bytes_of(tmp_path / "one") == bytes_of(tmp_path / "two")


def test_the_official_subsets_become_folds(tmp_path):
    prepare(write_luna(tmp_path / "luna", tiny_scans(10)), tmp_path / "out", split="luna16", workers=1)
    lists = read_datalist(tmp_path / "out")
    assert sorted(record["fold"] for record in lists["training"]) == list(range(8))
    assert sorted(record["fold"] for record in lists["testing"]) == [8, 9]


def test_official_folds_need_subset_folders(tmp_path):
    source = tmp_path / "luna"
    tiny_scans(1)[0].write(source)
    write_annotations(source / "annotations.csv", rows_of(tiny_scans(1)))
    with pytest.raises(ConfigurationError, match="subset0 to subset9"):
        prepare(source, tmp_path / "out", split="luna16")


def test_the_same_scan_under_two_names_is_one_subject(source, tmp_path):
    first = min(source.glob("subset0/*.mhd"))
    copy = source / "subset9" / "1.2.826.9.999.mhd"
    copy.parent.mkdir(exist_ok=True)
    copy.write_text(first.read_text().replace(f"{first.stem}.raw", "1.2.826.9.999.raw"))
    copy.with_suffix(".raw").write_bytes(first.with_suffix(".raw").read_bytes())
    report = prepare(source, tmp_path / "out", workers=1)
    records = records_of(tmp_path / "out")
    assert records["1.2.826.9.999"]["subject"] == records[first.stem]["subject"] == first.stem
    assert any(finding.code == "NII014" and finding.level == "warning" for finding in report.findings)


def test_a_series_in_two_folders_is_refused(source, tmp_path):
    tiny_scans(1)[0].write(source / "subset7")
    with pytest.raises(DataError, match="NII014"):
        prepare(source, tmp_path / "out")


def test_an_interrupted_preparation_continues_with_the_same_result(source, tmp_path):
    prepare(source, tmp_path / "whole", workers=1)
    output = tmp_path / "out"
    prepare(source, output, workers=1)
    for name in TABLES:
        (output / name).unlink()
    case = min((output / "images").iterdir())
    case.write_bytes(case.read_bytes()[:-7])  # damaged afterwards: made again
    (output / "images" / ".12345678-x.nii.gz").write_bytes(b"half")
    report = prepare(source, output, workers=1)
    assert report.reused == 5
    assert bytes_of(output) == bytes_of(tmp_path / "whole")


def test_only_what_changed_is_made_again(source, tmp_path):
    output = tmp_path / "out"
    prepare(source, output, workers=1)
    write_annotations(source / "annotations.csv", rows_of(tiny_scans(6))[:-1])
    assert prepare(source, output, workers=1, overwrite=True).reused == 5
    assert prepare(source, output, workers=1, overwrite=True, mask_rule="sphere").reused == 0


def test_cases_that_left_the_source_leave_the_output(source, tmp_path):
    output = tmp_path / "out"
    prepare(source, output, workers=1)
    gone = min(source.glob("subset0/*.mhd"))
    gone.unlink()
    prepare(source, output, workers=1, overwrite=True)
    assert gone.stem not in records_of(output)
    assert not (output / "images" / f"{gone.stem}.nii.gz").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="signals as POSIX has them")
@pytest.mark.parametrize(
    ("blow", "workers", "status"),
    [(signal.SIGKILL, 1, -signal.SIGKILL), (signal.SIGINT, 2, 130), (signal.SIGTERM, 2, 130)],
    ids=["kill -9", "ctrl-c", "kill"],
)
def test_a_stopped_preparation_leaves_no_data_list_and_can_be_continued(tmp_path, blow, workers, status):
    # So many that some are left when the first is seen, on a busy machine as well.
    scans = [TinyScan(f"1.2.826.9.{n}", shape=(150, 150, 40)).add((70, 70, 20), 9) for n in range(16)]
    source, output = write_luna(tmp_path / "luna", scans), tmp_path / "out"
    command = [sys.executable, "-m", "medbundles", "prepare", "luna16", "--source", source, "--output", output]
    # Jobs in the background of a shell ignore Ctrl-C, and so would their children: this one shall not.
    process = subprocess.Popen(
        [*map(str, command), "--workers", str(workers)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 60
    while not list(output.glob(".prepare/1.2.*.json")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(blow)
    assert process.wait() == status
    assert not (output / "datalist.json").exists()
    report = prepare(source, output, workers=1)
    assert 1 <= report.reused < 16
    assert len(records_of(output)) == 16
    assert not list(output.rglob(".????????-*"))


def test_a_folder_with_other_files_is_not_touched(source, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    with pytest.raises(OutputConflict, match="thesis"):
        prepare(source, tmp_path / "out")


def test_two_preparations_do_not_share_a_folder(source, tmp_path):
    lock = FolderLock(tmp_path / "out")
    lock.acquire()
    try:
        with pytest.raises(OutputConflict, match="TRN005"):
            prepare(source, tmp_path / "out")
    finally:
        lock.release()


def test_the_report_is_what_the_file_holds(source, tmp_path):
    report = prepare(source, tmp_path / "out", workers=1)
    written = json.loads((tmp_path / "out" / "report.json").read_text())
    assert written == report.as_dict()
    assert written["counts"] == {"nodules": 4, "malignant": 0, "masks by density": 4}


def test_a_table_is_required(tmp_path):
    tiny_scans(1)[0].write(tmp_path / "luna" / "subset0")
    with pytest.raises(DataError, match="LUN006"):
        prepare(tmp_path / "luna", tmp_path / "out")
