"""Base of metrics that compare a synthetic volume with the real one inside a mask."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from ignite.engine import Engine
from monai.handlers.utils import from_engine
from torch import Tensor

from medbundles.components.broken_prediction import refuse_broken_prediction
from medbundles.components.metrics.bootstrap import defined, mean_interval, mean_of
from medbundles.components.metrics.case_metric import CaseMetric, Row
from medbundles.errors import ConfigurationError, DataError, Finding

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class MaskedPair:
    """One case's volumes, cut to the box around the mask; what lies outside of the mask is 0 in both.

    Attributes:
        case: its name.
        synthetic: ``(H, W, D)`` the prediction.
        real: the same shape, what should have been predicted.
        mask: the same shape, at least one voxel.
    """

    case: str
    synthetic: Floats
    real: Floats
    mask: Mask

    @classmethod
    def of(cls, case: str, prediction: Tensor, label: Tensor, mask: Tensor) -> MaskedPair:
        """Cut and clear three tensors ``(1, H, W, D)``; the mask is 0 or 1.

        Raises:
            ConfigurationError: the shapes differ, or there are several channels.
            DataError: the mask is empty (DWI012); inside of it the prediction (TRN003) or the real volume (NII002)
                holds NaN or infinity.
        """
        shapes = [tuple(tensor.shape) for tensor in (prediction, label, mask)]
        if len(set(shapes)) > 1 or len(shapes[0]) != 4 or shapes[0][0] != 1:
            raise ConfigurationError(
                f"case {case}: prediction {shapes[0]}, label {shapes[1]} and mask {shapes[2]} must be one channel on "
                "one grid, (1, H, W, D)"
            )
        inside = _array(mask) > 0.0
        if not inside.any():
            fix = "prepare it again with another mask, or take the case out"
            raise DataError(findings=[Finding("DWI012", "error", "the brain mask is empty", fix, case=case)])
        box = bounding_box(inside)
        inside = inside[box]
        synthetic, real = (np.where(inside, _array(tensor)[box], 0.0) for tensor in (prediction, label))
        refuse_broken_prediction(case, synthetic)
        if not np.isfinite(real).all():
            message, fix = "the real volume holds NaN or infinity inside the mask", "repair the file or take it out"
            raise DataError(findings=[Finding("NII002", "error", message, fix, case=case)])
        return cls(case, synthetic, real, inside)


class MaskedPairMetric(CaseMetric[Row]):
    """Collect one row a case of synthetic volumes; see :class:`CaseMetric`.

    The output transform also sees what MONAI leaves in the engine's batch, above all the mask. :meth:`summary` has the
    mean over cases of each of :attr:`figures` and its 95 % interval by case; a case in which a figure is undefined is
    left out of its mean and counted under ``undefined``.

    Args:
        output_transform: takes the engine's output to ``(pred, label, mask)``; the default is
            ``from_engine(["pred", "label", "mask"])``.
    """

    figures: ClassVar[tuple[str, ...]]
    score_name: ClassVar[str]

    def __init__(self, output_transform: Callable[[Any], Any] | None = None) -> None:
        super().__init__(output_transform or from_engine(["pred", "label", "mask"]))

    @abstractmethod
    def compare(self, pair: MaskedPair) -> Row:
        """Return the row of one case; its ``as_dict`` holds :attr:`figures`, None where one is undefined."""

    def iteration_completed(self, engine: Engine) -> None:
        """Measure an iteration's output together with its batch."""
        output = engine.state.output
        engine.state.output = joined_items(engine.state.batch, output)
        try:
            super().iteration_completed(engine)
        finally:
            engine.state.output = output

    def update(self, output: Sequence[Any]) -> None:
        """Add the rows of ``(pred, label, mask)``: batches ``(B, 1, H, W, D)`` or lists of ``(1, H, W, D)``.

        Raises:
            ConfigurationError: something is missing, or the shapes differ.
            DataError: see :meth:`MaskedPair.of`.
        """
        if len(output) != 3:
            raise ConfigurationError(f"output_transform must give pred, label and mask, found {len(output)} part(s)")
        for prediction, label, mask in zip(*output, strict=True):
            name = self.name_of(label, prediction)
            self.add(self.compare(MaskedPair.of(name, prediction.detach(), label.detach(), mask.detach())))

    def score(self, rows: Sequence[Row]) -> float:
        """Return the mean of :attr:`score_name` over cases; NaN where it is undefined in all of them."""
        return mean_of(_column(rows, self.score_name))

    def summary(self) -> dict[str, Any]:
        """Return the mean of each figure over cases, its 95 % interval by case, and where figures are undefined."""
        columns = {figure: _column(self.rows, figure) for figure in self.figures}
        return {
            "n": len(self.rows),
            "undefined": {figure: int(np.isnan(values).sum()) for figure, values in columns.items()},
            **{figure: defined(mean_of(values)) for figure, values in columns.items()},
            "intervals": {figure: mean_interval(values) for figure, values in columns.items()},
        }


def joined_items(batch: Any, output: Any) -> Any:
    """Return an engine's output as one dictionary an item, with what MONAI leaves in the batch.

    Args:
        batch: the engine's batch, collated or taken apart.
        output: its output, the same way; it wins where both have a key. Anything but dictionaries is returned as is.
    """
    if isinstance(batch, list) and isinstance(output, list):
        return [{**before, **after} for before, after in zip(batch, output, strict=True)]
    if not isinstance(batch, Mapping) or not isinstance(output, Mapping) or "pred" not in output:
        return output
    size, joined = len(output["pred"]), {**batch, **output}
    each = {key: value for key, value in joined.items() if _has_items(value, size)}
    return [{**joined, **{key: value[number] for key, value in each.items()}} for number in range(size)]


def _has_items(value: Any, size: int) -> bool:
    return (isinstance(value, list) or (isinstance(value, Tensor) and value.ndim > 0)) and len(value) == size


def bounding_box(mask: Mask) -> tuple[slice, ...]:
    """Return the smallest box around the voxels of a mask that has at least one."""
    box = []
    for axis in range(mask.ndim):
        occupied = np.flatnonzero(mask.any(axis=tuple(other for other in range(mask.ndim) if other != axis)))
        box.append(slice(int(occupied[0]), int(occupied[-1]) + 1))
    return tuple(box)


def _column(rows: Sequence[Row], figure: str) -> Floats:
    values = [row.as_dict()[figure] for row in rows]
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def _array(tensor: Tensor) -> npt.NDArray[Any]:
    array: npt.NDArray[Any] = np.asarray(tensor[0].detach().cpu().double())
    return array
