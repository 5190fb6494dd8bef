"""Pictures of synthetic volumes of fixed cases at every validation, or of the cases of an evaluation."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medbundles.components.handlers.case_preview import CasePreview
from medbundles.components.metrics.masked_pair import joined_items
from medbundles.components.overlay import Picture, write_png
from medbundles.components.synthesis_sheet import ShownSynthesis, draw_synthesis, tiled
from medbundles.errors import ConfigurationError


class SynthesisPreview(CasePreview[tuple[Picture, str]]):
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
        super().__init__(output_dir, cases, per_case)
        self.slices = slices
        self.channel = channel
        self.channel_name = channel_name

    def items(self, batch: Any, output: Any) -> list[Mapping[str, Any]]:
        """Return the items of the output with what MONAI leaves in the batch, above all the mask."""
        return list(joined_items(batch, output))

    def draw(self, case: str, item: Mapping[str, Any]) -> tuple[Picture, str]:
        """Return the picture of a case and its words; the item must hold ``image label pred mask``."""
        shown = ShownSynthesis.of(case, item, channel=self.channel, channel_name=self.channel_name)
        return draw_synthesis(shown, self.slices)

    def write_picture(self, path: Path, drawn: Mapping[str, tuple[Picture, str]]) -> None:
        """Write the cases' blocks one below the other."""
        pictures, words = zip(*drawn.values(), strict=True)
        write_png(path, tiled(pictures), "\n\n".join(words))
