"""Base of metrics that keep one row a case."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import torch
import torch.distributed as dist
from ignite.engine import Engine
from ignite.exceptions import NotComputableError
from ignite.metrics import Metric
from monai.data.meta_tensor import MetaTensor
from monai.handlers.utils import from_engine
from torch import Tensor

from medbundles.components.distributed import rank, world_size
from medbundles.errors import ConfigurationError, DataError, Finding
from medbundles.io.grids import Affine, case_name, voxel_volume_mm3

# Probabilities averaged over overlapping windows leave [0, 1] by rounding; logits leave it by far more.
ROUNDING = 1e-4


class CaseRow(Protocol):
    """What every row of a metric has: the case it belongs to, and its fields as plain data."""

    @property
    def case(self) -> str:
        """The case's name."""

    def as_dict(self) -> dict[str, Any]:
        """Return the columns of the table."""


Row = TypeVar("Row", bound=CaseRow)


@dataclass(frozen=True)
class ScoredCase:
    """One case as arrays.

    Attributes:
        case: its name.
        probability: ``(H, W)`` or ``(H, W, D)`` in [0, 1], not copied where it lay in memory already.
        label: the same shape, boolean.
        voxel_mm3: volume of a voxel; None where neither tensor knows its affine.
        affine: 4x4, voxel index to RAS+ mm; None where neither tensor knows it.
        ignored: the same shape, where a label of several channels says below 0 that its class is unknown: what lies
            there counts neither way; None where there is nothing of the kind.
        tensors: prediction and label ``(C, H, W[, D])`` with all channels, for what compares them.
    """

    case: str
    probability: npt.NDArray[np.floating[Any]]
    label: npt.NDArray[np.bool_]
    voxel_mm3: float | None
    affine: Affine | None = None
    ignored: npt.NDArray[np.bool_] | None = None
    tensors: tuple[Tensor, Tensor] | None = None


class CaseMetric(Metric, Generic[Row]):
    """Collect one row a case during an evaluator's epoch; join the rows of all processes at its end.

    Works as ``key_val_metric`` or in ``additional_metrics`` of MONAI's ``SupervisedEvaluator``, on decollated outputs
    (lists of ``(C, H, W[, D])``) and on batches. Names and voxel sizes come from the ``MetaTensor`` of the label or of
    the prediction. A case that a distributed sampler hands out twice is counted once.

    Args:
        output_transform: takes the engine's output to ``(pred, label)``; the default is
            ``from_engine(["pred", "label"])``.
        channel: which channel of the prediction, and of a label with several channels, is measured; None: whether
            there is anything at all, that is the highest of the prediction's channels and whatever a label has, be its
            class known or not (see :class:`medbundles.components.transforms.MalignancyChannelsd`).
    """

    def __init__(self, output_transform: Callable[[Any], Any] | None = None, channel: int | None = None) -> None:
        self.channel = channel
        self._rows: list[Row] = []
        self._all_rows: list[Row] | None = None
        super().__init__(output_transform or from_engine(["pred", "label"]), skip_unrolling=True)

    @abstractmethod
    def measure(self, scored: ScoredCase) -> Row:
        """Return the row of one case."""

    @abstractmethod
    def score(self, rows: Sequence[Row]) -> float:
        """Return the figure that models are compared by, higher is better; NaN where it is undefined."""

    @abstractmethod
    def summary(self) -> dict[str, Any]:
        """Return the figures over all cases as plain data."""

    def reset(self) -> None:
        """Forget all rows (called by the engine when an epoch starts)."""
        self._rows = []
        self._all_rows = None

    def iteration_completed(self, engine: Engine) -> None:
        """Measure an iteration's output, unless its loss is no number: ``StopOnNan`` then tells of it by its cases."""
        if not _has_diverged(engine.state.output):
            super().iteration_completed(engine)

    def update(self, output: Sequence[Any]) -> None:
        """Add the rows of ``(pred, label)``: two batches ``(B, C, ...)`` or two lists of ``(C, ...)``.

        Raises:
            ConfigurationError: shapes differ, or the prediction holds no probabilities.
            DataError: the prediction holds NaN (TRN003).
        """
        for scored in self._scored_cases(output[0], output[1]):
            self._rows.append(self.measure(scored))
        self._all_rows = None

    def compute(self) -> float:
        """Return :meth:`score` over the rows of all processes.

        Raises:
            NotComputableError: no case was seen.
        """
        self._all_rows = _joined(self._rows)
        if not self._all_rows:
            raise NotComputableError(f"{type(self).__name__} has seen no case")
        return self.score(self._all_rows)

    @property
    def rows(self) -> list[Row]:
        """The rows of all processes after :meth:`compute`, before it those of this one."""
        return self._rows if self._all_rows is None else self._all_rows

    def table(self) -> list[dict[str, Any]]:
        """Return :attr:`rows` as plain data, in the order of the cases' names."""
        return [row.as_dict() for row in sorted(self.rows, key=case_of)]

    def _scored_cases(self, predictions: Any, labels: Any) -> Iterator[ScoredCase]:
        for prediction, label in zip(predictions, labels, strict=True):
            if prediction.shape[1:] != label.shape[1:]:
                raise ConfigurationError(
                    f"prediction {tuple(prediction.shape)} and label {tuple(label.shape)} (channel first) are not on "
                    "the same grid"
                )
            name = case_of_tensors(label, prediction) or f"case_{rank() + len(self._rows) * world_size():04d}"
            plain = _chosen(prediction.detach(), self.channel).cpu()
            probability = _array(plain if plain.dtype in (torch.float32, torch.float64) else plain.float())
            _refuse_non_probabilities(name, probability)
            truth, ignored = self._truth(label.detach())
            affine = _affine(label, prediction)
            voxel_mm3 = None if affine is None else voxel_volume_mm3(affine)
            yield ScoredCase(name, probability, truth, voxel_mm3, affine, ignored, (prediction, label))

    def _truth(self, label: Tensor) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_] | None]:
        """Return what is labelled, and what counts neither way."""
        if len(label) == 1:
            return _array(label[0].cpu() > 0), None
        if self.channel is None:
            return _array((label != 0).any(dim=0).cpu()), None
        chosen = label[self.channel].cpu()
        ignored = _array(chosen < 0)
        return _array(chosen > 0), ignored if ignored.any() else None


