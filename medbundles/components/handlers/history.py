"""What happened in every epoch: a file, curves and TensorBoard."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events
from torch.optim import Optimizer

from medbundles.components.distributed import is_writer
from medbundles.components.handlers.curves import draw_curves
from medbundles.components.handlers.events import TrainingEvents, register_training_events
from medbundles.components.handlers.outputs import first_output
from medbundles.io.atomic import write_text

Row = dict[str, Any]


class History:
    """Keep ``history.jsonl``, one line an epoch; write TensorBoard scalars; redraw ``curves.png``.

    The curves are redrawn at each validation and when the training ends, however early.

    A line is ``{"epoch", "losses": {name: mean}, "learning_rates": {name: value}, "seconds"}`` and, where the epoch
    was validated, ``"metrics": {name: value}`` and ``"validation_seconds"``. Values that are no numbers are ``null``.
    The file is replaced as a whole, so it is never cut in the middle; a resumed run drops the lines of epochs it will
    repeat. Only the writer of a group of processes writes; its losses are those of its own share of the batches.

    Args:
        output_dir: where the files and the folder ``tensorboard`` go.
        evaluator: the MONAI evaluator whose metrics are recorded.
        optimizers: optimizers by name; the default is the trainer's own.
        losses: losses in the trainer's output to average over the epoch.
        metrics: metrics by name whose ``summary()`` holds more than the score the evaluator knows.
        figures: which entries of these summaries to record, as ``{metric}_{figure}``.
        tensorboard: whether to write TensorBoard's files.
    """

    def __init__(
        self,
        output_dir: str | os.PathLike[str],
        evaluator: Any = None,
        optimizers: Mapping[str, Optimizer] | None = None,
        losses: Sequence[str] = ("loss",),
        metrics: Mapping[str, Any] | None = None,
        figures: Sequence[str] = (),
        tensorboard: bool = True,
    ) -> None:
        self.output_dir = Path(output_dir)
        self.evaluator = evaluator
        self.optimizers = dict(optimizers or {})
        self.losses = tuple(losses)
        self.metrics = dict(metrics or {})
        self.figures = tuple(figures)
        self.tensorboard = tensorboard
        self._rows: list[Row] | None = None
        self._sums: dict[str, float] = {}
        self._iterations = 0
        self._learning_rates: dict[str, float] = {}
        self._started = self._validation_started = 0.0
        self._writer: Any = None
        self._drawn_epoch = 0

    def attach(self, engine: Engine) -> None:
        """Record this trainer's epochs."""
        if not is_writer():
            return
        register_training_events(engine)
        engine.add_event_handler(TrainingEvents.RESTORED, self._load)
        engine.add_event_handler(Events.EPOCH_STARTED, self._start_epoch)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._add_losses)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._record_epoch)
        engine.add_event_handler(Events.COMPLETED, self._finish)
        if self.evaluator is not None:
            self.evaluator.add_event_handler(Events.STARTED, self._start_validation, engine)
            self.evaluator.add_event_handler(Events.EPOCH_COMPLETED, self._record_validation, engine)

    @property
    def path(self) -> Path:
        """The file with one line an epoch."""
        return self.output_dir / "history.jsonl"

    def _start_epoch(self, trainer: Any) -> None:
        self._started = time.perf_counter()
        self._sums, self._iterations = {}, 0
        own = getattr(trainer, "optimizer", None)
        optimizers = self.optimizers or ({"learning_rate": own} if own is not None else {})
        self._learning_rates = {name: float(item.param_groups[0]["lr"]) for name, item in optimizers.items()}

    def _add_losses(self, trainer: Engine) -> None:
        self._iterations += 1
        output = first_output(trainer.state.output)
        for name in self.losses:
            if name in output:
                self._sums[name] = self._sums.get(name, 0.0) + float(output[name])

    def _record_epoch(self, trainer: Engine) -> None:
        row = self._row(trainer)
        if "seconds" in row:
            return
        row["losses"] = {name: _number(total / self._iterations) for name, total in self._sums.items()}
        row["learning_rates"] = self._learning_rates
        row["seconds"] = round(time.perf_counter() - self._started, 3)
        self._write(row["epoch"], row["losses"] | row["learning_rates"], "training")

    def _start_validation(self, _: Engine, trainer: Engine) -> None:
        # The training is recorded first wherever this is listed: the validation may crash.
        if trainer.last_event_name == Events.EPOCH_COMPLETED:
            self._record_epoch(trainer)
        self._validation_started = time.perf_counter()

    def _record_validation(self, evaluator: Engine, trainer: Engine) -> None:
        row = self._row(trainer)
        row["metrics"] = {name: _number(value) for name, value in (evaluator.state.metrics | self._figures()).items()}
        row["validation_seconds"] = round(time.perf_counter() - self._validation_started, 3)
        self._write(row["epoch"], row["metrics"], "validation")
        self._draw(trainer)

    def _draw(self, trainer: Engine) -> None:
        rows = self._load(trainer)
        best_epoch = getattr(getattr(self.evaluator, "state", None), "best_metric_epoch", -1)
        scores = {name: getattr(metric, "score_name", None) for name, metric in self.metrics.items()}
        draw_curves(rows, self.output_dir / "curves.png", best_epoch if best_epoch > 0 else None, scores)
        self._drawn_epoch = rows[-1]["epoch"] if rows else 0

    def _figures(self) -> dict[str, Any]:
        summaries = {name: metric.summary() for name, metric in self.metrics.items()}
        return {
            f"{name}_{figure}": summary[figure]
            for name, summary in summaries.items()
            for figure in self.figures
            if figure in summary
        }

    def _row(self, trainer: Engine) -> Row:
        rows = self._load(trainer)
        if not rows or rows[-1]["epoch"] != trainer.state.epoch:
            rows.append({"epoch": int(trainer.state.epoch)})
        return rows[-1]

    def _load(self, trainer: Engine) -> list[Row]:
        """Return the lines of this run; when it was just restored, those of the epochs that are behind it."""
        if self._rows is None:
            resumed = trainer.last_event_name == TrainingEvents.RESTORED
            rows = read_history(self.path) if resumed else []
            self._rows = [row for row in rows if row["epoch"] <= trainer.state.epoch]
        return self._rows

    def _write(self, epoch: int, values: Mapping[str, float | None], group: str) -> None:
        write_text(self.path, "".join(json.dumps(row, allow_nan=False) + "\n" for row in self._rows or ()))
        if not self.tensorboard:
            return
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(self.output_dir / "tensorboard"), purge_step=epoch)
        for name, value in values.items():
            if value is not None:
                self._writer.add_scalar(f"{group}/{name}", value, epoch)
        self._writer.flush()

    def _finish(self, trainer: Engine) -> None:
        # A stopped training ends between two validations.
        if self._rows and self._rows[-1]["epoch"] != self._drawn_epoch:
            self._draw(trainer)
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def read_history(path: str | os.PathLike[str]) -> list[Row]:
    """Return the lines of a ``history.jsonl``; none when there is no such file, and none for lines cut short."""
    file = Path(path)
    rows: list[Row] = []
    for line in file.read_text(encoding="utf-8").splitlines() if file.is_file() else ():
        with suppress(ValueError):  # the power failed while it was written; its epoch is repeated
            rows.append(json.loads(line))
    return rows


def _number(value: Any) -> float | None:
    """Return a scalar metric as a number, or ``None`` where it is none or not finite."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None
