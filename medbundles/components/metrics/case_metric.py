"""Base of metrics that keep one row a case."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, Protocol, TypeVar

import torch.distributed as dist
from ignite.engine import Engine
from ignite.exceptions import NotComputableError
from ignite.metrics import Metric
from monai.data.meta_tensor import MetaTensor
from torch import Tensor

from medbundles.components.distributed import rank, world_size
from medbundles.io.grids import case_name


class CaseRow(Protocol):
    """What every row of a metric has: the case it belongs to, and its fields as plain data."""

    @property
    def case(self) -> str:
        """The case's name."""

    def as_dict(self) -> dict[str, Any]:
        """Return the columns of the table."""


Row = TypeVar("Row", bound=CaseRow)


class CaseMetric(Metric, Generic[Row]):
    """Collect one row a case during an evaluator's epoch; join the rows of all processes at its end.

    Works as ``key_val_metric`` or in ``additional_metrics`` of MONAI's ``SupervisedEvaluator``, on decollated outputs
    (lists of ``(C, H, W[, D])``) and on batches. Names come from the ``MetaTensor`` of the label or of the prediction.
    A case that a distributed sampler hands out twice is counted once.

    Args:
        output_transform: takes the engine's output to what :meth:`update` reads.
    """

    def __init__(self, output_transform: Callable[[Any], Any]) -> None:
        self._rows: list[Row] = []
        self._all_rows: list[Row] | None = None
        super().__init__(output_transform, skip_unrolling=True)

    @abstractmethod
    def update(self, output: Sequence[Any]) -> None:
        """Add the rows of one iteration, each with :meth:`add`."""

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

    def name_of(self, *tensors: Tensor) -> str:
        """Return the name of the case that is measured now: what a tensor says, or a number that no other case has."""
        return case_of_tensors(*tensors) or f"case_{rank() + len(self._rows) * world_size():04d}"

    def add(self, row: Row) -> None:
        """Keep the row of one case."""
        self._rows.append(row)
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
