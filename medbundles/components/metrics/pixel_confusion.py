"""Pixel-wise agreement with the label, and where it is lost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from medbundles.components.metrics.bootstrap import Weights, percentile_interval
from medbundles.components.metrics.probability_metric import ProbabilityMetric, ScoredCase
from medbundles.errors import ConfigurationError

Score = Literal["dice", "f1", "precision", "recall"]
Counts = npt.NDArray[np.int64]
THRESHOLD_GRID = tuple(round(0.05 * step, 2) for step in range(1, 20))
# Voxels looked at together: temporary arrays stay below 100 MB whatever the scan's size is.
CHUNK_VOXELS = 1 << 22


@dataclass(frozen=True)
class PixelRow:
    """Pixel counts of one case.

    Attributes:
        case: its name.
        true_positives: labelled pixels found.
        false_negatives: labelled pixels missed.
        false_positives: pixels found that carry no label.
        voxel_mm3: volume of a voxel in cubic millimetres; None if unknown.
        grid_true_positives: true positives at each threshold of the metric's grid.
        grid_false_positives: false positives at each threshold of the grid.
    """

    case: str
    true_positives: int
    false_negatives: int
    false_positives: int
    voxel_mm3: float | None = None
    grid_true_positives: Counts = field(default_factory=lambda: np.zeros(0, np.int64))
    grid_false_positives: Counts = field(default_factory=lambda: np.zeros(0, np.int64))

    @property
    def label_pixels(self) -> int:
        """Number of labelled pixels."""
        return self.true_positives + self.false_negatives

    def as_dict(self) -> dict[str, Any]:
        """Return the table's columns; a figure that is undefined for this case is None (an empty field)."""
        tp, fn, fp = self.true_positives, self.false_negatives, self.false_positives
        return {
            "case": self.case,
            "label_pixels": self.label_pixels,
            "true_positive_percent": _ratio(100.0 * tp, tp + fn),
            "false_negative_percent": _ratio(100.0 * fn, tp + fn),
            "false_positive_percent": _ratio(100.0 * fp, tp + fn),
            "precision": _ratio(tp, tp + fp),
            "recall": _ratio(tp, tp + fn),
            "f1": _ratio(2 * tp, 2 * tp + fp + fn),
            "dice": _ratio(2 * tp, 2 * tp + fp + fn),
            "false_positive_mm3": None if self.voxel_mm3 is None else fp * self.voxel_mm3,
        }


class PixelConfusion(ProbabilityMetric[PixelRow]):
    """True positives, false negatives and false positives in percent of the label's pixels.

    Precision, recall and F1 of the summary are those of all pixels of all cases together, as in "Deep Learning with
    PyTorch", chapter 13, whole scans without any label included; ``dice`` is the mean over cases. For a single case
    F1 and Dice are the same number.

    Args:
        output_transform: see :class:`ProbabilityMetric`.
        threshold: a pixel counts as found where its probability is above this.
        score: what :meth:`compute` returns.
        ignore_empty: leave cases without label out of the mean Dice. Otherwise such a case counts 1 where nothing was
            found and 0 where anything was. Either way ``n_empty`` and the false-positive volume tell of them.
        grid: thresholds to count at as well, so that one can be chosen afterwards (``choose_thresholds``).
        channel: see :class:`ProbabilityMetric`.

    Raises:
        ConfigurationError: an unknown ``score``, or a threshold outside [0, 1).
    """

    def __init__(
        self,
        output_transform: Callable[[Any], Any] | None = None,
        threshold: float = 0.5,
        score: Score = "dice",
        ignore_empty: bool = True,
        grid: Sequence[float] = THRESHOLD_GRID,
        channel: int | None = None,
    ) -> None:
        if score not in get_args(Score):
            raise ConfigurationError(f"score must be one of {get_args(Score)}, found {score!r}")
        if not all(0.0 <= value < 1.0 for value in (threshold, *grid)):
            raise ConfigurationError(f"thresholds must lie in [0, 1), found {[threshold, *grid]}")
        self.threshold = threshold
        self.score_name = score
        self.ignore_empty = ignore_empty
        self.grid = tuple(sorted(grid))
        super().__init__(output_transform, channel)

    def measure(self, scored: ScoredCase) -> PixelRow:
        """Count one case's pixels."""
        thresholds = np.array([self.threshold, *self.grid], dtype=np.float32)
        probability = scored.probability
        if scored.ignored is not None:  # unlabelled and not found: counted nowhere
            probability = np.where(scored.ignored, 0.0, probability)
        found, wrong = count_above(probability, scored.label, thresholds)
        labelled = int(np.count_nonzero(scored.label))
        return PixelRow(
            scored.case, int(found[0]), labelled - int(found[0]), int(wrong[0]), scored.voxel_mm3, found[1:], wrong[1:]
        )

    def score(self, rows: Sequence[PixelRow]) -> float:
        """Return the chosen figure over all rows."""
        return float(self._figures(rows, np.ones((1, len(rows)), np.int64))[self.score_name][0])

    def summary(self) -> dict[str, Any]:
        """Return figures over all cases, their 95 % intervals by case, and what was done about empty labels."""
        rows, counts = self.rows, _counts(self.rows)
        figures = self._figures(rows, np.ones((1, len(rows)), np.int64))
        label_pixels = counts[:, :2].sum()
        percent = {
            f"{name}_percent": _ratio(100.0 * counts[:, column].sum(), label_pixels)
            for column, name in enumerate(("true_positive", "false_negative", "false_positive"))
        }
        empty = [row for row in rows if row.label_pixels == 0]
        return {
            "n": len(rows),
            "n_empty": len(empty),
            "ignore_empty": self.ignore_empty,
            "threshold": self.threshold,
            **percent,
            **{name: _plain(values[0]) for name, values in figures.items()},
            "intervals": {name: self._interval(rows, name) for name in get_args(Score)},
            "false_positive_mm3": _false_positive_mm3(rows),
            "false_positive_mm3_in_empty": _false_positive_mm3(empty),
        }

    def _interval(self, rows: Sequence[PixelRow], name: str) -> list[float] | None:
        def statistic(weights: Weights) -> npt.NDArray[np.float64]:
            return self._figures(rows, weights)[name]

        return percentile_interval(len(rows), statistic)

    def _figures(self, rows: Sequence[PixelRow], weights: Weights) -> dict[str, npt.NDArray[np.float64]]:
        return figures(_counts(rows), weights, self.ignore_empty)


