"""How regions are best cleaned, chosen on validation cases and stored with the model."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, get_args

import numpy as np
import numpy.typing as npt

from medbundles.components.lesion_components import LesionComponents
from medbundles.components.metrics.lesion_wise import DILATIONS, SMALLEST_LESION_VOXELS
from medbundles.components.metrics.region_metric import RegionMetric, RegionPair
from medbundles.components.metrics.region_quality import ML_PER_MM3
from medbundles.components.region_cleaning import filled_holes, innermost, outermost
from medbundles.components.region_labels import Regions
from medbundles.errors import ConfigurationError
from medbundles.io.grids import voxel_volume_mm3

Criterion = Literal["both", "lesion_dice", "dice"]
Floats = npt.NDArray[np.float64]

THRESHOLDS = (0.3, 0.4, 0.5, 0.6, 0.7)
# A glioma is rarely smaller than the last one; metastases are.
SMALLEST_ML = (0.0, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
REPLACE_BELOW_ML = (0.0, 0.03, 0.1, 0.3, 1.0)
DEFAULT_THRESHOLD = 0.5
# What a setting must gain for being further from doing nothing: less is luck with a handful of cases.
WORTH = 1e-3


@dataclass(frozen=True)
class CleaningRow:
    """What each setting makes of one region of one case.

    Attributes:
        case: the case's name.
        region: the region's.
        dice: ``(thresholds, smallest volumes, 2)``; the last axis: holes as they are, and filled.
        lesion_dice: the same.
        ml: the same: how much is left.
        empty_dice: Dice where the region is given up.
        empty_lesion_dice: lesion-wise Dice there.
    """

    case: str
    region: str
    dice: Floats = field(repr=False)
    lesion_dice: Floats = field(repr=False)
    ml: Floats = field(repr=False)
    empty_dice: float
    empty_lesion_dice: float

    def as_dict(self) -> dict[str, Any]:
        """Return the columns of a table: the Dice without any cleaning but the lowest threshold's."""
        return {"case": self.case, "region": self.region, "dice": float(self.dice[0, 0, 0])}

    def values(self, criterion: Criterion, replace_below_ml: float) -> Floats:
        """Return the criterion of every setting, ``(thresholds, smallest volumes, 2)``."""
        choices = {
            "dice": (self.dice, self.empty_dice),
            "lesion_dice": (self.lesion_dice, self.empty_lesion_dice),
            "both": ((self.dice + self.lesion_dice) / 2, (self.empty_dice + self.empty_lesion_dice) / 2),
        }
        values, empty = choices[criterion]
        return np.where(self.ml < replace_below_ml, empty, values)


