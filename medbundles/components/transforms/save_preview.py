"""A picture of every prediction, for the first look."""

from __future__ import annotations

import os
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

from monai.data.meta_tensor import MetaTensor
from monai.transforms.transform import Transform

from medbundles.components.finding_sheet import LUNG_WINDOW, ShownScan, draw_findings
from medbundles.components.nodules import find_nodules
from medbundles.components.overlay import write_png
from medbundles.components.regions import highest_channel, region_mask
from medbundles.components.transforms.save_prediction import as_array, class_map, stored_channels, stored_grid
from medbundles.errors import ConfigurationError, OutputConflict
from medbundles.io.grids import case_name


class SavePreviewd(Transform):
    """Write ``CASE_preview.png``: the strongest findings, each ringed on its axial slice; the item is passed on as is.

    Numbers, probabilities and diameters are those of :class:`medbundles.components.handlers.NoduleTables`: finding 1
    is the case's first row there. The display is radiological: the patient's right on the picture's left, anterior up.
    Without findings three slices are shown. The words of the picture are also in its PNG text ``Description``.

    Args:
        output_dir: folder of the pictures.
        threshold: a voxel belongs to a finding above this probability.
        peak_threshold: a finding is shown when its highest probability reaches this; ``None``: all are.
        candidate_threshold: above this voxels form findings; ``None``: above ``threshold``
            (:func:`medbundles.components.regions.label_regions`).
        min_volume_mm3: smaller findings are left out; the numbers are those of the tables when theirs is the same.
        limit: findings that are shown.
        window: intensities shown as black and white (HU).
        overwrite: whether existing files may be replaced.
        pred_key: item with probabilities ``(C, H, W, D)``, on the grid that
            :class:`medbundles.components.transforms.LoadVolumed` gave the image.
        image_key: item with intensities ``(1, H, W, D)``.
        classes: names of the channels, in their order, and their colors (RGB, 0 to 255); several have edges of these
            colors, and each finding's caption says its class.

    Raises:
        ConfigurationError: a limit below 1, or a window whose ends are not in order.
    """

    def __init__(
        self,
        output_dir: str | os.PathLike[str],
        threshold: float = 0.5,
        peak_threshold: float | None = None,
        candidate_threshold: float | None = None,
        min_volume_mm3: float = 0.0,
        limit: int = 8,
        window: Sequence[float] = LUNG_WINDOW,
        overwrite: bool = False,
        pred_key: str = "pred",
        image_key: str = "image",
        classes: Mapping[str, tuple[int, int, int]] | None = None,
    ) -> None:
        super().__init__()
        if limit < 1 or window[0] >= window[1]:
            raise ConfigurationError(f"limit must be at least 1 and window rise, found {limit} and {list(window)}")
        self.output_dir = Path(output_dir)
        self.threshold = threshold
        self.peak_threshold = peak_threshold
        self.candidate_threshold = candidate_threshold
        self.min_volume_mm3 = min_volume_mm3
        self.limit = limit
        self.window = (float(window[0]), float(window[1]))
        self.overwrite = overwrite
        self.pred_key = pred_key
        self.image_key = image_key
        self.classes = dict(classes or {}) if len(classes or {}) > 1 else {}

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Write the picture of one item and return the item.

        Raises:
            OutputConflict: the file exists and ``overwrite`` is false.
            ValueError: the prediction is not on the grid of its file.
        """
        prediction: MetaTensor = data[self.pred_key]
        case = str(data["case"]) if "case" in data else case_name(str(prediction.meta["filename_or_obj"]))
        path = self.output_dir / f"{case}_preview.png"
        if path.exists() and not self.overwrite:
            raise OutputConflict(f"{path} exists; choose another folder or pass --overwrite true")
        affine, orientation = stored_grid(prediction)
        # On the file's grid, as the tables are made: findings of the same rank then stand in the same order.
        channels = stored_channels(prediction, orientation)
        found = find_nodules(
            channels,
            affine,
            case,
            self.threshold,
            min_volume_mm3=self.min_volume_mm3,
            candidate_threshold=self.candidate_threshold,
            classes=tuple(self.classes),
        )
        findings = [finding for finding in found if finding.peak_probability >= (self.peak_threshold or 0.0)]
        highest = highest_channel(channels)
        mask = region_mask(highest, self.threshold, self.peak_threshold, self.candidate_threshold)
        image = orientation.to_stored(as_array(data[self.image_key])[0])
        shown = class_map(mask, channels) if self.classes else mask
        scan = ShownScan.of(image, shown, affine, self.window, tuple(self.classes.items()))
        write_png(path, *draw_findings(scan, findings, case, self.limit))
        return dict(data)
