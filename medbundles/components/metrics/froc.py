"""Free-response operating characteristic: how many lesions are found for how many false alarms a scan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from medbundles.components.metrics.bootstrap import Weights, percentile_interval

# The false-positive rates a scan at which LUNA16 reports sensitivity.
LUNA16_RATES = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
NOT_FOUND = -1.0

Floats = npt.NDArray[np.floating[Any]]


class Scan(Protocol):
    """The detections of one scan.

    Attributes:
        lesion_scores: ``(lesions,)`` best score among the candidates that hit it, ``NOT_FOUND`` if there is none.
        false_positive_scores: ``(false positives,)`` scores in (0, 1] of the candidates that hit nothing.
    """

    @property
    def lesion_scores(self) -> Floats:
        """Best score of each lesion."""

    @property
    def false_positive_scores(self) -> Floats:
        """Scores of the false positives."""


@dataclass(frozen=True)
class Froc:
    """The curve, from the highest threshold to the lowest.

    Attributes:
        thresholds: every score that occurs; candidates of at least this score count.
        false_positives_per_scan: at each threshold.
        sensitivity: found lesions / all lesions at each threshold; NaN without any lesion.
    """

    thresholds: Floats
    false_positives_per_scan: Floats
    sensitivity: Floats


@dataclass(frozen=True)
class OperatingPoint:
    """Where a declared number of false positives a scan is just not exceeded.

    Attributes:
        threshold: candidates of at least this score are kept; 0 keeps all.
        sensitivity: found lesions / all lesions; NaN without any lesion.
        false_positives_per_scan: at this threshold.
    """

    threshold: float
    sensitivity: float
    false_positives_per_scan: float


def froc_curve(scans: Sequence[Scan]) -> Froc:
    """Return the curve over all scans together."""
    lesions, wrong = _pooled(scans)
    thresholds = np.unique(np.concatenate([lesions[lesions > 0], wrong]))[::-1]
    found = _count_at_least(lesions, thresholds)
    sensitivity = found / len(lesions) if len(lesions) else np.full(len(thresholds), np.nan)
    return Froc(thresholds, _count_at_least(wrong, thresholds) / max(len(scans), 1), sensitivity)


def operating_point(scans: Sequence[Scan], budget: float) -> OperatingPoint:
    """Return the most sensitive threshold that keeps at most ``budget`` false positives a scan, on average.

    The threshold lies halfway between the scores on its two sides, which serves scans not seen yet better than
    either.
    """
    lesions, wrong = _pooled(scans)
    wrong = np.sort(wrong)[::-1]
    allowed = allowed_false_positives(budget, len(scans))
    limit = float(wrong[allowed]) if len(wrong) > allowed else 0.0
    kept = np.concatenate([lesions[lesions > limit], wrong[wrong > limit]])
    if limit == 0.0:
        threshold = 0.0
    elif len(kept):
        threshold = (limit + float(kept.min())) / 2.0
    else:
        # In single precision, so that comparing with a network's output still excludes the limit itself.
        threshold = float(np.nextafter(np.float32(limit), np.float32(np.inf)))
    return measured_at(scans, threshold)


def measured_at(scans: Sequence[Scan], threshold: float) -> OperatingPoint:
    """Return sensitivity and false positives a scan of the candidates whose score reaches ``threshold``."""
    lesions, wrong = _pooled(scans)
    # A missed lesion scores below 0: it is never found, also where the threshold is 0.
    sensitivity = float((lesions >= threshold).mean()) if len(lesions) else float("nan")
    return OperatingPoint(threshold, sensitivity, float((wrong >= threshold).sum() / max(len(scans), 1)))


def sensitivity_interval(scans: Sequence[Scan], budget: float) -> list[float] | None:
    """Return the 95 % interval of the sensitivity at ``budget``, scans drawn again and the threshold found anew."""
    allowed = allowed_false_positives(budget, len(scans))
    # One scan alone uses up the budget with allowed + 1 false positives: the rest can never matter.
    tops = [np.sort(scan.false_positive_scores)[::-1][: allowed + 1] for scan in scans]
    wrong, wrong_scan = _with_scan(tops)
    order = np.argsort(-wrong, kind="stable")
    wrong, wrong_scan = wrong[order], wrong_scan[order]
    lesions, lesion_scan = _with_scan([scan.lesion_scores for scan in scans])

    def one(weights: Weights) -> float:
        used = np.cumsum(weights[wrong_scan])
        first_over = int(np.searchsorted(used, allowed, side="right"))
        limit = float(wrong[first_over]) if first_over < len(wrong) else 0.0
        drawn = weights[lesion_scan]
        return float(drawn[lesions > limit].sum() / drawn.sum()) if drawn.sum() else float("nan")

    def statistic(weights: Weights) -> npt.NDArray[np.float64]:
        return np.array([one(drawn) for drawn in weights])

    return percentile_interval(len(scans), statistic)


def allowed_false_positives(budget: float, scans: int) -> int:
    """Return the whole number of false positives that a budget a scan allows in all scans together."""
    # 0.1 * 30 is 3.0000000000000004 and .7 * 10 is 7.000000000000001; .29 * 100 is 28.999999999999996.
    return int(np.floor(budget * scans + 1e-9))


def _pooled(scans: Sequence[Scan]) -> tuple[Floats, Floats]:
    none = np.zeros(0, np.float64)
    lesions = np.concatenate([none, *(scan.lesion_scores for scan in scans)])
    return lesions, np.concatenate([none, *(scan.false_positive_scores for scan in scans)])


def _with_scan(scores: Sequence[Floats]) -> tuple[Floats, npt.NDArray[np.int64]]:
    numbers = np.repeat(np.arange(len(scores)), [len(part) for part in scores])
    return np.concatenate([np.zeros(0, np.float64), *scores]), numbers


def _count_at_least(scores: Floats, thresholds: Floats) -> npt.NDArray[np.int64]:
    ordered = np.sort(scores)
    return len(ordered) - np.searchsorted(ordered, thresholds, side="left")
