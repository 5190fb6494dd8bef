from __future__ import annotations

import json

import nibabel
import numpy as np
import pytest

from medbundles.errors import DataError
from medbundles.io.datalist import read_datalist
from medbundles.io.images import write_volume
from medbundles.prepare.nnunet import prepare

SHAPE = (20, 18, 12)
AFFINE = np.diag([-0.8, -0.8, 2.0, 1.0])


def write_dataset(root, channels=("MR",), cases=5, tests=0, labeled_tests=True, ending=".nii.gz", **changes):
    generator = np.random.default_rng(0)
    for folder, count in (("Tr", cases), ("Ts", tests)):
        for number in range(count):
            name = f"lung {folder}_{number:03d}"
            for channel in range(len(channels)):
                values = generator.normal(100 * (channel + 1), 20, SHAPE).astype(np.float32)
                write_volume(root / f"images{folder}" / f"{name}_{channel:04d}{ending}", values, AFFINE)
            label = np.zeros(SHAPE, np.uint8)
            label[5:9, 5:9, 4:8] = 1
            if folder == "Tr" or labeled_tests:
                write_volume(root / f"labels{folder}" / f"{name}{ending}", label, AFFINE)
    content = {
        "channel_names": {str(n): name for n, name in enumerate(channels)},
        "labels": {"background": 0, "nodule": 1},
        "numTraining": cases,
        "file_ending": ending,
    }
    (root / "dataset.json").write_text(json.dumps(content | changes))
    return root


def test_one_channel_becomes_one_image_a_case(tmp_path):
    source = write_dataset(tmp_path / "Dataset001_Lung")
    report = prepare(source, tmp_path / "out", workers=1)
    lists = read_datalist(tmp_path / "out")
    assert report.cases == {"training": 4, "testing": 1}
    assert {record["image"] for part in lists.values() for record in part} == {
        f"images/lung Tr_{number:03d}.nii.gz" for number in range(5)
    }
    assert {record["fold"] for record in lists["training"]} <= set(range(5))


def test_channels_keep_their_order_and_names(tmp_path):
    source = write_dataset(tmp_path / "Dataset002_Brain", channels=("T1", "T2/FLAIR"))
    prepare(source, tmp_path / "out", workers=1)
    record = read_datalist(tmp_path / "out")["training"][0]
    assert [path.rsplit("_", 1)[1] for path in record["image"]] == ["T1.nii.gz", "T2-FLAIR.nii.gz"]
    means = [nibabel.load(tmp_path / "out" / path).get_fdata().mean() for path in record["image"]]
    assert means == pytest.approx([100, 200], abs=3)


def test_labeled_test_images_are_the_test_part(tmp_path):
    source = write_dataset(tmp_path / "Dataset003_Lung", tests=2)
    report = prepare(source, tmp_path / "out", workers=1)
    assert report.cases == {"training": 5, "testing": 2}


def test_test_images_without_labels_stay_where_they_are(tmp_path):
    source = write_dataset(tmp_path / "Dataset004_Lung", tests=2, labeled_tests=False)
    report = prepare(source, tmp_path / "out", workers=1)
    assert sum(report.cases.values()) == 5
    assert any("2 test images without labels" in finding.message for finding in report.findings)


def test_other_formats_are_converted_on_their_own_grid(tmp_path):
    source = write_dataset(tmp_path / "Dataset005_Lung", ending=".nii")
    prepare(source, tmp_path / "out", workers=1)
    image = nibabel.load(tmp_path / "out" / "images" / "lung Tr_000.nii.gz")
    assert np.allclose(image.affine, AFFINE)
    assert image.shape == SHAPE


def test_files_of_version_1_are_understood(tmp_path):
    changes = {"channel_names": None, "modality": {"0": "MRI"}, "labels": {"0": "background", "1": "nodule"}}
    source = write_dataset(tmp_path / "Task06_Lung", **changes)
    assert prepare(source, tmp_path / "out", workers=1).options["labels"] == {"background": [0], "nodule": [1]}


def test_what_is_missing_is_named_at_once(tmp_path):
    source = write_dataset(tmp_path / "Dataset006_Brain", channels=("T1", "T2"))
    (source / "imagesTr" / "lung Tr_001_0001.nii.gz").unlink()
    (source / "labelsTr" / "lung Tr_003.nii.gz").unlink()
    with pytest.raises(DataError) as refusal:
        prepare(source, tmp_path / "out")
    found = {(finding.code, finding.case) for finding in refusal.value.findings if finding.level == "error"}
    assert found == {("NII008", "lung Tr_001"), ("NII016", "lung Tr_003")}
    assert not (tmp_path / "out").exists()


def test_a_label_value_that_dataset_json_does_not_know_is_refused(tmp_path):
    source = write_dataset(tmp_path / "Dataset007_Lung")
    write_volume(source / "labelsTr" / "lung Tr_002.nii.gz", np.full(SHAPE, 7, np.uint8), AFFINE)
    with pytest.raises(DataError, match="NII016") as refusal:
        prepare(source, tmp_path / "out")
    assert refusal.value.findings[0].case == "lung Tr_002"


def test_a_label_on_another_grid_is_refused(tmp_path):
    source = write_dataset(tmp_path / "Dataset008_Lung")
    write_volume(source / "labelsTr" / "lung Tr_002.nii.gz", np.ones(SHAPE, np.uint8), np.diag([1.0, 1.0, 2.0, 1.0]))
    with pytest.raises(DataError, match="NII004"):
        prepare(source, tmp_path / "out")


@pytest.mark.parametrize("content", ["", "[]", '{"labels": {"background": 0}}'])
def test_a_damaged_dataset_json_is_refused(tmp_path, content):
    source = write_dataset(tmp_path / "Dataset009_Lung", cases=1)
    (source / "dataset.json").write_text(content)
    with pytest.raises(DataError) as refusal:
        prepare(source, tmp_path / "out")
    assert refusal.value.findings[0].file == "dataset.json"


def test_a_second_run_reuses_what_is_there(tmp_path):
    source = write_dataset(tmp_path / "Dataset010_Lung")
    prepare(source, tmp_path / "out", workers=1)
    assert prepare(source, tmp_path / "out", workers=1, overwrite=True).reused == 5


def test_the_source_stays_as_it_was(tmp_path):
    source = write_dataset(tmp_path / "Dataset011_Lung")
    before = {path: path.read_bytes() for path in source.rglob("*") if path.is_file()}
    prepare(source, tmp_path / "out", workers=1)
    prepare(source, tmp_path / "out", workers=1, overwrite=True)
    assert {path: path.read_bytes() for path in source.rglob("*") if path.is_file()} == before
