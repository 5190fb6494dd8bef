"""A Decathlon task becomes a prepared folder; what is wrong with it is said at once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medbundles.checks.dataset import check_dataset
from medbundles.errors import DataError
from medbundles.io.datalist import read_datalist
from medbundles.io.images import read_volume, write_volume
from medbundles.io.plan import read_plan
from medbundles.prepare.decathlon import prepare
from medbundles.prepare.report import PreparationReport
from tests.decathlon_layout import AFFINE, SHAPE, write_task


def run(source: Path, output: Path, **options: Any) -> PreparationReport:
    return prepare(source, output, workers=1, **{"folds": 2, **options})


def dataset_json(source: Path, **changes: Any) -> None:
    file = source / "dataset.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def test_images_and_labels_come_as_they_are(tmp_path: Path) -> None:
    source = write_task(tmp_path / "Task99_Organ")
    report = run(source, tmp_path / "out")
    assert report.cases == {"training": 5, "testing": 1}
    stored = (tmp_path / "out" / "images" / "case_003.nii.gz").read_bytes()
    assert stored == (source / "imagesTr" / "case_003.nii.gz").read_bytes()
    assert not check_dataset(tmp_path / "out", label_values=(0, 1, 2), channels=["MRI"])


def test_several_channels_stay_in_one_file(tmp_path: Path) -> None:
    run(write_task(tmp_path / "Task98_Two", channels=("T2", "ADC")), tmp_path / "out")
    record = read_datalist(tmp_path / "out")["training"][0]
    assert read_volume(tmp_path / "out" / record["image"]).array.shape == (*SHAPE, 2)
    assert read_plan(tmp_path / "out")["channels"] == ["T2", "ADC"]
    assert not check_dataset(tmp_path / "out", label_values=(0, 1, 2), channels=["T2", "ADC"])


def test_nnunet_s_layout_is_read_as_well(tmp_path: Path) -> None:
    source = write_task(tmp_path / "Dataset001_Organ", training=[], channel_names={"0": "MRI"}, file_ending=".nii.gz")
    labels = {"background": 0, "organ": 1, "tumor": 2}
    dataset_json(source, labels=labels)
    for image in sorted((source / "imagesTr").iterdir()):
        image.rename(image.with_name(image.name.replace(".nii.gz", "_0000.nii.gz")))
    assert run(source, tmp_path / "out").cases == {"training": 5, "testing": 1}
    assert read_plan(tmp_path / "out")["labels"] == {"1": "organ", "2": "tumor"}


def test_the_split_does_not_depend_on_the_order_of_the_list(tmp_path: Path) -> None:
    parts = []
    for name, reverse in (("one", False), ("other", True)):
        source = write_task(tmp_path / name)
        listed = json.loads((source / "dataset.json").read_text())["training"]
        dataset_json(source, training=listed[::-1] if reverse else listed)
        run(source, tmp_path / f"out_{name}")
        parts.append(read_datalist(tmp_path / f"out_{name}"))
    assert parts[0] == parts[1]


def test_the_plan_comes_from_training_cases_alone(tmp_path: Path) -> None:
    source = write_task(tmp_path / "task", channels=("CT",), around=-1000.0)
    run(source, tmp_path / "first")
    tested = read_datalist(tmp_path / "first")["testing"][0]["case"]
    file = source / "imagesTr" / f"{tested}.nii.gz"
    write_volume(file, read_volume(file).array + np.float32(300), AFFINE)
    run(source, tmp_path / "second")
    assert read_plan(tmp_path / "first") == read_plan(tmp_path / "second")


def test_the_same_image_twice_stays_in_one_part(tmp_path: Path) -> None:
    source = write_task(tmp_path / "task")
    for number in (1, 2, 3):
        copy = (source / "imagesTr" / "case_000.nii.gz").read_bytes()
        (source / "imagesTr" / f"case_{number:03d}.nii.gz").write_bytes(copy)
    report = run(source, tmp_path / "out")
    assert sum(finding.code == "NII014" for finding in report.findings) == 3
    records = [record for part in read_datalist(tmp_path / "out").values() for record in part]
    same = [record for record in records if record["case"] < "case_004"]
    assert len({(record["subject"], record.get("fold")) for record in same}) == 1


def test_an_interrupted_preparation_goes_on(tmp_path: Path) -> None:
    source = write_task(tmp_path / "task")
    run(source, tmp_path / "out")
    (tmp_path / "out" / "datalist.json").unlink()
    assert run(source, tmp_path / "out").reused == 6


def test_everything_that_is_wrong_with_the_list_is_said_at_once(tmp_path: Path) -> None:
    source = write_task(tmp_path / "task")
    listed = json.loads((source / "dataset.json").read_text())["training"]
    absent = {"image": "./imagesTr/case_777.nii.gz", "label": "./labelsTr/case_777.nii.gz"}
    outside = {"image": "../elsewhere/a.nii.gz", "label": "./labelsTr/case_001.nii.gz"}
    dataset_json(source, training=[*listed, listed[0], absent, outside])
    with pytest.raises(DataError) as caught:
        run(source, tmp_path / "out")
    told = str(caught.value)
    assert "case case_000, dataset.json: the case is listed twice" in told
    assert "case case_777, imagesTr/case_777.nii.gz: the image is listed and not there" in told
    assert "lies outside of the folder" in told
    assert not (tmp_path / "out").exists()


def test_a_label_that_the_list_does_not_name_is_refused(tmp_path: Path) -> None:
    source = write_task(tmp_path / "task", labels={"0": "background", "1": "organ"})
    label = read_volume(source / "labelsTr" / "case_002.nii.gz")
    write_volume(source / "labelsTr" / "case_002.nii.gz", label.array * 7, AFFINE)
    with pytest.raises(DataError, match=r"NII016.*case_002.*label values 7"):
        run(source, tmp_path / "out")


def test_an_image_with_other_channels_than_the_rest_is_refused(tmp_path: Path) -> None:
    source = write_task(tmp_path / "task", channels=("T2", "ADC"))
    write_volume(source / "imagesTr" / "case_001.nii.gz", np.random.default_rng(0).random((*SHAPE, 3)), AFFINE)
    with pytest.raises(DataError, match=r"NII016.*case_001.*expected a 4D volume with 2 channels"):
        run(source, tmp_path / "out")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"modality": {"0": "T2", "1": "T2"}}, "modality has T2 twice"),
        ({"labels": {"0": "background", "1": "organ", "2": "organ"}}, "labels has organ twice"),
        ({"labels": {"1": "organ"}}, "0 for the background"),
        ({"labels": {"zero": "background"}}, "missing or damaged"),
        ({"modality": {}}, "0 channels"),
        ({"training": [{"image": "a"}]}, "missing or damaged"),
        ({"training": "many"}, "missing or damaged"),
    ],
)
def test_a_description_that_cannot_be_meant_is_refused(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    source = write_task(tmp_path / "task", cases=2)
    dataset_json(source, **changes)
    with pytest.raises(DataError, match=f"NII016.*{said}"):
        run(source, tmp_path / "out")


def test_images_that_are_not_listed_are_told(tmp_path: Path) -> None:
    source = write_task(tmp_path / "task")
    listed = json.loads((source / "dataset.json").read_text())["training"]
    dataset_json(source, training=listed[:5], numTraining=6)
    told = " ".join(finding.message for finding in run(source, tmp_path / "out").findings)
    assert "1 images are not listed and left out, case_005.nii.gz for instance" in told
    assert "numTraining is 6, 5 cases are there" in told


def test_a_folder_without_a_description_is_refused(tmp_path: Path) -> None:
    (tmp_path / "task" / "imagesTr").mkdir(parents=True)
    with pytest.raises(DataError, match=r"TRN011.*no dataset\.json in task"):
        run(tmp_path / "task", tmp_path / "out")
