"""Annotated nodules found by their centers: the LUNA16 score, and sensitivity by size and type."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from medbundles.components.metrics.bootstrap import percentiles, resampling_weights
from medbundles.components.metrics.case_metric import case_of
from medbundles.components.metrics.froc import LUNA16_RATES, Floats, Froc, froc_curve, measured_at, operating_point
from medbundles.components.metrics.lesion_matching import find_components
from medbundles.components.metrics.luna16_score import Sphere, luna16_score, score_scan, sensitivities
from medbundles.components.metrics.probability_metric import ProbabilityMetric, ScoredCase
from medbundles.components.nodules import find_nodules
from medbundles.errors import ConfigurationError
from medbundles.io.grids import Affine, flip_lps, to_world, voxel_volume_mm3

# Upper ends of the size groups in mm: the limits at which guidelines change what is done about a nodule.
SIZE_LIMITS_MM = (6.0, 8.0, 15.0)
# What the challenge's evaluation takes for the findings of its excluded list that have no diameter.
EXCLUDED_DIAMETER_MM = 10.0


@dataclass(frozen=True)
class NoduleRow:
    """The findings of one scan, matched with its annotations.

    Attributes:
        case: its name.
        lesion_scores: ``(nodules,)`` highest probability among the findings that hit it, -1 without any.
        false_positive_scores: ``(false positives,)`` probabilities of the findings that hit nothing.
        ignored: findings that hit only what is excluded.
        groups: ``(nodules,)`` the names of the groups each nodule belongs to: of its size, and of its type if known.
    """

    case: str
    lesion_scores: Floats
    false_positive_scores: Floats
    ignored: int
    groups: tuple[tuple[str, ...], ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the columns of the table."""
        return {
            "case": self.case,
            "annotated": len(self.lesion_scores),
            "annotated_with_candidate": int((self.lesion_scores > 0).sum()),
            "excluded_findings": self.ignored,
        }


class NoduleDetection(ProbabilityMetric[NoduleRow]):
    """The LUNA16 score: mean sensitivity at 1/8, 1/4, 1/2, 1, 2, 4 and 8 false positives a scan.

    A finding hits a nodule when it lies nearer to its center than its radius (Setio et al., Medical Image Analysis 42,
    2017); a finding at something the data list calls excluded counts neither way. Centers and diameters are those of
    the data list (``nodules`` and ``excluded`` of a record); a case whose record has none is judged by the connected
    components of its label. Findings are the same as in inference: their centers are weighted by probability.

    Args:
        records: the data list's records; ``case``, ``nodules`` and ``excluded`` are read, the last two with
            ``center_lps_mm``, ``diameter_mm`` and perhaps ``type``.
        candidate_threshold: probability above which voxels form findings.
        threshold: probability above which a voxel counts for a finding's center and size.
        peak_threshold: report also at this probability of a finding, fixed on other cases.
        false_positive_budget: false positives a scan at which the groups are compared.
        output_transform: see :class:`ProbabilityMetric`.
        channel: see :class:`ProbabilityMetric`.
    """

    def __init__(
        self,
        records: Sequence[Mapping[str, Any]] = (),
        candidate_threshold: float = 0.1,
        threshold: float = 0.5,
        peak_threshold: float | None = None,
        false_positive_budget: float = 4.0,
        output_transform: Callable[[Any], Any] | None = None,
        channel: int | None = None,
    ) -> None:
        self.records = records
        self.candidate_threshold = candidate_threshold
        self.threshold = threshold
        self.peak_threshold = peak_threshold
        self.false_positive_budget = false_positive_budget
        super().__init__(output_transform, channel)

    def measure(self, scored: ScoredCase) -> NoduleRow:
        """Match one scan's findings with its annotations.

        Raises:
            ConfigurationError: neither prediction nor label knows where its voxels lie.
        """
        if scored.affine is None:
            raise ConfigurationError(f"case {scored.case}: centers in mm need an affine, and the tensors have none")
        record = next((record for record in self.records if record.get("case") == scored.case), {})
        entries = record.get("nodules")
        nodules = (
            labeled_spheres(scored.label, scored.affine) if entries is None else [_sphere(entry) for entry in entries]
        )
        found = find_nodules(
            scored.probability,
            scored.affine,
            scored.case,
            self.threshold,
            candidate_threshold=self.candidate_threshold,
        )
        result = score_scan(
            [finding.center_lps_mm for finding in found],
            [finding.peak_probability for finding in found],
            nodules,
            [_sphere(entry) for entry in record.get("excluded", [])],
        )
        types = [entry.get("type") for entry in entries] if entries is not None else [None] * len(nodules)
        groups = tuple(_groups(nodule, kind) for nodule, kind in zip(nodules, types, strict=True))
        return NoduleRow(scored.case, result.lesion_scores, result.false_positive_scores, result.ignored, groups)

    def score(self, rows: Sequence[NoduleRow]) -> float:
        """Return the LUNA16 score; NaN when no scan has a nodule."""
        return luna16_score(rows)

    def froc(self) -> Froc:
        """Return the whole curve, on the cases seen."""
        return froc_curve(self.rows)

    def table(self) -> list[dict[str, Any]]:
        """Return one row a scan, with what is found and false at the peak threshold in use."""
        threshold = self._threshold()
        return [
            {
                **row.as_dict(),
                "annotated_found": int((row.lesion_scores >= threshold).sum()),
                "findings_false": int((row.false_positive_scores >= threshold).sum()),
            }
            for row in sorted(self.rows, key=case_of)
        ]

    def summary(self) -> dict[str, Any]:
        """Return score and sensitivities over all scans, the score's interval by scan, and the groups."""
        rows = self.rows
        fixed = {} if self.peak_threshold is None else {"at_fixed_threshold": self._at(self.peak_threshold)}
        budget = operating_point(rows, self.false_positive_budget)
        return {
            "n": len(rows),
            "nodules": sum(len(row.lesion_scores) for row in rows),
            "excluded_findings": sum(row.ignored for row in rows),
            "luna16_score": _plain(luna16_score(rows)),
            "intervals": self._intervals(),
            "froc": {str(rate): _plain(value) for rate, value in sensitivities(rows).items()},
            "false_positive_budget": self.false_positive_budget,
            "groups_at_budget": by_group(rows, budget.threshold),
            **fixed,
        }

    def _threshold(self) -> float:
        if self.peak_threshold is not None:
            return self.peak_threshold
        return operating_point(self.rows, self.false_positive_budget).threshold

    def _at(self, threshold: float) -> dict[str, Any]:
        point = measured_at(self.rows, threshold)
        return {
            "peak_threshold": threshold,
            "sensitivity": _plain(point.sensitivity),
            "false_positives_per_scan": point.false_positives_per_scan,
            "groups": by_group(self.rows, threshold),
        }

    def _intervals(self) -> dict[str, Any]:
        """Return the 95 % intervals of the score and of the sensitivities at LUNA16's rates, scans drawn again."""
        rows = self.rows
        draws = resampling_weights(len(rows)) if len(rows) > 1 else ()
        drawn = np.array([list(sensitivities(_repeated(rows, times)).values()) for times in draws])
        drawn = drawn.reshape(-1, len(LUNA16_RATES))
        curve = {str(rate): percentiles(values) for rate, values in zip(LUNA16_RATES, drawn.T, strict=True)}
        return {"luna16_score": percentiles(drawn.mean(axis=1)), "froc": curve}


