"""What changes voxels: bias correction, registration, resampling; and what is told from a label's values."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import numpy.typing as npt
import pytest
from brats_layout import AFFINE, contrast, tumor, write, write_brats
from scipy import ndimage

from medbundles.checks.label_sets import LabelSet, choose_label_set, detect_label_set
from medbundles.components.bias_correction import correct_bias
from medbundles.components.registration import describe_movement
from medbundles.errors import DataError, Finding
from medbundles.io.contrasts import ContrastSource, Layout
from medbundles.io.grids import to_world
from medbundles.prepare._label_grid import map_labels, resample_labels
from medbundles.prepare.brats import prepare

Array = npt.NDArray[Any]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDBUNDLES_CACHE", str(tmp_path / "cache"))


def head(tissue: tuple[float, float], shape: tuple[int, ...] = (40, 44, 36)) -> Array:
    """Return a smooth head of two tissues, whose brightness is given; 0 outside."""
    fine = ndimage.zoom(np.random.default_rng(0).random([size // 4 for size in shape]), 4, order=3)
    center = (np.array(shape) - 1) / 2
    depth = np.linalg.norm(
        (np.indices(shape) - center.reshape(3, 1, 1, 1)) / (center * 0.8).reshape(3, 1, 1, 1), axis=0
    )
    return np.where(depth < 1, tissue[0] + (tissue[1] - tissue[0]) * fine, 0).astype(np.float32)


def detect(*cases: set[int], layout: Layout = "BraTS 2015-2021") -> tuple[LabelSet | None, list[Finding]]:
    values = {f"case {number}": {0, *case} for number, case in enumerate(cases)}
    return detect_label_set(values, ContrastSource(layout, ("t1c",), ()))


@pytest.mark.parametrize(
    ("cases", "layout", "name"),
    [
        ([{1, 2}, {1, 2, 4}], "BraTS 2015-2021", "2021"),
        ([{1, 2}, {1, 2, 3}], "BraTS 2023", "2023"),
        ([{2}, set()], "BraTS 2023", "2023"),
        ([{1, 2, 3}, {1, 2, 3, 4}], "BraTS 2015-2021", "2015"),
        ([{1, 2, 4}], "pattern", "2021"),
    ],
)
def test_a_numbering_is_told_by_all_labels_together(cases: list[set[int]], layout: Layout, name: str) -> None:
    chosen, findings = detect(*cases, layout=layout)
    assert chosen is not None
    assert chosen.name == name
    assert [finding.level for finding in findings] == ["note"]


def test_a_3_under_older_names_is_taken_for_enhancing_tumor_with_a_warning() -> None:
    chosen, findings = detect({1, 2, 3})
    assert chosen is not None
    assert chosen.mapping[3] == 3
    assert [finding.level for finding in findings] == ["warning", "note"]


@pytest.mark.parametrize(
    ("cases", "layout", "said"),
    [
        ([{1}], "BraTS 2015-2021", "--labels"),
        ([{1, 2}], "pattern", "--label_set"),
        ([{1, 2, 3, 4}], "BraTS 2023", "--label_set 2024"),
        ([{1, 2, 4}], "BraTS 2023", "--label_set 2021"),
        ([{1, 2, 3}, {1, 2, 4}], "BraTS 2015-2021", "prepare each on its own"),
    ],
)
def test_values_that_may_mean_several_things_are_refused(cases: list[set[int]], layout: Layout, said: str) -> None:
    chosen, (finding,) = detect(*cases, layout=layout)
    assert chosen is None
    assert (finding.code, finding.level) == ("NII010", "error")
    assert said in finding.fix


def test_a_cavity_of_2024_is_no_tumor() -> None:
    chosen = choose_label_set(2024)
    assert chosen is not None
    assert map_labels(np.arange(5), chosen.mapping).tolist() == [0, 1, 2, 3, 0]


def test_labels_on_coarser_voxels_keep_their_borders_and_volumes() -> None:
    fine = np.zeros((24, 24, 24), np.uint8)
    fine[4:16, 4:16, 4:16], fine[8:16, 8:16, 8:16] = 2, 3
    grid = np.diag([2.0, 2.0, 2.0, 1.0])
    grid[:3, 3] = 0.5
    coarse = resample_labels(fine, np.eye(4), (grid, (12, 12, 12)))
    for value in (2, 3):
        assert 8 * np.count_nonzero(coarse == value) == pytest.approx(np.count_nonzero(fine == value), rel=0.15)
    assert set(np.unique(coarse)) == {0, 2, 3}


def test_spacing_brings_images_and_labels_to_cubes_of_the_same_place(tmp_path: Path) -> None:
    affine = AFFINE @ np.diag([1.0, 1.0, 2.0, 1.0])
    for number in range(2):
        folder = write_brats(tmp_path / "in", f"p{number}", number)
        for path in folder.iterdir():
            write(path, np.asanyarray(nibabel.load(path).dataobj), affine)
    prepare(tmp_path / "in", tmp_path / "out", spacing=1, folds=2, workers=1)
    image = nibabel.load(tmp_path / "out" / "images" / "p0_t1c.nii.gz")
    label = nibabel.load(tmp_path / "out" / "labels" / "p0.nii.gz")
    assert image.shape == label.shape == (16, 16, 32)
    assert image.header.get_zooms() == pytest.approx((1, 1, 1))
    middle = to_world(image.affine, (np.array(image.shape) - 1) / 2)
    assert middle == pytest.approx(to_world(affine, np.full(3, 7.5)))
    assert np.count_nonzero(label.dataobj) == pytest.approx(2 * np.count_nonzero(tumor()), rel=0.1)
    enhancing = np.asanyarray(label.dataobj) == 3
    assert np.median(image.get_fdata()[enhancing]) == pytest.approx(900, abs=60)


def test_a_bias_field_is_taken_out_and_the_mean_stays() -> None:
    clean = head((80, 120))
    field = np.exp(0.4 * (np.indices(clean.shape)[0] - 20) / 20)
    corrected, uneven = correct_bias((clean * field).astype(np.float32), np.eye(4), clean > 0)
    inside = clean > 0
    before, after = ((image[inside] / clean[inside]) for image in (clean * field, corrected))
    assert after.std() / after.mean() < 0.25 * before.std() / before.mean()
    assert corrected[inside].mean() == pytest.approx((clean * field)[inside].mean(), rel=1e-3)
    assert uneven > 1.3


def test_an_image_without_a_brain_has_no_bias() -> None:
    image = np.zeros((8, 8, 8), np.float32)
    corrected, uneven = correct_bias(image, np.eye(4), image > 0)
    assert np.array_equal(corrected, image)
    assert uneven == 1.0


def test_bias_correction_of_a_data_set_says_how_uneven_it_was(tmp_path: Path) -> None:
    for number in range(2):
        write(tmp_path / "in" / f"p{number}_t1c.nii.gz", head((80 + number, 120)))
        write(tmp_path / "in" / f"p{number}_seg.nii.gz", (head((1, 1)) > 0).astype(np.uint8))
    options: dict[str, Any] = {"contrasts": "t1c", "pattern": "{case}_{contrast}", "labels": {1: "tissue"}}
    prepare(tmp_path / "in", tmp_path / "out", bias_correction=True, folds=2, workers=1, **options)
    cases = json.loads((tmp_path / "out" / "fingerprint.json").read_text())["cases"]
    assert 1.0 <= cases["p0"]["bias"]["t1c"] < 1.5


def moved_case(root: Path, case: str, seed: int, shift: float) -> None:
    """Write a T1c, and a T2-FLAIR that says it lies elsewhere."""
    wrong = AFFINE.copy()
    wrong[0, 3] += shift
    write(root / f"{case}_t1c.nii.gz", head((80 + seed, 160)), AFFINE)
    write(root / f"{case}_t2f.nii.gz", head((200 + seed, 90)), wrong)
    write(root / f"{case}_seg.nii.gz", (head((1, 1)) > 0).astype(np.uint8), AFFINE)


MOVED: dict[str, Any] = {"contrasts": "t1c,t2f", "pattern": "{case}_{contrast}", "labels": {1: "x"}, "folds": 2}


def test_a_displaced_contrast_is_moved_back_and_the_movement_is_told(tmp_path: Path) -> None:
    pytest.importorskip("dipy", reason="the extra dwi is not installed")
    moved_case(tmp_path / "in", "a", 0, 4.0)
    moved_case(tmp_path / "in", "b", 1, 0.0)
    prepare(tmp_path / "in", tmp_path / "out", register=True, workers=1, **MOVED)
    cases = json.loads((tmp_path / "out" / "fingerprint.json").read_text())["cases"]
    figures = cases["a"]["registration"]["t2f"]
    assert figures["moved"]
    assert figures["translation_mm"] == pytest.approx([4, 0, 0], abs=0.7)
    assert figures["rotation_degrees"] < 3
    assert not cases["b"]["registration"]["t2f"]["moved"]
    image = nibabel.load(tmp_path / "out" / "images" / "a_t2f.nii.gz")
    inside = head((1, 1)) > 0
    assert np.allclose(image.affine, AFFINE)
    assert np.corrcoef(image.get_fdata()[inside], head((200, 90))[inside])[0, 1] > 0.9


def test_a_case_without_the_contrast_to_register_to_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("dipy", reason="the extra dwi is not installed")
    moved_case(tmp_path / "in", "a", 0, 0.0)
    (tmp_path / "in" / "a_t1c.nii.gz").unlink()
    with pytest.raises(DataError, match=r"NII008.*to which the others shall be registered.*--reference"):
        prepare(tmp_path / "in", tmp_path / "out", register=True, allow="NII008", workers=1, **MOVED)


def test_a_movement_is_described_about_the_brain() -> None:
    turn = np.eye(4)
    turn[:2, :2] = [[0, -1], [1, 0]]
    angle, shift = describe_movement(turn, (10.0, 0.0, 5.0))
    assert angle == pytest.approx(90)
    assert shift == pytest.approx((-10, 10, 0))


def test_a_contrast_that_lies_beside_the_others_is_taken_voxel_by_voxel_when_allowed(tmp_path: Path) -> None:
    for number in range(2):
        folder = write_brats(tmp_path / "in", f"p{number}", number)
        wrong = AFFINE.copy()
        wrong[2, 3] += 3
        write(folder / f"p{number}-t2w.nii.gz", contrast("t2w", number), wrong)
    prepare(tmp_path / "in", tmp_path / "out", allow="NII004", folds=2, workers=1)
    image = nibabel.load(tmp_path / "out" / "images" / "p0_t2w.nii.gz")
    assert np.allclose(image.affine, AFFINE)
    assert np.array_equal(np.asanyarray(image.dataobj), contrast("t2w", 0))
