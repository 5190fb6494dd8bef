"""Every lesion counts the same, however small: lesion-wise Dice and HD95 as in the BraTS challenge of 2023."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np

from medbundles.components.lesion_components import LesionComponents
from medbundles.components.metrics.bootstrap import defined
from medbundles.components.metrics.region_metric import RegionMetric, RegionPair, widened
from medbundles.components.metrics.surface_distance import ONE_EMPTY_MM, hausdorff_95, surface_distances
from medbundles.components.region_labels import Regions
from medbundles.components.regions import bounding_box
from medbundles.errors import ConfigurationError
from medbundles.io.grids import Affine

# The challenge's values for gliomas.
DILATIONS = 3
SMALLEST_LESION_VOXELS = 50


@dataclass(frozen=True)
class Lesion:
    """One lesion.

    Attributes:
        voxels: how large it is.
        components: predicted components that belong to it.
        dice: of the lesion with all of them together; 0 where there are none.
        hd95_mm: of the same; 374 where there are none, NaN where the grid is unknown.
    """

    voxels: int
    components: int
    dice: float
    hd95_mm: float


@dataclass(frozen=True)
class LesionWiseRow:
    """The lesions of one region of one case.

    Attributes:
        case: the case's name.
        region: the region's.
        lesion_dice: mean over lesions and false positive components.
        lesion_hd95_mm: mean over the same, mm.
        lesions: how many are large enough to count.
        lesions_found: those of them with at least one predicted component.
        small_lesions: those that are too small to count.
        false_positive_components: predicted components that belong to no lesion.
        each: the lesions that count.
    """

    case: str
    region: str
    lesion_dice: float
    lesion_hd95_mm: float
    lesions: int
    lesions_found: int
    small_lesions: int
    false_positive_components: int
    each: tuple[Lesion, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the table's columns; an undefined figure is None (an empty field)."""
        values = {key: value for key, value in asdict(self).items() if key != "each"}
        return {key: defined(value) if isinstance(value, float) else value for key, value in values.items()}


