from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from medbundles.components.metrics import LesionDetection
from medbundles.components.metrics.froc import NOT_FOUND, froc_curve, measured_at, operating_point, sensitivity_interval
from medbundles.errors import ConfigurationError


@dataclass
class OneScan:
    lesion_scores: np.ndarray
    false_positive_scores: np.ndarray


def scan(lesions: list[float], wrong: list[float]) -> OneScan:
    return OneScan(np.array(lesions, np.float64), np.array(wrong, np.float64))


# Tenths, so that ties between lesions and false positives are common.
scores = st.lists(st.integers(6, 10).map(lambda tenth: tenth / 10), max_size=5)
scans = st.lists(
    st.builds(scan, st.lists(st.sampled_from([NOT_FOUND, 0.6, 0.7, 0.8, 0.9, 1.0]), max_size=3), scores),
    min_size=1,
    max_size=6,
)


def brute_force(all_scans: list[OneScan], threshold: float) -> tuple[float, float]:
    found = sum(score >= threshold for one in all_scans for score in one.lesion_scores)
    lesions = sum(len(one.lesion_scores) for one in all_scans)
    wrong = sum(score >= threshold for one in all_scans for score in one.false_positive_scores)
    return (found / lesions if lesions else float("nan")), wrong / len(all_scans)


@settings(max_examples=60, deadline=None)
@given(all_scans=scans)
def test_curve_equals_counting_at_every_threshold(all_scans: list[OneScan]) -> None:
    curve = froc_curve(all_scans)
    points = zip(curve.thresholds, curve.sensitivity, curve.false_positives_per_scan, strict=True)
    for threshold, sensitivity, rate in points:
        assert (sensitivity, rate) == pytest.approx(brute_force(all_scans, threshold), nan_ok=True)


@settings(max_examples=60, deadline=None)
@given(all_scans=scans, budget=st.sampled_from([0.0, 0.125, 0.5, 1.0, 2.0, 8.0]))
def test_operating_point_is_the_best_threshold_within_the_budget(all_scans: list[OneScan], budget: float) -> None:
    point = operating_point(all_scans, budget)
    possible = [brute_force(all_scans, threshold) for threshold in (0.55, 0.65, 0.75, 0.85, 0.95, 1.05)]
    best = max((sensitivity for sensitivity, rate in possible if rate <= budget), default=float("nan"))
    assert point.sensitivity == pytest.approx(best, nan_ok=True)
    assert point.false_positives_per_scan <= budget


@settings(max_examples=30, deadline=None)
@given(all_scans=scans, budget=st.sampled_from([0.0, 0.5, 1.0, 4.0]))
def test_stored_threshold_reproduces_the_operating_point(all_scans: list[OneScan], budget: float) -> None:
    point = operating_point(all_scans, budget)
    again = measured_at(all_scans, point.threshold)
    assert (again.sensitivity, again.false_positives_per_scan) == pytest.approx(
        (point.sensitivity, point.false_positives_per_scan), nan_ok=True
    )


def test_threshold_lies_halfway_between_the_scores_around_it() -> None:
    assert operating_point([scan([0.9], [0.5])], 0.0).threshold == pytest.approx(0.7)


def test_saturated_false_positive_excludes_even_in_single_precision() -> None:
    threshold = operating_point([scan([1.0], [1.0])], 0.0).threshold
    assert not (np.ones(1, np.float32) >= np.float32(threshold)).any()


def test_interval_contains_the_estimate_and_narrows_with_more_scans() -> None:
    few = [scan([0.9, NOT_FOUND], [0.8]), scan([0.9], []), scan([NOT_FOUND], [0.7]), scan([0.8], [0.6, 0.9])]
    narrow, wide = sensitivity_interval(few * 10, 1.0), sensitivity_interval(few, 1.0)
    assert narrow is not None
    assert wide is not None
    assert narrow[0] <= operating_point(few * 10, 1.0).sensitivity <= narrow[1]
    assert narrow[1] - narrow[0] < wide[1] - wide[0]


