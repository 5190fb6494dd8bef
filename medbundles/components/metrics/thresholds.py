"""Thresholds, fixed on validation cases and stored with the model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from medbundles.components.metrics.lesion_detection import LesionDetection
from medbundles.components.metrics.pixel_confusion import PixelConfusion, PixelRow, figures
from medbundles.errors import ConfigurationError

Criterion = Literal["dice", "f1"]


def choose_thresholds(
    pixels: PixelConfusion, lesions: LesionDetection | None = None, criterion: Criterion = "dice"
) -> dict[str, Any]:
    """Return the thresholds that inference shall use, as plain data for ``model.json``.

    Call it after the metrics have seen the validation cases, never with test cases.

    Args:
        pixels: its rows hold the counts over its grid of thresholds.
        lesions: its rows hold the candidates' peaks; None leaves the lesion part out.
        criterion: what the mask's threshold maximizes: ``dice`` (mean over cases, empty labels as ``pixels`` treats
            them) or ``f1`` (of all pixels together, false positives in empty scans included).

    Returns:
        ``mask_threshold``, ``criterion``, its value and the number of cases; with ``lesions`` also
        ``candidate_threshold``, ``minimum_voxels``, ``peak_threshold`` (candidates of at least this peak are kept),
        ``false_positive_budget``, ``sensitivity`` and ``false_positives_per_scan``.

    Raises:
        ConfigurationError: no case was seen, none has a label, or the metric was made without a grid.
    """
    if criterion not in get_args(Criterion):
        raise ConfigurationError(f"criterion must be one of {get_args(Criterion)}, found {criterion!r}")
    rows = pixels.rows
    if not rows or not pixels.grid or not any(row.label_pixels for row in rows):
        raise ConfigurationError(
            f"thresholds need labelled validation cases and a grid; there are {len(rows)} cases, "
            f"{sum(row.label_pixels > 0 for row in rows)} of them with a label, and {len(pixels.grid)} thresholds"
        )
    values = grid_scores(rows, pixels.ignore_empty, criterion)
    # The middle of the best plateau: a neighbor that is as good is less likely to be luck.
    best = np.flatnonzero(values == values.max())
    chosen = int(best[len(best) // 2])
    result: dict[str, Any] = {
        "mask_threshold": pixels.grid[chosen],
        "criterion": criterion,
        criterion: float(values[chosen]),
        "cases": len(rows),
    }
    return result if lesions is None else {**result, **_lesion_thresholds(lesions)}


def grid_scores(rows: Sequence[PixelRow], ignore_empty: bool, criterion: Criterion) -> npt.NDArray[np.float64]:
    """Return the criterion at every threshold of the grid; 0 where nothing is found at all."""
    everyone = np.ones((1, len(rows)), np.int64)
    values = []
    for position in range(len(rows[0].grid_true_positives)):
        found = [int(row.grid_true_positives[position]) for row in rows]
        counts = np.array(
            [
                [tp, row.label_pixels - tp, row.grid_false_positives[position]]
                for tp, row in zip(found, rows, strict=True)
            ],
            dtype=np.int64,
        )
        values.append(float(figures(counts, everyone, ignore_empty)[criterion][0]))
    return np.nan_to_num(np.array(values, dtype=np.float64))


def _lesion_thresholds(lesions: LesionDetection) -> dict[str, Any]:
    point = lesions.operating_point()
    return {
        "candidate_threshold": lesions.candidate_threshold,
        "minimum_voxels": lesions.minimum_voxels,
        "peak_threshold": point.threshold,
        "false_positive_budget": lesions.false_positive_budget,
        "sensitivity": point.sensitivity if np.isfinite(point.sensitivity) else None,
        "false_positives_per_scan": point.false_positives_per_scan,
    }