def _chosen(prediction: Tensor, channel: int | None) -> Tensor:
    if channel is None:
        return prediction[0] if len(prediction) == 1 else prediction.amax(dim=0)
    return prediction[channel]


def _array(tensor: Tensor) -> npt.NDArray[Any]:
    return np.asarray(tensor.as_tensor() if isinstance(tensor, MetaTensor) else tensor)


def case_of(row: CaseRow) -> str:
    """Return the row's case: the key that tables are sorted by."""
    return row.case


def case_of_tensors(*tensors: Tensor) -> str | None:
    """Return the case's name that the first of these tensors with one carries, by its file's name if need be."""
    for tensor in tensors:
        meta = tensor.meta if isinstance(tensor, MetaTensor) else {}
        if isinstance(meta.get("case"), str):
            return str(meta["case"])
        if isinstance(meta.get("filename_or_obj"), str):
            return case_name(meta["filename_or_obj"])
    return None


def _affine(*tensors: Tensor) -> Affine | None:
    affines = (np.asarray(t.affine, dtype=np.float64) for t in tensors if isinstance(t, MetaTensor))
    return next((affine for affine in affines if affine.shape == (4, 4)), None)


def _refuse_non_probabilities(case: str, probability: npt.NDArray[Any]) -> None:
    low, high = float(probability.min()), float(probability.max())
    if math.isnan(low):
        fix = "the weights hold NaN, or the image does; use an earlier checkpoint"
        raise DataError(findings=[Finding("TRN003", "error", "the prediction holds NaN", fix, case=case)])
    if low < -ROUNDING or high > 1.0 + ROUNDING:
        raise ConfigurationError(
            f"case {case}: the prediction runs from {low:g} to {high:g}, expected probabilities from 0 to 1; "
            "let the postprocessing apply the sigmoid"
        )


def _has_diverged(output: Any) -> bool:
    first = output[0] if isinstance(output, list) and output else output
    loss = first.get("loss") if isinstance(first, Mapping) else None
    if isinstance(loss, Tensor):
        loss = loss.detach()
    return loss is not None and not math.isfinite(float(loss))


def _joined(rows: list[Row]) -> list[Row]:
    if world_size() == 1 or not dist.is_initialized():
        return rows
    parts: list[Any] = [None] * world_size()
    dist.all_gather_object(parts, rows)
    joined: list[Row] = []
    for part in parts:
        seen = {row.case for row in joined}
        joined.extend(row for row in part if row.case not in seen)
    return joined
