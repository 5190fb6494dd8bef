"""Base of handlers that draw fixed cases at every validation, or the cases of an evaluation."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

from ignite.engine import Engine, Events

from medbundles.components.distributed import is_writer
from medbundles.components.handlers.outputs import case_names

Drawn = TypeVar("Drawn")


class CasePreview(ABC, Generic[Drawn]):
    """Draw the chosen cases as an evaluator comes to them, and write them when it is through.

    During a training ``previews/epoch_0005.png`` shows always the same cases, so that the epochs can be compared; an
    evaluation has no epochs and writes ``previews/CASE.png``.

    Args:
        output_dir: where ``previews`` is.
        cases: names of the cases, or how many to take: the first of the first validation, and these ever after.
        per_case: write a picture for each case, named after it, instead of one for each epoch.
    """

    def __init__(self, output_dir: str | os.PathLike[str], cases: int | Sequence[str], per_case: bool) -> None:
        self.output_dir = Path(output_dir)
        self.limit = cases if isinstance(cases, int) else len(cases)
        self.cases: list[str] = [] if isinstance(cases, int) else list(cases)
        self.per_case = per_case
        self._collecting = isinstance(cases, int)
        self._drawn: dict[str, Drawn] = {}

    @abstractmethod
    def items(self, batch: Any, output: Any) -> Iterable[Mapping[str, Any]]:
        """Return what an iteration left of each case, in the order of the batch."""

    @abstractmethod
    def draw(self, case: str, item: Mapping[str, Any]) -> Drawn:
        """Return what is shown of one case."""

    @abstractmethod
    def write_picture(self, path: Path, drawn: Mapping[str, Drawn]) -> None:
        """Write one picture of these cases, in their order."""

    def write(self, drawn: Mapping[str, Drawn], epoch: int) -> None:
        """Write the pictures of one validation, which showed at least one of the cases."""
        each = {case: {case: shown} for case, shown in drawn.items()}
        for name, cases in (each if self.per_case else {f"epoch_{epoch:04d}": drawn}).items():
            self.write_picture(self.output_dir / "previews" / f"{name}.png", cases)

    def attach(self, engine: Engine) -> None:
        """Draw at the validations of this evaluator; its batch must name the cases."""
        if not is_writer() or self.limit == 0:
            return
        engine.add_event_handler(Events.EPOCH_STARTED, self._clear)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._draw)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._write)

    def _clear(self, _: Engine) -> None:
        self._drawn = {}

    def _draw(self, engine: Any) -> None:
        batch = engine.state.batch
        for case, item in zip(case_names(batch), self.items(batch, engine.state.output), strict=False):
            if self._collecting and case not in self.cases and len(self.cases) < self.limit:
                self.cases.append(case)
            if case in self.cases:
                self._drawn[case] = self.draw(case, item)

    def _write(self, engine: Engine) -> None:
        self._collecting = False
        shown = {case: self._drawn[case] for case in self.cases if case in self._drawn}
        if shown:
            self.write(shown, int(engine.state.epoch))
        self._clear(engine)
