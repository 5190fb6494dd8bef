"""A picture of every prediction, for the first look."""

from __future__ import annotations

import os
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from monai.data.meta_tensor import MetaTensor
from monai.transforms.transform import Transform

from medbundles.components.overlay import (
    COMPARED_LEGEND,
    PREDICTED_LEGEND,
    draw_overlay,
    sheet,
    telling_slices,
    to_radiological,
    write_png,
)
from medbundles.components.regions import region_mask
from medbundles.components.transforms.save_prediction import as_array
from medbundles.errors import OutputConflict
from medbundles.io.grids import case_name


class SavePreviewd(Transform):
    """Write ``CASE_preview.png``: axial slices with the prediction on them; the item is passed on unchanged.

    Half of the slices show the prediction, the others are evenly spaced. The display is radiological: the patient's
    right on the picture's left, anterior up. With a label: found green, missed orange, false red.

    Args:
        output_dir: folder of the pictures.
        threshold: a voxel is foreground above this probability.
        peak_threshold: connected regions whose highest probability stays below this are not shown; ``None``: all are.
        candidate_threshold: above this voxels form regions; ``None``: above ``threshold``
            (:func:`medbundles.components.regions.label_regions`).
        slices: pictures in the row.
        window: intensities shown as black and white (HU for CT).
        overwrite: whether existing files may be replaced.
        pred_key: item with probabilities ``(1, H, W, D)``.
        image_key: item with intensities ``(1, H, W, D)``.
        label_key: item with the truth; may be absent.
    """

    def __init__(
        self,
        output_dir: str | os.PathLike[str],
        threshold: float = 0.5,
        peak_threshold: float | None = None,
        candidate_threshold: float | None = None,
        slices: int = 6,
        window: Sequence[float] = (-1000.0, 400.0),
        overwrite: bool = False,
        pred_key: str = "pred",
        image_key: str = "image",
        label_key: str = "label",
    ) -> None:
        super().__init__()
        self.output_dir = Path(output_dir)
        self.threshold = threshold
        self.peak_threshold = peak_threshold
        self.candidate_threshold = candidate_threshold
        self.slices = slices
        self.window = (float(window[0]), float(window[1]))
        self.overwrite = overwrite
        self.pred_key = pred_key
        self.image_key = image_key
        self.label_key = label_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Write the picture of one item and return the item.

        Raises:
            OutputConflict: the file exists and ``overwrite`` is false.
        """
        image: MetaTensor = data[self.image_key]
        affine = np.asarray(image.affine, dtype=np.float64)
        case = str(data["case"]) if "case" in data else case_name(str(image.meta["filename_or_obj"]))
        path = self.output_dir / f"{case}_preview.png"
        if path.exists() and not self.overwrite:
            raise OutputConflict(f"{path} exists; choose another folder or pass --overwrite true")
        shown = to_radiological(as_array(image)[0], affine)
        probabilities = as_array(data[self.pred_key])[0]
        mask = region_mask(probabilities, self.threshold, self.peak_threshold, self.candidate_threshold)
        mask = to_radiological(mask, affine)
        label = data.get(self.label_key)
        truth = None if label is None else to_radiological(as_array(label)[0] > 0, affine)
        levels = telling_slices(mask if truth is None else mask | truth, self.slices)
        row = [
            draw_overlay(shown[..., k], mask[..., k], None if truth is None else truth[..., k], self.window)
            for k in levels
        ]
        legend = PREDICTED_LEGEND if truth is None else COMPARED_LEGEND
        write_png(path, sheet([row], [case], legend=legend))
        return dict(data)
