"""Synthetic brains with tumors: layout, anatomy, what each contrast shows, and what depends on the seed."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from medbundles.errors import ConfigurationError, OutputConflict
from medbundles.samples import brain_tumor_mri_segmentation as samples
from medbundles.samples.tumor.case import TumorCase, make_case

pytest.importorskip("nilearn", reason="the extra dwi, which brings the template, is not installed")
# Of this seed case 0 has a ring around a necrosis, with edema.
SEED = 5


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("samples") / "brats"
    samples.write_samples(root, cases=1, seed=SEED, workers=1)
    return root


@pytest.fixture(scope="module")
def case(folder: Path) -> TumorCase:
    files = {name: nib.load(folder / samples.case_name(0) / f"{samples.case_name(0)}-{name}.nii.gz")
             for name in ("t1n", "t1c", "t2w", "t2f", "seg")}  # fmt: skip
    volumes = {name: np.asarray(image.dataobj) for name, image in files.items()}
    label = volumes.pop("seg")
    return TumorCase(volumes, label, json.loads((folder / "samples.json").read_text())["samples"][0])


def z(case: TumorCase, contrast: str) -> np.ndarray:
    values = case.images[contrast].astype(float)
    inside = values > 0
    return (values - values[inside].mean()) / values[inside].std()


def test_files_lie_as_in_the_challenges_since_2023(folder: Path) -> None:
    found = sorted(path.name for path in (folder / "BraTS-GLI-00000-000").iterdir())
    assert found == [f"BraTS-GLI-00000-000-{name}.nii.gz" for name in ("seg", "t1c", "t1n", "t2f", "t2w")]


def test_grid_and_type_are_those_of_the_challenges(folder: Path) -> None:
    image = nib.load(folder / "BraTS-GLI-00000-000" / "BraTS-GLI-00000-000-t1c.nii.gz")
    assert image.shape == (240, 240, 155)
    assert nib.aff2axcodes(image.affine) == ("L", "P", "S")
    assert image.get_data_dtype() == np.int16


def test_the_tumor_lies_in_the_brain(case: TumorCase) -> None:
    assert set(np.unique(case.label)) == {0, 1, 2, 3}
    assert bool((case.images["t1n"][case.label > 0] > 0).all())


def test_a_brain_is_as_large_as_brains_are(case: TumorCase) -> None:
    assert 1100 < (case.images["t1n"] > 0).sum() / 1000 < 2000


def test_all_contrasts_have_the_same_brain(case: TumorCase) -> None:
    masks = [image > 0 for image in case.images.values()]
    assert all(np.array_equal(masks[0], mask) for mask in masks[1:])


def test_enhancing_tumor_is_what_contrast_agent_brightens(case: TumorCase) -> None:
    gained = z(case, "t1c") - z(case, "t1n")
    assert gained[case.label == 3].mean() > gained[case.label == 1].mean() + 0.5


def test_edema_is_bright_in_flair(case: TumorCase) -> None:
    healthy = (case.images["t2f"] > 0) & (case.label == 0)
    values = z(case, "t2f")
    assert values[case.label == 2].mean() > np.percentile(values[healthy], 80)


def test_fluid_is_bright_in_t2_and_dark_in_flair(case: TumorCase) -> None:
    brightest = (z(case, "t2w") > np.percentile(z(case, "t2w")[case.images["t2w"] > 0], 98)) & (case.label == 0)
    assert np.median(z(case, "t2f")[brightest]) < 0


def test_a_tumor_of_the_left_half_lies_at_high_indices(case: TumorCase) -> None:
    # The first axis runs to the left.
    center = case.record["tumors"][0]["center_mm"][0]
    middle = np.argwhere(case.label > 0)[:, 0].mean()
    assert np.sign(middle - 120) == -np.sign(center)


def test_edema_is_not_brighter_than_white_matter_before_contrast_agent(case: TumorCase) -> None:
    healthy = (case.images["t1n"] > 0) & (case.label == 0)
    values = z(case, "t1n")
    assert np.median(values[case.label == 2]) < np.percentile(values[healthy], 75)


def test_volumes_are_recorded(case: TumorCase) -> None:
    measured = {name: round(float((case.label == value).sum()) / 1000, 3) for name, value in
                (("ncr", 1), ("ed", 2), ("et", 3))}  # fmt: skip
    assert case.record["volumes_ml"] == measured


def test_a_case_depends_on_the_seed_and_its_number_alone(case: TumorCase) -> None:
    again = make_case(SEED, 0)
    assert np.array_equal(again.label, case.label)
    assert all(np.array_equal(again.images[name], case.images[name]) for name in case.images)


def test_what_is_there_is_kept(folder: Path) -> None:
    file = folder / "BraTS-GLI-00000-000" / "BraTS-GLI-00000-000-t1n.nii.gz"
    before = file.stat().st_mtime_ns
    samples.write_samples(folder, cases=1, seed=SEED, workers=1)
    assert file.stat().st_mtime_ns == before


def test_an_interrupted_folder_is_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    monkeypatch.setattr(samples, "_write_case", lambda task: made.append(task.case) or ({"case": task.case}, []))
    for cases in (1, 3):
        samples.write_samples(tmp_path / "new", cases=cases, workers=1)
    assert made == [0, 1, 2]


def test_fewer_cases_than_there_are_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "_write_case", lambda task: ({"case": task.case}, []))
    samples.write_samples(tmp_path / "new", cases=2, workers=1)
    with pytest.raises(OutputConflict, match="holds 2 cases"):
        samples.write_samples(tmp_path / "new", cases=1, workers=1)


def test_another_seed_in_the_same_folder_is_refused(folder: Path) -> None:
    with pytest.raises(OutputConflict, match="seed"):
        samples.write_samples(folder, cases=1, seed=SEED + 1, workers=1)


def test_a_folder_with_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years")
    with pytest.raises(OutputConflict, match="no samples"):
        samples.write_samples(tmp_path, cases=1)


@pytest.mark.parametrize(("option", "value"), [("cases", 0), ("seed", -1)])
def test_options_out_of_range_are_refused(tmp_path: Path, option: str, value: int) -> None:
    with pytest.raises(ConfigurationError, match=option):
        samples.write_samples(tmp_path / "new", **{option: value})