def figures(counts: Counts, weights: Weights, ignore_empty: bool) -> dict[str, npt.NDArray[np.float64]]:
    """Return Dice (mean over cases), F1, precision and recall (of all pixels), one value a row of ``weights``.

    Args:
        counts: ``(cases, 3)``: true positives, false negatives, false positives.
        weights: ``(resamples, cases)``: how often each case counts.
        ignore_empty: leave cases without label out of the mean Dice.
    """
    tp, fn, fp = (weights @ counts).astype(np.float64).T
    case_tp, case_fn, case_fp = counts.astype(np.float64).T
    occupied = 2 * case_tp + case_fn + case_fp
    dice = np.divide(2 * case_tp, occupied, out=np.ones_like(occupied), where=occupied > 0)
    counted = case_tp + case_fn > 0 if ignore_empty else np.ones(len(counts), bool)
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            "dice": (weights @ (dice * counted)) / (weights @ counted),
            "f1": 2 * tp / (2 * tp + fp + fn),
            "precision": tp / (tp + fp),
            "recall": tp / (tp + fn),
        }


def count_above(
    probability: npt.NDArray[Any], label: npt.NDArray[np.bool_], thresholds: npt.NDArray[np.float32]
) -> tuple[Counts, Counts]:
    """Return how many labelled and how many unlabelled pixels lie above each threshold, in one pass over the volume.

    Args:
        probability: any shape, in [0, 1].
        label: the same shape.
        thresholds: in any order.
    """
    labelled, everywhere = np.zeros((2, len(thresholds)), np.int64)
    values, labels = probability.reshape(-1), label.reshape(-1)
    lowest = thresholds.min()
    for start in range(0, len(values), CHUNK_VOXELS):
        chunk = slice(start, start + CHUNK_VOXELS)
        # Most voxels of a scan lie below every threshold: only the rest is compared with each of them.
        above = values[chunk] > lowest
        labelled += _count_each(values[chunk][above & labels[chunk]], thresholds)
        everywhere += _count_each(values[chunk][above], thresholds)
    return labelled, everywhere - labelled


def _count_each(values: npt.NDArray[Any], thresholds: npt.NDArray[np.float32]) -> Counts:
    return np.array([np.count_nonzero(values > threshold) for threshold in thresholds], dtype=np.int64)


def _counts(rows: Sequence[PixelRow]) -> Counts:
    return np.array(
        [[row.true_positives, row.false_negatives, row.false_positives] for row in rows], dtype=np.int64
    ).reshape(-1, 3)


def _false_positive_mm3(rows: Sequence[PixelRow]) -> float | None:
    # One scan of unknown voxel size leaves the sum unknown.
    volumes = [row.false_positives * row.voxel_mm3 for row in rows if row.voxel_mm3 is not None]
    return sum(volumes) if len(volumes) == len(rows) else None


def _ratio(part: float, whole: float) -> float | None:
    return float(part / whole) if whole else None


def _plain(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
