"""Nodules by their annotated centers: who is hit, what is excluded, which group a nodule belongs to."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data.meta_tensor import MetaTensor

from medbundles.components.metrics import NoduleDetection
from medbundles.components.metrics.nodule_detection import size_group
from medbundles.errors import ConfigurationError

# An axis of the world backwards, anisotropic voxels, an origin far from zero.
AFFINE = np.array([[-0.8, 0, 0, 40.0], [0, 0.8, 0, -120.0], [0, 0, 2.0, 300.0], [0, 0, 0, 1.0]])


def scan(*blobs: tuple[tuple[int, int, int], float]) -> MetaTensor:
    """Return a volume ``(1, 32, 32, 16)`` with cubes of 3 voxels around the given indices."""
    array = torch.zeros(1, 32, 32, 16)
    for (i, j, k), value in blobs:
        array[0, i - 1 : i + 2, j - 1 : j + 2, k - 1 : k + 2] = value
    return MetaTensor(array, affine=torch.from_numpy(AFFINE), meta={"case": "anna"})


def lps(index: tuple[int, int, int]) -> list[float]:
    x, y, z, _ = AFFINE @ [*index, 1]
    return [-x, -y, z]


def nodule(index: tuple[int, int, int], diameter_mm: float = 7.0, **more: str) -> dict[str, object]:
    return {"center_lps_mm": lps(index), "diameter_mm": diameter_mm, **more}


def measured(metric: NoduleDetection, prediction: MetaTensor, label: MetaTensor | None = None) -> NoduleDetection:
    metric.update(([prediction], [scan() if label is None else label]))
    metric.compute()
    return metric


def test_a_finding_at_the_annotated_world_position_hits() -> None:
    records = [{"case": "anna", "nodules": [nodule((10, 10, 8))]}]
    metric = measured(NoduleDetection(records), scan(((10, 10, 8), 0.9)))
    assert metric.summary()["luna16_score"] == 1.0


def test_a_mirrored_finding_does_not() -> None:
    records = [{"case": "anna", "nodules": [nodule((10, 10, 8))]}]
    metric = measured(NoduleDetection(records), scan(((21, 10, 8), 0.9)))
    assert metric.summary()["luna16_score"] == 0.0
    assert metric.table()[0]["annotated_with_candidate"] == 0


def test_an_excluded_finding_counts_neither_way() -> None:
    records = [{"case": "anna", "nodules": [nodule((10, 10, 8))], "excluded": [nodule((24, 24, 4))]}]
    metric = measured(NoduleDetection(records), scan(((10, 10, 8), 0.6), ((24, 24, 4), 0.9)))
    assert metric.summary()["luna16_score"] == 1.0
    assert metric.summary()["excluded_findings"] == 1


def test_without_annotations_the_label_s_components_are_the_nodules() -> None:
    blob = scan(((10, 10, 8), 1.0))
    metric = measured(NoduleDetection(), scan(((10, 10, 8), 0.9)), blob)
    assert metric.summary()["nodules"] == 1
    assert metric.summary()["luna16_score"] == 1.0


def test_a_scan_that_is_annotated_as_empty_has_no_nodule_whatever_its_label() -> None:
    records: list[dict[str, object]] = [{"case": "anna", "nodules": []}]
    metric = measured(NoduleDetection(records), scan(((10, 10, 8), 0.9)), scan(((10, 10, 8), 1.0)))
    assert metric.summary()["nodules"] == 0
    assert metric.summary()["luna16_score"] is None


def test_groups_by_size_and_type_at_a_fixed_threshold() -> None:
    nodules = [nodule((10, 10, 8), 7.0, type="solid"), nodule((24, 24, 4), 20.0, type="ground_glass")]
    metric = NoduleDetection([{"case": "anna", "nodules": nodules}], peak_threshold=0.5)
    measured(metric, scan(((10, 10, 8), 0.9), ((24, 24, 4), 0.3)))
    assert metric.summary()["at_fixed_threshold"]["groups"] == {
        "6 to 8 mm": {"nodules": 1, "sensitivity": 1.0},
        "15 mm and more": {"nodules": 1, "sensitivity": 0.0},
        "ground_glass": {"nodules": 1, "sensitivity": 0.0},
        "solid": {"nodules": 1, "sensitivity": 1.0},
    }


@pytest.mark.parametrize(
    ("diameter", "group"), [(5.99, "below 6 mm"), (6.0, "6 to 8 mm"), (8.0, "8 to 15 mm"), (15.0, "15 mm and more")]
)
def test_a_limit_belongs_to_the_larger_group(diameter: float, group: str) -> None:
    assert size_group(diameter) == group


def test_tensors_that_do_not_know_where_they_are_are_refused() -> None:
    plain = torch.zeros(1, 8, 8, 8)
    with pytest.raises(ConfigurationError, match="need an affine"):
        NoduleDetection().update(([plain], [plain]))


def test_the_score_has_an_interval_by_scan() -> None:
    metric = NoduleDetection([{"case": "anna", "nodules": [nodule((10, 10, 8))]}])
    for number in range(4):
        found = scan(((10, 10, 8), 0.9)) if number else scan()
        metric.update(([found], [scan()]))
    metric.compute()
    intervals = metric.summary()["intervals"]
    assert intervals["luna16_score"][0] < 0.75 < intervals["luna16_score"][1]
    # Without a false positive the sensitivity is the same at any rate of them.
    assert list(intervals["froc"]) == list(metric.summary()["froc"])
    assert all(interval == intervals["luna16_score"] for interval in intervals["froc"].values())


def test_a_single_scan_has_no_intervals() -> None:
    metric = measured(NoduleDetection([{"case": "anna", "nodules": [nodule((10, 10, 8))]}]), scan(((10, 10, 8), 0.9)))
    intervals = metric.summary()["intervals"]
    assert intervals["luna16_score"] is None
    assert set(intervals["froc"].values()) == {None}
