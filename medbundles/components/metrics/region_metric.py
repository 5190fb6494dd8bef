"""Base of metrics that compare predicted regions with a label, region by region."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
from ignite.engine import Engine
from monai.data.meta_tensor import MetaTensor
from monai.handlers.utils import from_engine
from torch import Tensor

from medbundles.components.broken_prediction import refuse_broken_prediction
from medbundles.components.metrics.bootstrap import (
    Weights,
    defined,
    mean_interval,
    mean_of,
    percentile_interval,
    weighted_mean,
)
from medbundles.components.metrics.case_metric import CaseMetric, CaseRow
from medbundles.components.region_labels import Regions, labels_to_regions
from medbundles.components.regions import bounding_box
from medbundles.errors import ConfigurationError
from medbundles.io.grids import Affine

Mask = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class RegionPair:
    """One region of one case, cut to the box around truth and prediction.

    Attributes:
        case: the case's name.
        region: the region's.
        probability: ``(H, W, D)`` what was predicted.
        prediction: the same shape, where that is above the threshold.
        truth: the same shape.
        affine: 4x4, voxel index to RAS+ mm; only its first three columns hold for the cut. None where it is unknown.
    """

    case: str
    region: str
    probability: npt.NDArray[Any]
    prediction: Mask
    truth: Mask
    affine: Affine | None


class RegionRowLike(CaseRow, Protocol):
    """A row of one case and region."""

    @property
    def region(self) -> str:
        """The region's name."""


Row = TypeVar("Row", bound=RegionRowLike)


