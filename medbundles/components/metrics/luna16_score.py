"""The score of the LUNA16 challenge: a finding hits a nodule when it lies nearer to its center than its radius.

Source: Setio et al., Medical Image Analysis 42, 2017, and the rules of the challenge. Unlike
:class:`medbundles.components.metrics.LesionDetection` it needs no masks, and a large vague finding may hit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from medbundles.components.metrics.froc import LUNA16_RATES, NOT_FOUND, Scan, froc_curve

Floats = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Sphere:
    """An annotated nodule.

    Attributes:
        center_mm: in the world of the findings (LUNA16: LPS mm).
        diameter_mm: above 0.
    """

    center_mm: tuple[float, float, float]
    diameter_mm: float


@dataclass(frozen=True)
class ScoredScan:
    """One scan's findings, matched with its annotations.

    Attributes:
        lesion_scores: ``(nodules,)`` highest probability among the findings that hit it, ``NOT_FOUND`` without any.
        false_positive_scores: ``(false positives,)`` probabilities of the findings that hit nothing.
        ignored: findings that hit only what is excluded.
    """

    lesion_scores: Floats
    false_positive_scores: Floats
    ignored: int = 0


def score_scan(
    centers_mm: npt.ArrayLike,
    probabilities: npt.ArrayLike,
    nodules: Sequence[Sphere],
    excluded: Sequence[Sphere] = (),
) -> ScoredScan:
    """Match the findings of one scan.

    A finding may hit several nodules; several findings of one nodule count once, with the highest probability. A
    finding that hits no nodule but an excluded one counts neither way.

    Args:
        centers_mm: ``(findings, 3)``.
        probabilities: ``(findings,)``.
        nodules: the annotations.
        excluded: findings of readers that are no annotation (LUNA16: ``annotations_excluded.csv``).
    """
    centers = np.asarray(centers_mm, dtype=np.float64).reshape(-1, 3)
    scores = np.asarray(probabilities, dtype=np.float64)
    hits, ignored = hit_spheres(centers, nodules), hit_spheres(centers, excluded).any(axis=1)
    best = np.where(hits, scores[:, None], NOT_FOUND).max(axis=0, initial=NOT_FOUND)
    missed = ~hits.any(axis=1)
    return ScoredScan(best, scores[missed & ~ignored], int((missed & ignored).sum()))


def sensitivities(scans: Sequence[Scan]) -> dict[float, float]:
    """Return the sensitivity at LUNA16's seven rates of false positives a scan, linear between the curve's points.

    NaN where no scan has a nodule.
    """
    curve = froc_curve(scans)
    rates = np.concatenate([[0.0], curve.false_positives_per_scan])
    found = np.concatenate([[0.0], curve.sensitivity])
    return {rate: float(np.interp(rate, rates, found)) for rate in LUNA16_RATES}


def luna16_score(scans: Sequence[Scan]) -> float:
    """Return the challenge's score: the mean of the :func:`sensitivities`."""
    return float(np.mean(list(sensitivities(scans).values())))


def hit_spheres(centers: Floats, spheres: Sequence[Sphere]) -> npt.NDArray[np.bool_]:
    """Return ``(findings, spheres)``: whether a finding ``(3,)`` lies nearer to a center than the radius."""
    if not spheres:
        return np.zeros((len(centers), 0), dtype=bool)
    middle = np.array([sphere.center_mm for sphere in spheres], dtype=np.float64)
    radius = np.array([sphere.diameter_mm for sphere in spheres], dtype=np.float64) / 2
    return np.asarray(np.linalg.norm(centers[:, None] - middle[None], axis=2) < radius)
