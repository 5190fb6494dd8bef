"""Pictures of synthetic volumes of fixed cases at every validation, or of the cases of an evaluation."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events

from medbundles.components.distributed import is_writer
from medbundles.components.handlers.outputs import case_names
from medbundles.components.metrics.masked_pair import joined_items
from medbundles.components.overlay import Picture, write_png
from medbundles.components.synthesis_sheet import ShownSynthesis, draw_synthesis, tiled
from medbundles.errors import ConfigurationError


class SynthesisPreview:
    """Draw input, real and synthetic volume and their difference, in three planes through the brain's middle.

    During a training ``previews/epoch_0005.png`` has one block a case, always the same cases, so that the epochs can be
    compared; an evaluation has no epochs and writes ``previews/CASE.png``. What is drawn, and on which side the
    patient's right is, says :func:`medbundles.components.synthesis_sheet.draw_synthesis`; the pictures' words are also
    in their PNG text ``Description``.

    Args:
        output_dir: where ``previews`` is.
        cases: names of the cases, or how many to take: the first of the first validation, and these ever after.
        slices: slices of each plane.
        per_case: write a picture for each case, named after it, instead of one for each epoch.
        channel: channel of the image that is shown.
        channel_name: what that channel is called.

    Raises:
        ConfigurationError: fewer than one slice.
    """

    def __init__(
        self,
        output_dir: str | os.PathLike[str],
        cases: int | Sequence[str] = 12,
        slices: int = 1,
        per_case: bool = False,
        channel: int = 0,
        channel_name: str = "mean_b0",
    ) -> None:
        if slices < 1:
            raise ConfigurationError(f"slices must be at least 1, found {slices}")
        self.output_dir = Path(output_dir)
        self.limit = cases if isinstance(cases, int) else len(cases)
        self.cases: list[str] = [] if isinstance(cases, int) else list(cases)
        self._collecting = isinstance(cases, int)
        self.slices = slices
        self.per_case = per_case
        self.channel = channel
        self.channel_name = channel_name
        self._sheets: dict[str, tuple[Picture, str]] = {}

    def attach(self, engine: Engine) -> None:
        """Draw at the validations of this evaluator; its items must hold ``image``, ``label``, ``pred``, ``mask``."""
        if not is_writer() or self.limit == 0:
            return
        engine.add_event_handler(Events.EPOCH_STARTED, self._clear)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._draw)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._write)

    def _clear(self, _: Engine) -> None:
        self._sheets = {}

    def _draw(self, engine: Any) -> None:
        items = joined_items(engine.state.batch, engine.state.output)
        for case, item in zip(case_names(engine.state.batch), items, strict=False):
            if self._collecting and case not in self.cases and len(self.cases) < self.limit:
                self.cases.append(case)
            if case in self.cases:
                shown = ShownSynthesis.of(case, item, channel=self.channel, channel_name=self.channel_name)
                self._sheets[case] = draw_synthesis(shown, self.slices)

    def _write(self, engine: Engine) -> None:
        self._collecting = False
        shown = [case for case in self.cases if case in self._sheets]
        epoch = f"epoch_{int(engine.state.epoch):04d}"
        groups = {case: [case] for case in shown} if self.per_case else {epoch: shown} if shown else {}
        for name, cases in groups.items():
            pictures, words = zip(*(self._sheets[case] for case in cases), strict=True)
            write_png(self.output_dir / "previews" / f"{name}.png", tiled(pictures), "\n\n".join(words))
        self._clear(engine)
