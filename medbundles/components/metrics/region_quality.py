"""How well each region is segmented: overlap, distance of surfaces, volumes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np

from medbundles.components.metrics.bootstrap import defined
from medbundles.components.metrics.region_metric import RegionMetric, RegionPair
from medbundles.components.metrics.surface_distance import (
    ONE_EMPTY_MM,
    hausdorff_95,
    surface_dice,
    surface_distances,
)
from medbundles.components.region_labels import Regions
from medbundles.errors import ConfigurationError
from medbundles.io.grids import voxel_volume_mm3

ML_PER_MM3 = 1e-3
TOLERANCE_MM = 1.0


@dataclass(frozen=True)
class RegionRow:
    """The figures of one region of one case, NaN where one is undefined.

    Attributes:
        case: the case's name.
        region: the region's.
        dice: 0 to 1; 1 where truth and prediction are both empty.
        hd95_mm: larger 95th percentile of both ways' surface distances, mm; 0 where both are empty, 374 where one is.
        surface_dice: share of both surfaces within the tolerance; 1 where both are empty, 0 where one is.
        sensitivity: share of the truth that is found; undefined where it is empty.
        precision: share of the prediction that is true; undefined where it is empty.
        truth_ml: volume of the truth.
        predicted_ml: volume of the prediction.
        false_positive_ml: volume that is predicted outside of the truth.
        truth_voxels: voxels of the truth.
        predicted_voxels: voxels of the prediction.
    """

    case: str
    region: str
    dice: float
    hd95_mm: float
    surface_dice: float
    sensitivity: float
    precision: float
    truth_ml: float
    predicted_ml: float
    false_positive_ml: float
    truth_voxels: int
    predicted_voxels: int

    def as_dict(self) -> dict[str, Any]:
        """Return the table's columns; an undefined figure is None (an empty field)."""
        return {key: defined(value) if isinstance(value, float) else value for key, value in asdict(self).items()}


class RegionQuality(RegionMetric[RegionRow]):
    """Dice, HD95, surface Dice, sensitivity, precision and volumes of every region of every case.

    :meth:`compute` returns the mean Dice: over cases, then over regions. Cases without a region count: where nothing is
    predicted either, Dice and surface Dice are 1 and HD95 is 0; where anything is, or where a region that is there is
    missed altogether, Dice and surface Dice are 0 and HD95 is 374 mm (:data:`ONE_EMPTY_MM`, as in the BraTS
    challenges). ``n_empty`` of the summary counts the cases whose truth is empty, ``n_both_empty`` those of them where
    nothing is predicted, ``n_missed`` those with a region and no prediction.

    HD95 is the larger of both ways' 95th percentiles of distances between surface voxels (those with a face outside),
    in world coordinates. Distances and volumes are undefined where neither prediction nor label is a ``MetaTensor``.

    Args:
        regions: see :class:`medbundles.components.metrics.region_metric.RegionMetric`.
        output_transform: see there.
        threshold: see there.
        surface: measure HD95 and surface Dice; False saves their time, as in the validations of a training.
        tolerance_mm: distance of surfaces that surface Dice lets pass.

    Raises:
        ConfigurationError: no region, or a tolerance below 0.
    """

    score_name: ClassVar[str] = "dice"
    figures: ClassVar[tuple[str, ...]] = (
        "dice",
        "hd95_mm",
        "surface_dice",
        "sensitivity",
        "precision",
        "truth_ml",
        "predicted_ml",
        "false_positive_ml",
    )

    def __init__(
        self,
        regions: Regions | Sequence[str],
        output_transform: Callable[[Any], Any] | None = None,
        threshold: float = 0.5,
        surface: bool = True,
        tolerance_mm: float = TOLERANCE_MM,
    ) -> None:
        if not tolerance_mm >= 0.0:
            raise ConfigurationError(f"tolerance_mm must be 0 or more, found {tolerance_mm}")
        self.surface = surface
        self.tolerance_mm = tolerance_mm
        super().__init__(regions, output_transform, threshold)

    def compare(self, pair: RegionPair) -> RegionRow:
        """Measure one region."""
        found, real = int(pair.prediction.sum()), int(pair.truth.sum())
        both = int(np.count_nonzero(pair.prediction & pair.truth))
        voxel_ml = np.nan if pair.affine is None else voxel_volume_mm3(pair.affine) * ML_PER_MM3
        hd95, near = self._surfaces(pair, found, real)
        return RegionRow(
            case=pair.case,
            region=pair.region,
            dice=2.0 * both / (found + real) if found + real else 1.0,
            hd95_mm=hd95,
            surface_dice=near,
            sensitivity=both / real if real else np.nan,
            precision=both / found if found else np.nan,
            truth_ml=real * voxel_ml,
            predicted_ml=found * voxel_ml,
            false_positive_ml=(found - both) * voxel_ml,
            truth_voxels=real,
            predicted_voxels=found,
        )

    def _surfaces(self, pair: RegionPair, found: int, real: int) -> tuple[float, float]:
        """Return HD95 and surface Dice."""
        if not self.surface:
            return np.nan, np.nan
        if not found or not real:
            return (ONE_EMPTY_MM, 0.0) if found or real else (0.0, 1.0)
        if pair.affine is None:
            return np.nan, np.nan
        distances = surface_distances(pair.prediction, pair.truth, pair.affine)
        return hausdorff_95(*distances), surface_dice(*distances, self.tolerance_mm)

    def summary(self) -> dict[str, Any]:
        """Return means over cases with 95 % intervals by case, and what empty regions counted."""
        return {**super().summary(), "tolerance_mm": self.tolerance_mm, "hd95_of_one_empty_mm": ONE_EMPTY_MM}

    def region_summary(self, rows: Sequence[RegionRow], region: str) -> dict[str, Any]:
        """Return the figures of one region and how many cases lack it."""
        chosen = [row for row in rows if row.region == region]
        empty = [row for row in chosen if not row.truth_voxels]
        return {
            "n": len(chosen),
            "n_empty": len(empty),
            "n_both_empty": sum(not row.predicted_voxels for row in empty),
            "n_missed": sum(bool(row.truth_voxels) and not row.predicted_voxels for row in chosen),
            **super().region_summary(rows, region),
        }