class LesionWise(RegionMetric[LesionWiseRow]):
    """Dice and HD95 of every lesion, false positives included, averaged by case: the BraTS challenge's of 2023.

    Exactly (Saluja et al., "BraTS 2023 lesion-wise performance metrics", and the challenge's announcement):

    - the truth of a region is dilated ``dilations`` times by its 18 neighbors; what a connected component (26
      neighbors) of the result holds of the truth is one lesion, and the component is its surroundings;
    - connected components (26 neighbors) of the prediction that share a voxel with a lesion's surroundings belong to
      it, all together; a component may belong to several lesions. Dice and HD95 compare the lesion itself, not dilated,
      with all of them;
    - a lesion without any is missed: Dice 0, HD95 374 mm;
    - a component that belongs to no lesion is a false positive: Dice 0, HD95 374 mm. It counts when it has more than
      ``smallest_component_voxels`` voxels (0: each does, as in 2023);
    - lesions of ``smallest_lesion_voxels`` voxels or fewer do not count, nor do the components that belong to them;
    - a case's figure is the mean over its lesions and its false positives; Dice 1 and HD95 0 where it has neither.

    The numbers of voxels are the challenge's, whose voxels are cubes of 1 mm. :meth:`compute` returns the mean Dice
    over cases, then over regions.

    Args:
        regions: see :class:`medbundles.components.metrics.region_metric.RegionMetric`.
        output_transform: see there.
        threshold: see there.
        surface: measure HD95; False saves its time.
        dilations: times that the truth is dilated.
        smallest_lesion_voxels: lesions of as many voxels or fewer do not count.
        smallest_component_voxels: components of as many voxels or fewer are no false positives.

    Raises:
        ConfigurationError: no region, or a number below 0.
    """

    score_name: ClassVar[str] = "lesion_dice"
    figures: ClassVar[tuple[str, ...]] = (
        "lesion_dice",
        "lesion_hd95_mm",
        "lesions",
        "lesions_found",
        "small_lesions",
        "false_positive_components",
    )

    def __init__(
        self,
        regions: Regions | Sequence[str],
        output_transform: Callable[[Any], Any] | None = None,
        threshold: float = 0.5,
        surface: bool = True,
        dilations: int = DILATIONS,
        smallest_lesion_voxels: int = SMALLEST_LESION_VOXELS,
        smallest_component_voxels: int = 0,
    ) -> None:
        if min(dilations, smallest_lesion_voxels, smallest_component_voxels) < 0:
            raise ConfigurationError(
                "dilations, smallest_lesion_voxels and smallest_component_voxels must be 0 or more, found "
                f"{dilations}, {smallest_lesion_voxels} and {smallest_component_voxels}"
            )
        self.surface = surface
        self.margin = self.dilations = dilations
        self.smallest_lesion_voxels = smallest_lesion_voxels
        self.smallest_component_voxels = smallest_component_voxels
        super().__init__(regions, output_transform, threshold)

    def compare(self, pair: RegionPair) -> LesionWiseRow:
        """Measure the lesions of one region."""
        found = LesionComponents.of(pair.prediction, pair.truth, self.dilations)
        dice = found.dice()
        counted = np.flatnonzero(found.lesion_voxels > self.smallest_lesion_voxels)
        each = tuple(
            Lesion(
                int(found.lesion_voxels[index]),
                len(found.partners(int(index) + 1)),
                float(dice[index]),
                self._hd95(found, int(index) + 1, pair.affine),
            )
            for index in counted
        )
        large = found.component_voxels > self.smallest_component_voxels
        wrong = int(np.count_nonzero(found.unmatched & large))
        return LesionWiseRow(
            case=pair.case,
            region=pair.region,
            lesion_dice=_mean([lesion.dice for lesion in each], wrong, 0.0, 1.0),
            lesion_hd95_mm=_mean([lesion.hd95_mm for lesion in each], wrong, ONE_EMPTY_MM, 0.0)
            if self.surface
            else np.nan,
            lesions=len(each),
            lesions_found=sum(lesion.components > 0 for lesion in each),
            small_lesions=len(found.lesion_voxels) - len(each),
            false_positive_components=wrong,
            each=each,
        )

    def _hd95(self, found: LesionComponents, number: int, affine: Affine | None) -> float:
        if not self.surface:
            return np.nan
        partners = found.partners(number)
        if not len(partners):
            return ONE_EMPTY_MM
        if affine is None:
            return np.nan
        lesion, predicted = found.lesions == number, np.isin(found.components, partners)
        box = bounding_box(lesion | predicted)
        cut = widened(box, 0) if box else ()
        return hausdorff_95(*surface_distances(predicted[cut], lesion[cut], affine))

    def lesion_table(self) -> list[dict[str, Any]]:
        """Return one row a lesion that counts, as plain data, by case and region."""
        return [
            {"case": row.case, "region": row.region, "lesion": number, **_columns(lesion)}
            for row in sorted(self.rows, key=lambda row: (row.case, self.regions.index(row.region)))
            for number, lesion in enumerate(row.each, start=1)
        ]

    def summary(self) -> dict[str, Any]:
        """Return means over cases with 95 % intervals by case, and the rules they were found by."""
        return {
            **super().summary(),
            "dilations": self.dilations,
            "smallest_lesion_voxels": self.smallest_lesion_voxels,
            "smallest_component_voxels": self.smallest_component_voxels,
            "hd95_of_missed_and_false_mm": ONE_EMPTY_MM,
        }


def _columns(lesion: Lesion) -> dict[str, Any]:
    return {key: defined(value) if isinstance(value, float) else value for key, value in asdict(lesion).items()}


def _mean(values: Sequence[float], wrong: int, penalty: float, nothing: float) -> float:
    """Return the mean over lesions and false positives, which have the penalty each."""
    count = len(values) + wrong
    return (sum(values) + wrong * penalty) / count if count else nothing