class RegionMetric(CaseMetric[Row]):
    """Collect one row a case and region; see :class:`CaseMetric`.

    Args:
        regions: the label values that make each region, in the order of the prediction's channels; or only their names,
            where labels have a channel a region as well.
        output_transform: takes the engine's output to ``(pred, label)``; the default is
            ``from_engine(["pred", "label"])``. Predictions are ``(R, H, W, D)``, probabilities or masks; labels are
            label maps ``(1, H, W, D)`` or ``(R, H, W, D)``.
        threshold: a voxel belongs to a region where the prediction is above this.

    Raises:
        ConfigurationError: there is no region.
    """

    score_name: ClassVar[str]
    figures: ClassVar[tuple[str, ...]]
    # Voxels that the cut keeps around truth and prediction.
    margin: int = 0

    def __init__(
        self,
        regions: Regions | Sequence[str],
        output_transform: Callable[[Any], Any] | None = None,
        threshold: float = 0.5,
    ) -> None:
        if not len(regions):
            raise ConfigurationError("regions must name at least one region")
        self.regions: tuple[str, ...] = tuple(regions)
        self.values = dict(regions) if isinstance(regions, Mapping) else None
        self.threshold = threshold
        super().__init__(output_transform or from_engine(["pred", "label"]))

    @abstractmethod
    def compare(self, pair: RegionPair) -> Row:
        """Return the row of one case and region."""

    def update(self, output: Sequence[Any]) -> None:
        """Add the rows of ``(pred, label)``: batches ``(B, C, H, W, D)`` or lists of ``(C, H, W, D)``.

        Raises:
            ConfigurationError: the shapes differ, or there is another number of channels than of regions.
            DataError: the prediction holds NaN or infinity (TRN003).
        """
        for prediction, label in zip(output[0], output[1], strict=True):
            name = self.name_of(label, prediction)
            for row in [self.compare(pair) for pair in self.pairs(name, prediction.detach(), label.detach())]:
                self.add(row)

    def pairs(self, case: str, prediction: Tensor, label: Tensor) -> Iterator[RegionPair]:
        """Yield the regions of a case; errors as :meth:`update` has them."""
        if prediction.shape[1:] != label.shape[1:] or len(prediction) != len(self.regions) or prediction.ndim != 4:
            raise ConfigurationError(
                f"case {case}: prediction {tuple(prediction.shape)} and label {tuple(label.shape)} must be on one grid,"
                f" the prediction with {len(self.regions)} channel(s): {', '.join(self.regions)}"
            )
        truth = self._truth(case, label)
        affine = known_affine(label, prediction)
        for region, probabilities, inside in zip(self.regions, plain(prediction), truth, strict=True):
            values = np.asarray((probabilities.float() if probabilities.is_floating_point() else probabilities).cpu())
            refuse_broken_prediction(case, values)
            found, real = np.asarray(values > self.threshold), np.asarray((inside != 0).cpu())
            box = bounding_box(found | real)
            cut = (slice(0, 0),) * 3 if box is None else widened(box, self.margin)
            yield RegionPair(case, region, values[cut], found[cut], real[cut], affine)

    def _truth(self, case: str, label: Tensor) -> Tensor:
        if self.values is not None and len(label) == 1:
            return labels_to_regions(plain(label), self.values)
        if len(label) != len(self.regions):
            raise ConfigurationError(
                f"case {case}: the label has {len(label)} channel(s), expected a label map or one a region: "
                f"{', '.join(self.regions)}"
            )
        return plain(label)

    def column(self, rows: Sequence[Row], region: str, figure: str) -> Floats:
        """Return a figure of one region over cases, NaN where it is undefined."""
        values = [row.as_dict()[figure] for row in rows if row.region == region]
        return np.array([np.nan if value is None else value for value in values], dtype=np.float64)

    def score(self, rows: Sequence[Row]) -> float:
        """Return the mean over regions of :attr:`score_name`'s mean over cases."""
        once = np.ones((1, self._cases(rows)), np.int64)
        return float(self._over_regions(rows, self.score_name, once)[0])

    def completed(self, engine: Engine, name: str) -> None:
        """Tell the engine the score, and each region's as ``WT_dice``."""
        super().completed(engine, name)
        each = self.by_region(self.rows).items()
        engine.state.metrics.update({f"{region}_{self.score_name}": value for region, value in each})

    def by_region(self, rows: Sequence[Row]) -> dict[str, float]:
        """Return :attr:`score_name`'s mean over cases for each region."""
        return {region: mean_of(self.column(rows, region, self.score_name)) for region in self.regions}

    def _over_regions(self, rows: Sequence[Row], figure: str, weights: Weights) -> Floats:
        means = [weighted_mean(self.column(rows, region, figure), weights) for region in self.regions]
        return np.asarray(np.mean(means, axis=0))

    def _cases(self, rows: Sequence[Row]) -> int:
        return sum(row.region == self.regions[0] for row in rows)

    def summary(self) -> dict[str, Any]:
        """Return the figures' means over cases and their 95 % intervals by case: over all regions, and for each."""
        rows = self.rows
        cases = self._cases(rows)

        def statistic(weights: Weights) -> Floats:
            return self._over_regions(rows, self.score_name, weights)

        once = np.ones((1, cases), np.int64)
        return {
            "n": cases,
            self.score_name: defined(float(statistic(once)[0])) if cases else None,
            "intervals": {self.score_name: percentile_interval(cases, statistic)},
            "regions": {region: self.region_summary(rows, region) for region in self.regions},
        }

    def region_summary(self, rows: Sequence[Row], region: str) -> dict[str, Any]:
        """Return the figures of one region."""
        columns = {figure: self.column(rows, region, figure) for figure in self.figures}
        return {
            **{figure: defined(mean_of(values)) for figure, values in columns.items()},
            "undefined": {figure: int(np.isnan(values).sum()) for figure, values in columns.items()},
            "intervals": {figure: mean_interval(values) for figure, values in columns.items()},
        }


def widened(box: Sequence[slice], margin: int) -> tuple[slice, ...]:
    """Return a box with a margin of voxels around it; slicing cuts it where the volume ends."""
    return tuple(slice(max(part.start - margin, 0), part.stop + margin) for part in box)


def plain(tensor: Tensor) -> Tensor:
    """Return a tensor without meta data."""
    return tensor.as_tensor() if isinstance(tensor, MetaTensor) else tensor


def known_affine(*tensors: Tensor) -> Affine | None:
    """Return the affine of the first of these tensors that knows its own."""
    affines = (np.asarray(tensor.affine, dtype=np.float64) for tensor in tensors if isinstance(tensor, MetaTensor))
    return next((affine for affine in affines if affine.shape == (4, 4)), None)
