"""Which lesions are found, and how many false alarms a scan that costs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from medbundles.components.metrics.bootstrap import Weights, percentile_interval
from medbundles.components.metrics.case_metric import case_of
from medbundles.components.metrics.froc import (
    LUNA16_RATES,
    NOT_FOUND,
    Floats,
    Froc,
    OperatingPoint,
    froc_curve,
    measured_at,
    operating_point,
    sensitivity_interval,
)
from medbundles.components.metrics.lesion_matching import Integers, find_components, match_lesions
from medbundles.components.metrics.probability_metric import ProbabilityMetric, ScoredCase
from medbundles.errors import ConfigurationError


@dataclass(frozen=True)
class LesionRow:
    """The detections of one scan.

    Attributes:
        case: its name.
        lesion_scores: ``(lesions,)`` best peak probability among the candidates that hit it, -1 if there is none.
        false_positive_scores: ``(false positives,)`` peak probabilities of the candidates that hit nothing.
        lesion_voxels: ``(lesions,)`` sizes.
        candidates: number of candidates.
        voxel_mm3: volume of a voxel in cubic millimetres; None if unknown.
    """

    case: str
    lesion_scores: Floats
    false_positive_scores: Floats
    lesion_voxels: Integers
    candidates: int
    voxel_mm3: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the columns that need no operating point."""
        return {
            "case": self.case,
            "lesions": len(self.lesion_scores),
            "lesions_hit": int((self.lesion_scores > 0).sum()),
            "candidates": self.candidates,
            "highest_false_positive": float(self.false_positive_scores.max(initial=0.0)),
        }