class CleaningSearch(RegionMetric[CleaningRow]):
    """Try thresholds, smallest components, filled holes and replacements on every validation case; keep a few numbers.

    A metric like the others: give it to the evaluator among ``additional_metrics``, and :func:`choose_cleaning` to the
    model's record. Of each case only scores are kept, never a volume. Regions are tried one by one, without the cuts
    that nesting makes.

    :meth:`compute` returns the criterion with the settings that would be chosen, mean over cases and regions.

    Args:
        regions: label values that make each region, in the order of the prediction's channels.
        output_transform: see :class:`medbundles.components.metrics.region_metric.RegionMetric`.
        criterion: what is maximized, mean over cases: ``lesion_dice`` (as :class:`LesionWise` has it: every speck
            counts as much as the tumor), ``dice`` (specks hardly count) or ``both``, their mean.
        thresholds: to try, rising.
        smallest_ml: volumes of the smallest component to try, ml.
        replace_below_ml: volumes to try below which a region that lies in another is given up, ml.
        dilations: see :class:`LesionWise`.
        smallest_lesion_voxels: see :class:`LesionWise`.

    Raises:
        ConfigurationError: an unknown criterion or an empty grid.
    """

    score_name: ClassVar[str] = "cleaned"
    figures: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        regions: Regions,
        output_transform: Callable[[Any], Any] | None = None,
        criterion: Criterion = "both",
        thresholds: Sequence[float] = THRESHOLDS,
        smallest_ml: Sequence[float] = SMALLEST_ML,
        replace_below_ml: Sequence[float] = REPLACE_BELOW_ML,
        dilations: int = DILATIONS,
        smallest_lesion_voxels: int = SMALLEST_LESION_VOXELS,
    ) -> None:
        if criterion not in get_args(Criterion) or not (thresholds and smallest_ml and replace_below_ml):
            raise ConfigurationError(
                f"criterion must be one of {get_args(Criterion)}, found {criterion!r}, and no grid may be empty"
            )
        self.criterion: Criterion = criterion
        self.thresholds = tuple(sorted(thresholds))
        self.smallest_ml = tuple(sorted(smallest_ml))
        self.replace_below_ml = tuple(sorted(replace_below_ml))
        self.margin = self.dilations = dilations
        self.smallest_lesion_voxels = smallest_lesion_voxels
        self.outer, self.inner = outermost(regions), innermost(regions)
        super().__init__(regions, output_transform, self.thresholds[0])

    def compare(self, pair: RegionPair) -> CleaningRow:
        """Try every setting on one region.

        Raises:
            ConfigurationError: neither prediction nor label knows the size of its voxels.
        """
        if pair.affine is None:
            raise ConfigurationError(f"case {pair.case}: volumes need tensors that know the size of their voxels")
        voxel_ml = voxel_volume_mm3(pair.affine) * ML_PER_MM3
        dice, lesion_dice, ml = np.zeros((3, len(self.thresholds), len(self.smallest_ml), 2))
        for number, threshold in enumerate(self.thresholds):
            mask = np.asarray(pair.probability > threshold)
            tried = self._tried(mask, pair, voxel_ml)
            dice[number, :, 0], lesion_dice[number, :, 0], ml[number, :, 0] = tried
            if pair.region in self.outer:
                tried = self._tried(filled_holes(mask), pair, voxel_ml)
            dice[number, :, 1], lesion_dice[number, :, 1], ml[number, :, 1] = tried
        nothing = self._tried(np.zeros_like(pair.truth), pair, voxel_ml)
        return CleaningRow(pair.case, pair.region, dice, lesion_dice, ml, float(nothing[0][0]), float(nothing[1][0]))

    def _tried(self, mask: npt.NDArray[np.bool_], pair: RegionPair, voxel_ml: float) -> tuple[Floats, Floats, Floats]:
        """Return Dice, lesion-wise Dice and ml for each smallest component."""
        found = LesionComponents.of(mask, pair.truth, self.dilations)
        real = int(found.lesion_voxels.sum())
        counted = found.lesion_voxels > self.smallest_lesion_voxels
        results = []
        for smallest in self.smallest_ml:
            kept = found.component_voxels * voxel_ml >= smallest
            left = int(found.component_voxels[kept].sum())
            true = int(found.shared[kept[found.pairs[:, 1] - 1]].sum())
            scored = int(counted.sum()) + int(np.count_nonzero(found.unmatched & kept))
            results.append(
                (
                    2.0 * true / (left + real) if left + real else 1.0,
                    float(found.dice(kept)[counted].sum()) / scored if scored else 1.0,
                    left * voxel_ml,
                )
            )
        first, second, third = np.array(results).T
        return first, second, third

    def score(self, rows: Sequence[CleaningRow]) -> float:
        """Return the criterion with the chosen settings, mean over cases and regions."""
        return float(self.chosen(rows)["chosen_by"]["score"])

    def by_region(self, rows: Sequence[CleaningRow]) -> dict[str, float]:
        """Return nothing: :class:`RegionQuality` tells of regions."""
        return {}

    def summary(self) -> dict[str, Any]:
        """Return what would be chosen."""
        return self.chosen(self.rows) if self.rows else {}

    def chosen(self, rows: Sequence[CleaningRow]) -> dict[str, Any]:
        """Return the settings that :func:`choose_cleaning` describes."""
        results = [{region: self._best(rows, region, filled) for region in self.regions} for filled in (False, True)]
        means = [np.mean([result[region][0] for region in self.outer]) for result in results]
        fill = bool(means[1] > means[0] + WORTH)
        best = results[int(fill)]
        return {
            "thresholds": {region: best[region][1] for region in self.regions},
            "smallest_ml": {region: best[region][2] for region in self.regions},
            "replace_below_ml": {region: best[region][3] for region in self.inner},
            "fill_holes": fill,
            "chosen_by": {
                "criterion": self.criterion,
                "score": float(np.mean([best[region][0] for region in self.regions])),
                "cases": self._cases(rows),
            },
        }

    def _best(self, rows: Sequence[CleaningRow], region: str, filled: bool) -> tuple[float, float, float, float]:
        """Return score, threshold, smallest component and replacement: the mildest that is as good as the best."""
        replacements = self.replace_below_ml if region in self.inner else (0.0,)
        chosen = [row for row in rows if row.region == region]
        settings = []
        for below in replacements:
            mean = np.mean([row.values(self.criterion, below)[..., int(filled)] for row in chosen], axis=0)
            grid = itertools.product(enumerate(self.thresholds), enumerate(self.smallest_ml))
            settings += [(float(mean[t, s]), threshold, smallest, below) for (t, threshold), (s, smallest) in grid]
        highest = max(score for score, *_ in settings)
        return min((each for each in settings if each[0] >= highest - WORTH), key=_severity)


def choose_cleaning(search: CleaningSearch) -> dict[str, Any]:
    """Return how inference shall clean regions, as plain data for ``postprocessing`` of ``model.json``.

    Call it after the metric has seen the validation cases, never with test cases. Where a stronger setting gains less
    than 0.001 the milder one is taken: a threshold nearer to 0.5, smaller components kept, no replacement, no filling.

    Args:
        search: its rows hold the scores of every setting.

    Returns:
        ``thresholds``, ``smallest_ml`` and ``replace_below_ml`` by region and ``fill_holes``, as
        :class:`medbundles.components.transforms.CleanRegionsd` takes them, and ``chosen_by``: criterion, its mean over
        cases and regions, and the number of cases.

    Raises:
        ConfigurationError: no case was seen.
    """
    rows = search.rows
    if not rows:
        raise ConfigurationError("the cleaning of regions is chosen on validation cases, and none was seen")
    return search.chosen(rows)


def _severity(setting: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    score, threshold, smallest, below = setting
    return round(abs(threshold - DEFAULT_THRESHOLD), 6), smallest, below, -score
