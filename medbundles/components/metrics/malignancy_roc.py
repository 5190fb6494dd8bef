"""How well benign and malignant nodules are told apart, once they are found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from medbundles.components.metrics.bootstrap import Weights, percentile_interval
from medbundles.components.metrics.luna16_score import hit_spheres
from medbundles.components.metrics.nodule_detection import labeled_spheres
from medbundles.components.metrics.probability_metric import ProbabilityMetric, ScoredCase
from medbundles.components.nodules import MALIGNANT, Nodule, find_nodules
from medbundles.errors import ConfigurationError
from medbundles.io.grids import Affine

CHANNELS = ("benign", MALIGNANT)
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class VerdictRow:
    """The nodules of one scan whose verdict is known.

    Attributes:
        case: its name.
        benign: ``(n,)`` malignancy probability of the findings that hit benign nodules, one a nodule that was found.
        malignant: the same of malignant nodules.
        missed: nodules that no finding hits.
    """

    case: str
    benign: Floats
    malignant: Floats
    missed: int

    def as_dict(self) -> dict[str, Any]:
        """Return the columns of the table."""
        return {
            "case": self.case,
            "benign_found": len(self.benign),
            "malignant_found": len(self.malignant),
            "with_verdict_missed": self.missed,
        }


class MalignancyRoc(ProbabilityMetric[VerdictRow]):
    """Area under the ROC curve of malignant against benign nodules, over those that are found.

    A finding's malignancy probability is that of inference: the mean over its voxels of
    ``p_malignant / (p_benign + p_malignant)``. A nodule is a connected component of one of the label's two channels;
    it is found when a finding lies nearer to its center than the radius of the ball of its volume (the rule of
    LUNA16); of several findings the one with the highest probability speaks for it. The area is the chance that a
    malignant nodule has a higher malignancy probability than a benign one, equal ones counted half; it says nothing of
    nodules that are missed and of findings that are none.

    Args:
        candidate_threshold: probability above which voxels form findings.
        threshold: probability above which a voxel counts for a finding's center and classes.
        peak_threshold: findings with a lower highest probability are left out; None keeps all.
        output_transform: see :class:`ProbabilityMetric`; prediction and label have the channels benign and malignant.
    """

    score_name = "auc"

    def __init__(
        self,
        candidate_threshold: float = 0.1,
        threshold: float = 0.5,
        peak_threshold: float | None = None,
        output_transform: Callable[[Any], Any] | None = None,
    ) -> None:
        self.candidate_threshold = candidate_threshold
        self.threshold = threshold
        self.peak_threshold = peak_threshold
        super().__init__(output_transform)

    def measure(self, scored: ScoredCase) -> VerdictRow:
        """Match one scan's findings with its nodules of known verdict.

        Raises:
            ConfigurationError: neither prediction nor label knows where its voxels lie, or one has not two channels.
        """
        if scored.affine is None or scored.tensors is None:
            raise ConfigurationError(f"case {scored.case}: centers in mm need an affine, and the tensors have none")
        prediction, label = (np.asarray(tensor.detach().cpu()) for tensor in scored.tensors)
        if len(prediction) != len(CHANNELS) or len(label) != len(CHANNELS):
            raise ConfigurationError(
                f"case {scored.case}: benign and malignant are two channels, found {len(prediction)} of the prediction "
                f"and {len(label)} of the label"
            )
        found = find_nodules(
            prediction,
            scored.affine,
            scored.case,
            self.threshold,
            candidate_threshold=self.candidate_threshold,
            classes=CHANNELS,
        )
        findings = [finding for finding in found if finding.peak_probability >= (self.peak_threshold or 0.0)]
        benign, malignant = (_scores(findings, channel > 0, scored.affine) for channel in label)
        missed = int(np.isnan(benign).sum() + np.isnan(malignant).sum())
        return VerdictRow(scored.case, benign[~np.isnan(benign)], malignant[~np.isnan(malignant)], missed)

    def score(self, rows: Sequence[VerdictRow]) -> float:
        """Return the area over all scans; NaN without a found nodule of both kinds."""
        return float(areas(rows, np.ones((1, len(rows)), np.int64))[0])

    def summary(self) -> dict[str, Any]:
        """Return the area over all scans, its 95 % interval by scan, and how many nodules it is drawn from."""
        rows = self.rows
        area = self.score(rows)
        return {
            "n": len(rows),
            "benign_found": sum(len(row.benign) for row in rows),
            "malignant_found": sum(len(row.malignant) for row in rows),
            "with_verdict_missed": sum(row.missed for row in rows),
            "peak_threshold": self.peak_threshold,
            "auc": area if np.isfinite(area) else None,
            "intervals": {"auc": percentile_interval(len(rows), lambda weights: areas(rows, weights))},
        }


def areas(rows: Sequence[VerdictRow], weights: Weights) -> Floats:
    """Return the area under the ROC curve for each row of ``weights``, NaN where a kind of nodule is missing.

    Args:
        rows: one a scan.
        weights: ``(resamples, scans)``: how often each scan counts.
    """
    benign, benign_scan = _pooled([row.benign for row in rows])
    malignant, malignant_scan = _pooled([row.malignant for row in rows])
    order = np.sign(malignant[:, None] - benign[None])
    right = (1.0 + order) / 2.0
    benign_times, malignant_times = weights[:, benign_scan], weights[:, malignant_scan]
    pairs = (benign_times.sum(axis=1) * malignant_times.sum(axis=1)).astype(np.float64)
    won = ((malignant_times @ right) * benign_times).sum(axis=1)
    return np.asarray(np.divide(won, pairs, out=np.full(len(weights), np.nan), where=pairs > 0))


def _scores(findings: Sequence[Nodule], label: npt.NDArray[np.bool_], affine: Affine) -> Floats:
    """Return the malignancy probability of each nodule of a label ``(H, W, D)``, NaN where no finding hits it."""
    nodules = labeled_spheres(label, affine)
    centers = np.array([finding.center_lps_mm for finding in findings], dtype=np.float64).reshape(-1, 3)
    hits = hit_spheres(centers, nodules)
    # Findings come with the most probable first: the first that hits speaks for the nodule.
    first = [np.flatnonzero(hits[:, number]) for number in range(len(nodules))]
    return np.array([findings[at[0]].class_shares[MALIGNANT] if at.size else np.nan for at in first], dtype=np.float64)


def _pooled(scores: Sequence[Floats]) -> tuple[Floats, npt.NDArray[np.int64]]:
    scans = np.repeat(np.arange(len(scores)), [len(part) for part in scores])
    return np.concatenate([np.zeros(0, np.float64), *scores]), scans