class LesionDetection(ProbabilityMetric[LesionRow]):
    """Sensitivity for lesions at a declared number of false positives a scan, over whole scans.

    Lesions are the connected components (26 neighbors) of the label; candidates those of
    ``probability > candidate_threshold``, scored by their peak probability. A candidate hits a lesion when its center
    voxel lies in it or both overlap by at least ``minimum_iou``; a lesion's score is that of the best candidate that
    hits it, further hits count neither way, and a candidate that hits nothing is a false positive. Scans without any
    lesion take part: their false positives use up the budget. A candidate at a lesion of unknown class counts neither
    way where a single channel is measured.

    :meth:`compute` returns the sensitivity at ``false_positive_budget``, with the peak threshold chosen on the very
    same scans: right for comparing models, optimistic as a result. Give ``peak_threshold`` (fixed on validation
    cases) to measure other cases; :meth:`summary` then holds sensitivity and false positives at that threshold.

    Args:
        output_transform: see :class:`ProbabilityMetric`.
        candidate_threshold: probability above which voxels form candidates.
        false_positive_budget: false positives a scan, on average.
        minimum_iou: intersection over union that makes a hit; 0 counts any shared voxel.
        minimum_voxels: smaller candidates are dropped; lesions never are.
        peak_threshold: report also at this fixed threshold.
        channel: see :class:`ProbabilityMetric`.

    Raises:
        ConfigurationError: an argument out of its range.
    """

    def __init__(
        self,
        output_transform: Callable[[Any], Any] | None = None,
        candidate_threshold: float = 0.5,
        false_positive_budget: float = 4.0,
        minimum_iou: float = 0.1,
        minimum_voxels: int = 1,
        peak_threshold: float | None = None,
        channel: int | None = None,
    ) -> None:
        if not 0.0 <= candidate_threshold < 1.0 or not 0.0 <= minimum_iou <= 1.0 or false_positive_budget < 0.0:
            raise ConfigurationError(
                "candidate_threshold must lie in [0, 1), minimum_iou in [0, 1], false_positive_budget at or above 0; "
                f"found {candidate_threshold}, {minimum_iou} and {false_positive_budget}"
            )
        self.candidate_threshold = candidate_threshold
        self.false_positive_budget = false_positive_budget
        self.minimum_iou = minimum_iou
        self.minimum_voxels = minimum_voxels
        self.peak_threshold = peak_threshold
        super().__init__(output_transform, channel)

    def measure(self, scored: ScoredCase) -> LesionRow:
        """Find one scan's lesions and candidates and match them."""
        lesions = find_components(scored.label)
        candidates = find_components(
            scored.probability > np.float32(self.candidate_threshold), minimum_voxels=self.minimum_voxels
        )
        peaks = candidates.maxima(scored.probability).astype(np.float64)
        pairs = match_lesions(candidates, lesions, self.minimum_iou)
        scores = np.full(len(lesions), NOT_FOUND, np.float64)
        np.maximum.at(scores, pairs[:, 1] - 1, peaks[pairs[:, 0] - 1])
        harmless = pairs[:, 0]
        if scored.ignored is not None:
            unknown = match_lesions(candidates, find_components(scored.ignored), self.minimum_iou)
            harmless = np.concatenate([harmless, unknown[:, 0]])
        wrong = np.delete(peaks, np.unique(harmless) - 1)
        return LesionRow(scored.case, scores, wrong, lesions.sizes, len(candidates), scored.voxel_mm3)

    def score(self, rows: Sequence[LesionRow]) -> float:
        """Return the sensitivity at the budget; NaN when no scan has a lesion."""
        return operating_point(rows, self.false_positive_budget).sensitivity

    def operating_point(self) -> OperatingPoint:
        """Return sensitivity, false positives a scan and peak threshold at the budget, on the cases seen."""
        point = operating_point(self.rows, self.false_positive_budget)
        # No candidate scores lower, and inference finds none below it either.
        return replace(point, threshold=max(point.threshold, self.candidate_threshold))

    def froc(self) -> Froc:
        """Return the whole curve, on the cases seen."""
        return froc_curve(self.rows)

    def table(self) -> list[dict[str, Any]]:
        """Return one row a scan, with found lesions and false positives at the peak threshold in use."""
        fixed = self.peak_threshold
        threshold = self.operating_point().threshold if fixed is None else fixed
        return [
            {
                **row.as_dict(),
                "lesions_found": int((row.lesion_scores >= threshold).sum()),
                "false_positives": int((row.false_positive_scores >= threshold).sum()),
            }
            for row in sorted(self.rows, key=case_of)
        ]

    def summary(self) -> dict[str, Any]:
        """Return the figures over all scans, their 95 % intervals by scan, and the curve at LUNA16's rates."""
        rows, budget, point = self.rows, self.false_positive_budget, self.operating_point()
        return {
            "n": len(rows),
            "n_empty": sum(len(row.lesion_scores) == 0 for row in rows),
            "lesions": sum(len(row.lesion_scores) for row in rows),
            "candidate_threshold": self.candidate_threshold,
            "minimum_iou": self.minimum_iou,
            "false_positive_budget": budget,
            "sensitivity": _plain(point.sensitivity),
            "false_positives_per_scan": point.false_positives_per_scan,
            "peak_threshold": point.threshold,
            "intervals": {
                "sensitivity": sensitivity_interval(rows, budget),
                "froc": {str(rate): sensitivity_interval(rows, rate) for rate in LUNA16_RATES},
            },
            "froc": {str(rate): _plain(operating_point(rows, rate).sensitivity) for rate in LUNA16_RATES},
            **({} if self.peak_threshold is None else {"at_fixed_threshold": self._at(self.peak_threshold)}),
        }

    def _at(self, threshold: float) -> dict[str, Any]:
        point = measured_at(self.rows, threshold)
        found = np.array([(row.lesion_scores >= threshold).sum() for row in self.rows])
        lesions = np.array([len(row.lesion_scores) for row in self.rows])
        wrong = np.array([(row.false_positive_scores >= threshold).sum() for row in self.rows])

        def sensitivity(weights: Weights) -> npt.NDArray[np.float64]:
            drawn = weights @ lesions
            return np.asarray(np.divide(weights @ found, drawn, out=np.full(len(drawn), np.nan), where=drawn > 0))

        def false_positives(weights: Weights) -> npt.NDArray[np.float64]:
            return np.asarray(weights @ wrong / weights.sum(axis=1))

        return {
            "peak_threshold": threshold,
            "sensitivity": _plain(point.sensitivity),
            "false_positives_per_scan": point.false_positives_per_scan,
            "intervals": {
                "sensitivity": percentile_interval(len(self.rows), sensitivity),
                "false_positives_per_scan": percentile_interval(len(self.rows), false_positives),
            },
        }


def _plain(value: float) -> float | None:
    return value if np.isfinite(value) else None
