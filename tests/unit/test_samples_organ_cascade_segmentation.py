"""Synthetic livers with lesions: layout, anatomy, and what depends on the seed."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from medbundles.errors import ConfigurationError, OutputConflict
from medbundles.io.decathlon import read_task
from medbundles.samples import organ_cascade_segmentation as samples
from medbundles.samples.abdomen.case import LESION, LIVER, AbdomenCase, make_case


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("samples") / "Task99_Liver"
    samples.write_samples(root, cases=2, seed=4, workers=1)
    return root


@pytest.fixture(scope="module")
def case() -> AbdomenCase:
    return make_case(4, 0)


def test_files_lie_as_in_the_decathlon(folder: Path) -> None:
    raw, findings = read_task(folder)
    assert [(case.name, bool(case.label)) for case in raw.cases] == [("liver_000", True), ("liver_001", True)]
    assert raw.labels == {"background": (0,), "liver": (1,), "lesion": (2,)}
    assert not findings


def test_image_and_label_share_a_grid_in_ras(folder: Path) -> None:
    image, label = (nib.load(folder / part / "liver_000.nii.gz") for part in ("imagesTr", "labelsTr"))
    assert image.shape == label.shape
    assert np.array_equal(image.affine, label.affine)
    assert nib.aff2axcodes(image.affine) == ("R", "A", "S")


def test_the_liver_is_on_the_right_and_as_large_as_livers_are(case: AbdomenCase) -> None:
    places = nib.affines.apply_affine(case.affine, np.argwhere(case.label > 0))
    assert places[:, 0].mean() > 20
    assert 700 < case.record["liver_ml"] < 2600


def test_tissues_have_their_hounsfield_units(case: AbdomenCase) -> None:
    assert -1010 < np.median(case.image[0, 0]) < -990
    assert 40 < np.median(case.image[case.label == LIVER]) < 130


def test_lesions_are_darker_than_their_liver_and_surrounded_by_it(case: AbdomenCase) -> None:
    lesion = case.label == LESION
    assert lesion.any()
    assert np.median(case.image[lesion]) < np.median(case.image[case.label == LIVER]) - 5


def test_a_case_depends_on_the_seed_and_its_number_alone(folder: Path, case: AbdomenCase) -> None:
    stored = np.asarray(nib.load(folder / "imagesTr" / "liver_000.nii.gz").dataobj)
    assert np.array_equal(stored, case.image)
    assert make_case(5, 0).record != case.record


def test_an_interrupted_task_is_continued(folder: Path, tmp_path: Path) -> None:
    samples.write_samples(tmp_path / "task", cases=1, seed=4, workers=1)
    first = (tmp_path / "task" / "imagesTr" / "liver_000.nii.gz").stat().st_mtime_ns
    samples.write_samples(tmp_path / "task", cases=2, seed=4, workers=1)
    assert (tmp_path / "task" / "imagesTr" / "liver_000.nii.gz").stat().st_mtime_ns == first
    content = json.loads((tmp_path / "task" / "dataset.json").read_text())
    assert content["numTraining"] == 2
    assert content == json.loads((folder / "dataset.json").read_text())


def test_fewer_cases_than_there_are_are_refused(folder: Path) -> None:
    with pytest.raises(OutputConflict, match="2 cases of this seed"):
        samples.write_samples(folder, cases=1, seed=4)


def test_another_seed_does_not_mix_with_what_is_there(folder: Path) -> None:
    with pytest.raises(OutputConflict, match="seed"):
        samples.write_samples(folder, cases=2, seed=5)


def test_no_cases_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cases"):
        samples.write_samples(tmp_path / "task", cases=0)
