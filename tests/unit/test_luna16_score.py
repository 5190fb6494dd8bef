"""The challenge's own rules: hit below the radius, best of several, excluded findings, seven rates."""

from __future__ import annotations

import math

import numpy as np
import pytest

from medbundles.components.metrics.luna16_score import ScoredScan, Sphere, luna16_score, score_scan, sensitivities

NODULE = Sphere((0.0, 0.0, 0.0), 10.0)


def scan(hits: list[float], wrong: list[float]) -> ScoredScan:
    return ScoredScan(np.array(hits), np.array(wrong))


@pytest.mark.parametrize(("distance", "hit"), [(0.0, True), (4.99, True), (5.0, False), (5.01, False)])
def test_a_finding_hits_below_the_radius_only(distance: float, hit: bool) -> None:
    scored = score_scan([[0, 0, distance]], [0.7], [NODULE])
    assert scored.lesion_scores.tolist() == [0.7 if hit else -1.0]
    assert scored.false_positive_scores.tolist() == ([] if hit else [0.7])


def test_of_several_findings_of_a_nodule_the_highest_counts_and_none_is_false() -> None:
    scored = score_scan([[0, 0, 0], [1, 0, 0], [30, 0, 0]], [0.2, 0.9, 0.4], [NODULE])
    assert scored.lesion_scores.tolist() == [0.9]
    assert scored.false_positive_scores.tolist() == [0.4]


def test_one_finding_may_hit_two_nodules() -> None:
    scored = score_scan([[3, 0, 0]], [0.6], [NODULE, Sphere((6.0, 0.0, 0.0), 10.0)])
    assert scored.lesion_scores.tolist() == [0.6, 0.6]


def test_a_finding_of_something_excluded_counts_neither_way() -> None:
    scored = score_scan([[50, 0, 0], [0, 0, 0]], [0.9, 0.5], [NODULE], excluded=[Sphere((51.0, 0.0, 0.0), 10.0)])
    assert scored.lesion_scores.tolist() == [0.5]
    assert scored.false_positive_scores.tolist() == []
    assert scored.ignored == 1


def test_a_nodule_beside_something_excluded_is_still_hit() -> None:
    scored = score_scan([[0, 0, 0]], [0.5], [NODULE], excluded=[NODULE])
    assert (scored.lesion_scores.tolist(), scored.ignored) == ([0.5], 0)


@pytest.mark.parametrize("centers", [[], np.zeros((0, 3))])
def test_a_scan_without_findings_finds_nothing(centers: list[list[float]]) -> None:
    scored = score_scan(centers, [], [NODULE])
    assert scored.lesion_scores.tolist() == [-1.0]
    assert len(scored.false_positive_scores) == 0


def test_a_perfect_reader_scores_one_and_a_blind_one_zero() -> None:
    assert luna16_score([scan([0.9, 0.8], []), scan([0.7], [])]) == 1.0
    assert luna16_score([scan([-1.0], [0.9])]) == 0.0


def test_the_score_is_the_mean_over_the_seven_rates_of_the_curve() -> None:
    # By hand: 2 scans, 2 nodules. Scores .9 hit, .8 wrong, .7 hit, .6 wrong: the curve runs (0, .5), (.5, .5), (.5, 1).
    found = sensitivities([scan([0.9], [0.8]), scan([0.7], [0.6])])
    assert [found[rate] for rate in (0.125, 0.25)] == [0.5, 0.5]
    assert [found[rate] for rate in (1.0, 2.0, 4.0, 8.0)] == [1.0] * 4
    assert luna16_score([scan([0.9], [0.8]), scan([0.7], [0.6])]) == pytest.approx(np.mean(list(found.values())))


def test_without_any_nodule_there_is_no_score() -> None:
    assert math.isnan(luna16_score([scan([], [0.5])]))
