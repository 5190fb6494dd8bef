"""How sure a figure is: percentile intervals by drawing cases again, with replacement."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

RESAMPLES = 1000
CONFIDENCE = 0.95
# Fixed: the same rows always give the same interval, whatever else was drawn before.
SEED = 0

Weights = npt.NDArray[np.int64]


def resampling_weights(cases: int, resamples: int = RESAMPLES) -> Weights:
    """Return how often each case is drawn in each resample, ``(resamples, cases)``."""
    return np.random.default_rng(SEED).multinomial(cases, np.full(cases, 1.0 / cases), size=resamples)


def percentile_interval(
    cases: int, statistic: Callable[[Weights], npt.NDArray[np.float64]], resamples: int = RESAMPLES
) -> list[float] | None:
    """Return the bounds of the 95 % interval of a statistic over cases.

    Args:
        cases: number of cases.
        statistic: takes weights ``(resamples, cases)`` and returns one value each; NaN where it is undefined.
        resamples: number of resamples.

    Returns:
        ``[low, high]``, or None with fewer than two cases or where the statistic is never defined.
    """
    if cases < 2:
        return None
    return percentiles(statistic(resampling_weights(cases, resamples)))


def percentiles(values: npt.NDArray[np.float64]) -> list[float] | None:
    """Return the bounds of the 95 % interval of resampled values; None where none of them is a number."""
    values = values[np.isfinite(values)]
    if not len(values):
        return None
    tail = (1.0 - CONFIDENCE) / 2.0
    return [float(bound) for bound in np.quantile(values, [tail, 1.0 - tail])]


def weighted_mean(values: npt.NDArray[np.float64], weights: Weights) -> npt.NDArray[np.float64]:
    """Return for each row of ``weights`` the mean over the cases where the figure is defined; NaN without any.

    Args:
        values: ``(cases,)``, NaN where the figure is undefined.
        weights: ``(resamples, cases)``: how often each case counts.
    """
    known = np.isfinite(values)
    counted = weights @ known
    total = weights @ np.where(known, values, 0.0)
    return np.asarray(np.divide(total, counted, out=np.full(len(weights), np.nan), where=counted > 0))


def mean_of(values: npt.NDArray[np.float64]) -> float:
    """Return the mean over the cases where the figure is defined; NaN without any."""
    return float(weighted_mean(values, np.ones((1, len(values)), np.int64))[0])


def mean_interval(values: npt.NDArray[np.float64]) -> list[float] | None:
    """Return the 95 % interval by case of :func:`mean_of`, as :func:`percentile_interval` does."""
    return percentile_interval(len(values), lambda weights: weighted_mean(values, weights))


def defined(value: float) -> float | None:
    """Return a figure, or None where it is undefined."""
    return float(value) if np.isfinite(value) else None