def _repeated(rows: Sequence[NoduleRow], times: npt.NDArray[np.int64]) -> list[NoduleRow]:
    return [row for row, number in zip(rows, times, strict=True) for _ in range(number)]


def by_group(rows: Sequence[NoduleRow], threshold: float) -> dict[str, dict[str, float]]:
    """Return for every group of nodules their number and the share found at ``threshold``."""
    found: dict[str, list[bool]] = {}
    for row in rows:
        for score, groups in zip(row.lesion_scores, row.groups, strict=True):
            for group in groups:
                found.setdefault(group, []).append(bool(score >= threshold))
    return {
        name: {"nodules": len(hits), "sensitivity": sum(hits) / len(hits)}
        for name, hits in sorted(found.items(), key=lambda item: _order(item[0]))
    }


def size_group(diameter_mm: float) -> str:
    """Return the name of a nodule's size group, such as ``6 to 8 mm``."""
    above = next((number for number, limit in enumerate(SIZE_LIMITS_MM) if diameter_mm < limit), len(SIZE_LIMITS_MM))
    if above == 0:
        return f"below {SIZE_LIMITS_MM[0]:g} mm"
    if above == len(SIZE_LIMITS_MM):
        return f"{SIZE_LIMITS_MM[-1]:g} mm and more"
    return f"{SIZE_LIMITS_MM[above - 1]:g} to {SIZE_LIMITS_MM[above]:g} mm"


def _order(group: str) -> tuple[int, str]:
    sizes = [size_group(limit - 1e-6) for limit in (*SIZE_LIMITS_MM, float("inf"))]
    return (sizes.index(group) if group in sizes else len(sizes)), group


def _groups(nodule: Sphere, kind: Any) -> tuple[str, ...]:
    return (size_group(nodule.diameter_mm), *([str(kind)] if kind else []))


def _sphere(entry: Mapping[str, Any]) -> Sphere:
    x, y, z = (float(value) for value in entry["center_lps_mm"])
    return Sphere((x, y, z), float(entry.get("diameter_mm") or EXCLUDED_DIAMETER_MM))


def labeled_spheres(label: npt.NDArray[np.bool_], affine: Affine) -> list[Sphere]:
    """Return for each connected component of a label ``(H, W, D)`` the ball of its volume about its center (LPS mm)."""
    found = find_components(label)
    volumes = found.sizes * voxel_volume_mm3(affine)
    centers = [flip_lps(to_world(affine, center)) for center in found.centers]
    return [
        Sphere((float(x), float(y), float(z)), float((6 * volume / np.pi) ** (1 / 3)))
        for (x, y, z), volume in zip(centers, volumes, strict=True)
    ]


def _plain(value: float) -> float | None:
    return value if np.isfinite(value) else None