def test_interval_equals_drawing_scans_and_starting_over() -> None:
    rng = np.random.default_rng(1)
    all_scans = [scan([*rng.choice([NOT_FOUND, 0.6, 0.8], 2)], [*rng.random(rng.integers(0, 9))]) for _ in range(8)]
    drawn = np.random.default_rng(0).multinomial(8, np.full(8, 1 / 8), size=1000)
    values = [
        operating_point([all_scans[i] for i in np.repeat(np.arange(8), weights)], 1.0).sensitivity for weights in drawn
    ]
    assert sensitivity_interval(all_scans, 1.0) == pytest.approx(np.quantile(values, [0.025, 0.975]).tolist())


def test_one_scan_has_no_interval() -> None:
    assert sensitivity_interval([scan([0.9], [])], 1.0) is None


def volume(*blobs: tuple[int, float], size: int = 40) -> torch.Tensor:
    tensor = torch.zeros(1, size, 12, 12)
    for start, value in blobs:
        tensor[0, start : start + 4, 4:8, 4:8] = value
    return tensor


def test_detection_scores_hits_misses_and_false_positives_by_their_peaks() -> None:
    metric = LesionDetection(false_positive_budget=1.0)
    label = volume((0, 1.0), (10, 1.0), (20, 1.0))
    prediction = volume((0, 0.9), (10, 0.6), (30, 0.8))
    metric.update(([prediction], [label]))
    (row,) = metric.rows
    assert sorted(row.lesion_scores.tolist()) == pytest.approx([NOT_FOUND, 0.6, 0.9])
    assert row.false_positive_scores.tolist() == pytest.approx([0.8])
    assert metric.compute() == pytest.approx(2 / 3)


def test_budget_of_zero_counts_only_lesions_above_every_false_positive() -> None:
    metric = LesionDetection(false_positive_budget=0.0)
    metric.update(([volume((0, 0.9), (10, 0.6), (30, 0.8))], [volume((0, 1.0), (10, 1.0))]))
    assert metric.compute() == pytest.approx(0.5)


def test_two_candidates_on_one_lesion_are_one_hit_and_no_false_positive() -> None:
    label, prediction = torch.zeros(1, 20, 12, 12), torch.zeros(1, 20, 12, 12)
    label[0, 0:9, 4:8, 4:8] = 1
    prediction[0, 0:4, 4:8, 4:8], prediction[0, 5:9, 4:8, 4:8] = 0.7, 0.9
    metric = LesionDetection()
    metric.update(([prediction], [label]))
    (row,) = metric.table()
    assert (row["candidates"], row["lesions_found"], row["false_positives"]) == (2, 1, 0)


def test_false_positives_of_scans_without_lesions_use_up_the_budget() -> None:
    found, empty = volume((0, 0.7)), volume()
    alarms = volume((0, 0.9), (10, 0.9))
    metric = LesionDetection(false_positive_budget=0.5)
    metric.update(([found, alarms], [volume((0, 1.0)), empty]))
    assert metric.compute() == 0.0
    assert metric.summary()["n_empty"] == 1


def test_every_rate_of_the_curve_has_its_interval() -> None:
    metric = LesionDetection()
    metric.update(([volume((0, 0.7)), volume((0, 0.9))], [volume((0, 1.0)), volume()]))
    intervals = metric.summary()["intervals"]["froc"]
    assert intervals["0.125"] == [0.0, 1.0]
    assert intervals["1.0"] == [1.0, 1.0]


def test_fixed_peak_threshold_is_reported_with_intervals() -> None:
    metric = LesionDetection(peak_threshold=0.75)
    metric.update(([volume((0, 0.9), (10, 0.7)), volume((0, 0.8))], [volume((0, 1.0), (10, 1.0)), volume((20, 1.0))]))
    fixed = metric.summary()["at_fixed_threshold"]
    assert fixed["sensitivity"] == pytest.approx(1 / 3)
    assert fixed["false_positives_per_scan"] == 0.5
    assert fixed["intervals"]["sensitivity"] == [0.0, 0.5]


def test_without_any_lesion_sensitivity_is_undefined_and_the_summary_says_none() -> None:
    metric = LesionDetection()
    metric.update(([volume((0, 0.9))], [volume()]))
    assert np.isnan(metric.compute())
    assert metric.summary()["sensitivity"] is None


@pytest.mark.parametrize(
    "arguments", [{"candidate_threshold": 1.0}, {"minimum_iou": -0.1}, {"false_positive_budget": -1.0}]
)
def test_arguments_out_of_range_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="candidate_threshold must lie in"):
        LesionDetection(**arguments)
