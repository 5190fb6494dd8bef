"""From probabilities to nodules with world coordinates, and the tables of a run."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from ignite.engine import Engine
from monai.data.meta_tensor import MetaTensor

from medbundles.components.handlers.nodule_tables import TABLES, NoduleTables
from medbundles.components.nodules import Nodule, find_nodules
from medbundles.components.regions import region_mask
from medbundles.components.transforms import LoadVolumed
from medbundles.errors import ConfigurationError, OutputConflict
from medbundles.io.images import write_volume

SPACING = (0.7, 0.8, 2.0)
# LPS axes, as most CT files have them.
AFFINE = np.array([[-0.7, 0, 0, 30.0], [0, -0.8, 0, 20.0], [0, 0, 2.0, -100.0], [0, 0, 0, 1.0]])


def ball(shape: tuple[int, int, int], center: tuple[int, int, int], radius_mm: float) -> npt.NDArray[np.bool_]:
    axes = np.ogrid[: shape[0], : shape[1], : shape[2]]
    squares = [((axis - middle) * edge) ** 2 for axis, middle, edge in zip(axes, center, SPACING, strict=True)]
    return np.asarray(sum(squares) <= radius_mm**2)


def probabilities() -> npt.NDArray[np.float32]:
    """Two nodules of 10 and 6 mm radius, with peaks of .7 and .95."""
    volume = np.zeros((80, 70, 40), np.float32)
    volume[ball(volume.shape, (30, 30, 20), 10)] = 0.7
    volume[ball(volume.shape, (60, 50, 8), 6)] = 0.6
    volume[60, 50, 8] = 0.95
    return volume


def found(volume: npt.NDArray[np.float32] | None = None, **options: Any) -> list[Nodule]:
    return find_nodules(probabilities() if volume is None else volume, AFFINE, "scan", **options)


def test_the_most_probable_nodule_comes_first() -> None:
    assert [round(nodule.peak_probability, 2) for nodule in found()] == [0.95, 0.7]


def test_centers_are_world_coordinates() -> None:
    nodule = found()[1]
    assert nodule.center_ras_mm == pytest.approx((30 - 0.7 * 30, 20 - 0.8 * 30, -100 + 2 * 20), abs=1e-4)
    assert nodule.center_lps_mm == pytest.approx((-9.0, 4.0, -60.0), abs=1e-4)


def test_volume_and_diameter_are_those_of_the_ball() -> None:
    nodule = found()[1]
    assert nodule.volume_mm3 == pytest.approx(4 / 3 * np.pi * 10**3, rel=0.02)
    assert nodule.diameter_mm == pytest.approx(20, rel=0.01)


def test_slices_are_counted_along_the_files_last_axis() -> None:
    assert (found()[1].first_slice, found()[1].last_slice) == (15, 25)


def test_the_mean_intensity_is_that_of_the_nodules_voxels() -> None:
    volume = probabilities()
    image = np.where(volume > 0, 35, -850).astype(np.int16)
    assert [nodule.mean_hu for nodule in found(image=image)] == [35.0, 35.0]


def test_without_an_image_there_is_no_mean_intensity() -> None:
    assert found()[0].mean_hu is None


def test_a_nodule_at_the_border_is_marked() -> None:
    volume = np.zeros((20, 20, 20), np.float32)
    volume[5:8, 5:8, 17:] = volume[10:12, 10:12, 10] = 0.9
    assert {nodule.first_slice: nodule.touches_border for nodule in found(volume)} == {17: True, 10: False}


def test_voxels_that_touch_at_a_corner_are_one_nodule() -> None:
    volume = np.zeros((4, 4, 4), np.float32)
    volume[1, 1, 1] = volume[2, 2, 2] = 0.9
    assert len(found(volume)) == 1


@pytest.mark.parametrize(("threshold", "count"), [(0.5, 2), (0.65, 2), (0.8, 1), (0.99, 0)])
def test_the_threshold_decides_what_is_a_nodule(threshold: float, count: int) -> None:
    assert len(found(threshold=threshold)) == count


def test_small_regions_are_left_out_on_request() -> None:
    assert len(found(min_volume_mm3=2000.0)) == 1


def test_nothing_above_the_threshold_is_no_nodule() -> None:
    assert found(np.zeros((4, 4, 4), np.float32)) == []


def test_regions_without_a_peak_leave_the_mask() -> None:
    volume = probabilities()
    kept = region_mask(volume, 0.5, peak_threshold=0.9)
    assert np.array_equal(kept, ball(volume.shape, (60, 50, 8), 6))


def test_an_empty_mask_stays_empty() -> None:
    assert not region_mask(np.zeros((3, 3, 3)), 0.5, peak_threshold=0.5).any()


def faint_and_strong() -> np.ndarray:
    """A strong nodule with a faint rim, and one that stays faint everywhere."""
    volume = np.zeros((20, 8, 8), np.float32)
    volume[2:7, 2:6, 2:6] = 0.4
    volume[4, 4, 4] = 0.95
    volume[12:15, 3:5, 3:5] = 0.45
    return volume


def test_a_faint_finding_that_counts_keeps_its_voxels_in_the_mask() -> None:
    mask = region_mask(faint_and_strong(), 0.8, peak_threshold=0.42, candidate_threshold=0.3)
    assert mask[12:15, 3:5, 3:5].all()
    assert mask[:10].sum() == 1


def test_findings_are_counted_as_they_are_in_validation() -> None:
    nodules = find_nodules(faint_and_strong(), np.eye(4), "scan", threshold=0.8, candidate_threshold=0.3)
    assert [round(nodule.peak_probability, 2) for nodule in nodules] == [0.95, 0.45]


def test_a_voxel_at_the_threshold_is_not_mask() -> None:
    assert not region_mask(np.full((2, 2, 2), 0.5, np.float32), 0.5).any()


def item(folder: Path, case: str, volume: npt.NDArray[np.float32], affine: npt.NDArray[np.float64] = AFFINE) -> dict:
    write_volume(folder / f"{case}.nii.gz", np.where(volume > 0, 35, -850).astype(np.int16), affine)
    image = LoadVolumed("image")({"image": folder / f"{case}.nii.gz"})["image"]
    write_volume(folder / "p.nii.gz", volume, affine)
    pred = LoadVolumed("image")({"image": folder / "p.nii.gz"})["image"]
    return {"case": case, "image": image, "pred": MetaTensor(pred.as_tensor()).copy_meta_from(image)}


def run(items: list[dict], tables: NoduleTables) -> None:
    engine = Engine(lambda _engine, batch: [batch])
    tables.attach(engine)
    engine.run(items, max_epochs=1)


def test_the_tables_of_a_run_agree(tmp_path: Path) -> None:
    empty = np.zeros((80, 70, 40), np.float32)
    run([item(tmp_path, "b", probabilities()), item(tmp_path, "a", empty)], NoduleTables(tmp_path / "out"))
    with (tmp_path / "out" / "nodules.csv").open() as handle:
        rows = list(csv.DictReader(handle))
    nodules = json.loads((tmp_path / "out" / "nodules.json").read_text())["nodules"]
    with (tmp_path / "out" / "luna16_results.csv").open() as handle:
        results = list(csv.DictReader(handle))
    assert [row["case"] for row in rows] == [nodule["case"] for nodule in nodules] == ["b", "b"]
    for row, nodule, result in zip(rows, nodules, results, strict=True):
        x, y, z = nodule["center_lps_mm"]
        assert [float(row[f"center_lps_{axis}_mm"]) for axis in "xyz"] == [x, y, z]
        assert [float(result[f"coord{axis}"]) for axis in "XYZ"] == [x, y, z]
        assert nodule["center_ras_mm"] == [-x, -y, z]
        assert nodule["mean_hu"] == 35.0
        assert (result["seriesuid"], float(result["probability"])) == ("b", nodule["peak_probability"])


def test_cases_without_nodules_are_in_the_summary(tmp_path: Path) -> None:
    empty = np.zeros((8, 8, 8), np.float32)
    run([item(tmp_path, "a", empty)], NoduleTables(tmp_path / "out"))
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["cases"] == [{"case": "a", "nodules": 0, "findings": 0}]
    assert summary["nodules"] == 0


def test_the_end_of_a_run_tells_how_much_was_found_and_where(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = np.zeros_like(probabilities())
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "b_preview.png").touch()
    run([item(tmp_path, "b", probabilities()), item(tmp_path, "a", empty)], NoduleTables(tmp_path / "out"))
    figures, files = capsys.readouterr().err.splitlines()
    assert figures == "2 nodule(s) in 1 of 2 scan(s)"
    assert files == f"in {tmp_path / 'out'}: {', '.join(TABLES)}; pictures: CASE_preview.png"


def test_world_coordinates_do_not_depend_on_the_files_orientation(tmp_path: Path) -> None:
    flipped = AFFINE.copy()
    flipped[:3, 0] *= -1
    flipped[:3, 3] = AFFINE[:3, 3] + AFFINE[:3, 0] * 79
    tables = NoduleTables(tmp_path / "out")
    run([item(tmp_path, "a", probabilities()), item(tmp_path, "b", probabilities()[::-1], flipped)], tables)
    for first, second in zip(tables.findings["a"], tables.findings["b"], strict=True):
        assert first.center_ras_mm == pytest.approx(second.center_ras_mm, abs=1e-3)


def test_findings_below_the_peak_threshold_are_listed_for_the_challenge_only(tmp_path: Path) -> None:
    run([item(tmp_path, "a", probabilities())], NoduleTables(tmp_path / "out", peak_threshold=0.8))
    assert len(json.loads((tmp_path / "out" / "nodules.json").read_text())["nodules"]) == 1
    assert len((tmp_path / "out" / "luna16_results.csv").read_text().splitlines()) == 3


def test_existing_tables_are_refused_before_the_first_case(tmp_path: Path) -> None:
    (tmp_path / "nodules.csv").write_text("precious")
    with pytest.raises(OutputConflict, match=r"nodules\.csv"):
        run([{"case": "never", "image": torch.zeros(1), "pred": torch.zeros(1)}], NoduleTables(tmp_path))
    assert (tmp_path / "nodules.csv").read_text() == "precious"


def test_overwrite_replaces_tables(tmp_path: Path) -> None:
    for _ in range(2):
        run([item(tmp_path, "a", probabilities())], NoduleTables(tmp_path / "out", overwrite=True))
    assert len((tmp_path / "out" / "nodules.csv").read_text().splitlines()) == 3


CLASSES = ("benign", "malignant")


def two_classes() -> npt.NDArray[np.float32]:
    """The two nodules, of which the larger one is benign by three to one, the other malignant by four to one."""
    large, small = (probabilities() * mask for mask in (HALF, ~HALF))
    return np.stack([large + small / 4, large / 3 + small]).astype(np.float32)


HALF = np.arange(80)[:, None, None] < 45


def test_several_classes_are_found_by_the_highest_of_their_probabilities() -> None:
    alone, together = found(), found(two_classes(), classes=CLASSES)
    assert [(n.peak_probability, n.volume_mm3) for n in together] == [(n.peak_probability, n.volume_mm3) for n in alone]


def test_a_findings_class_is_the_one_with_the_larger_share() -> None:
    rows = [nodule.as_dict() for nodule in found(two_classes(), classes=CLASSES)]
    assert [(row["class"], row["malignancy_probability"]) for row in rows] == [("malignant", 0.8), ("benign", 0.25)]


def test_a_share_is_the_mean_over_the_voxels() -> None:
    volume = np.zeros((2, 4, 4, 4), np.float32)
    volume[:, 0, 0, 0], volume[:, 0, 0, 1] = (0.9, 0.0), (0.2, 0.6)
    (nodule,) = find_nodules(volume, AFFINE, "scan", classes=CLASSES)
    assert nodule.class_shares == {"benign": pytest.approx(0.625), "malignant": pytest.approx(0.375)}


def test_other_classes_than_malignant_have_no_malignancy() -> None:
    row = found(two_classes(), classes=("solid", "subsolid"))[0].as_dict()
    assert row["class"] == "subsolid"
    assert "malignancy_probability" not in row


@pytest.mark.parametrize("names", [("benign",), ("a", "b", "c")])
def test_as_many_names_as_channels_are_needed(names: tuple[str, ...]) -> None:
    with pytest.raises(ConfigurationError, match="2 channels of probabilities need as many names"):
        found(two_classes(), classes=names)


def two_class_item(folder: Path) -> dict:
    data = item(folder, "a", probabilities())
    shares = [MetaTensor(item(folder, "a", volume)["pred"].as_tensor()) for volume in two_classes()]
    return data | {"pred": MetaTensor(torch.cat(shares)).copy_meta_from(data["image"])}


def test_tables_of_two_classes_say_which(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run([two_class_item(tmp_path)], NoduleTables(tmp_path / "out", classes=CLASSES))
    with (tmp_path / "out" / "nodules.csv").open() as handle:
        rows = list(csv.DictReader(handle))
    assert [(row["class"], row["malignancy_probability"]) for row in rows] == [("malignant", "0.8"), ("benign", "0.25")]
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["classes"] == {"benign": 1, "malignant": 1}
    assert "2 nodule(s) (1 benign, 1 malignant) in 1 of 1 scan(s)" in capsys.readouterr().err


def test_a_table_of_two_classes_without_findings_has_their_columns(tmp_path: Path) -> None:
    empty = item(tmp_path, "a", np.zeros((8, 8, 8), np.float32))
    empty["pred"] = MetaTensor(torch.zeros(2, 8, 8, 8)).copy_meta_from(empty["image"])
    run([empty], NoduleTables(tmp_path / "out", classes=CLASSES))
    header = (tmp_path / "out" / "nodules.csv").read_text().strip()
    assert header.endswith("touches_border,malignancy_probability,class")


def test_one_class_adds_nothing_to_the_tables(tmp_path: Path) -> None:
    for name, classes in (("without", ()), ("with", ("nodule",))):
        run([item(tmp_path, "a", probabilities())], NoduleTables(tmp_path / name, classes=classes))
    for table in TABLES:
        assert (tmp_path / "with" / table).read_bytes() == (tmp_path / "without" / table).read_bytes()
