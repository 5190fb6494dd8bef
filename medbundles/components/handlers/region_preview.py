"""Pictures of regions of fixed cases at every validation, or of the cases of an evaluation."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from medbundles.components.handlers.case_preview import CasePreview
from medbundles.components.metrics.masked_pair import joined_items
from medbundles.components.overlay import write_png
from medbundles.components.region_labels import Regions
from medbundles.components.region_sheet import ShownRegions, draw_regions
from medbundles.errors import ConfigurationError


class RegionPreview(CasePreview[ShownRegions]):
    """Draw contrasts, truth and prediction side by side on axial slices through what is predicted or labelled.

    During a training ``previews/epoch_0005.png`` has always the same cases, so that the epochs can be compared; an
    evaluation has no epochs and writes ``previews/CASE.png``. What is drawn says
    :func:`medbundles.components.region_sheet.draw_regions`; the pictures' words are in their PNG text ``Description``.

    Args:
        output_dir: where ``previews`` is.
        regions: label values that make each region, in the order of the channels.
        cases: names of the cases, or how many to take: the first of the first validation, and these ever after.
        slices: axial slices of each case.
        colors: RGB 0 to 255 by region.
        contrasts: names of the image's channels.
        per_case: write a picture for each case, named after it, instead of one for each epoch.
        pred_key: item with probabilities or masks ``(R, H, W, D)``.

    Raises:
        ConfigurationError: fewer than one slice.
    """

    def __init__(
        self,
        output_dir: str | os.PathLike[str],
        regions: Regions,
        cases: int | Sequence[str] = 4,
        slices: int = 2,
        colors: Mapping[str, Sequence[int]] | None = None,
        contrasts: Sequence[str] = (),
        per_case: bool = False,
        pred_key: str = "pred",
    ) -> None:
        if slices < 1:
            raise ConfigurationError(f"slices must be at least 1, found {slices}")
        super().__init__(output_dir, cases, per_case)
        self.regions = {name: list(values) for name, values in regions.items()}
        self.slices = slices
        self.colors = colors
        self.contrasts = tuple(contrasts)
        self.pred_key = pred_key

    def items(self, batch: Any, output: Any) -> list[Mapping[str, Any]]:
        """Return the items of the output with what MONAI leaves in the batch."""
        return list(joined_items(batch, output))

    def draw(self, case: str, item: Mapping[str, Any]) -> ShownRegions:
        """Return what is shown of a case; the item must hold ``image``, the prediction and perhaps ``label``."""
        label = item["label"] if isinstance(item.get("label"), Tensor) else None
        shown = ShownRegions.of(case, item["image"], item[self.pred_key], label, self.regions, self.contrasts)
        # Whole volumes of every case would be kept until the validation ends.
        return shown.only(shown.levels(self.slices))

    def write_picture(self, path: Path, drawn: Mapping[str, ShownRegions]) -> None:
        """Write the cases' slices one below the other."""
        picture, words = draw_regions(list(drawn.values()), self.colors, self.regions, self.slices)
        write_png(path, picture, words)
