"""Pictures of fixed cases at every validation, or of the cases of an evaluation."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from monai.data.meta_tensor import MetaTensor

from medbundles.components.class_overlay import class_legend, draw_classes, label_classes
from medbundles.components.handlers.case_preview import CasePreview
from medbundles.components.overlay import (
    LEGEND,
    Picture,
    draw_overlay,
    even_slices,
    mark_right,
    radiological_affine,
    sheet,
    telling_slices,
    to_radiological,
    write_png,
)
from medbundles.components.regions import highest_channel
from medbundles.components.slice_frame import SliceFrame
from medbundles.components.transforms.save_prediction import class_map
from medbundles.io.grids import Affine, spacing_of

# Edge of a picture on the sheet, pixels.
TILE = 256


@dataclass(frozen=True)
class ShownSlices:
    """What is shown of one case.

    Attributes:
        row: slices for the sheet, half of them through the label.
        even: evenly spaced slices for TensorBoard; empty where it gets none.
    """

    row: list[Picture]
    even: list[Picture]


class SegmentationPreview(CasePreview[ShownSlices]):
    """Draw predictions on their images: true positives green, false negatives orange, false positives red.

    Where there are several classes, what is predicted is filled with its class's color and what is labelled has an
    edge of that color.

    During a training ``previews/epoch_0005.png`` has one row a case, always the same cases, so that the epochs can be
    compared; an evaluation has no epochs and writes ``previews/CASE.png``. Half of a case's slices go through the
    label, the others are evenly spaced. TensorBoard gets six evenly spaced slices a case, as in chapter 13 of Deep
    Learning with PyTorch. The display is radiological: the patient's right on the picture's left, marked R where the
    image knows its orientation, anterior up.

    Args:
        output_dir: where ``previews`` and ``tensorboard`` are.
        cases: names of the cases, or how many to take: the first of the first validation, and these ever after.
        slices: slices of each case on the PNG and in TensorBoard.
        window_hu: intensities shown as black and white.
        threshold: predictions above it count; ``pred`` must be probabilities or masks (after postprocessing).
        channel: channel of the image that is shown.
        tensorboard: whether to write TensorBoard images, too.
        per_case: write a picture for each case, named after it, instead of one for each epoch.
        classes: color (RGB, 0 to 255) of each channel of prediction and label, in their order; None or one class draws
            what is right and wrong.
    """

    def __init__(
        self,
        output_dir: str | os.PathLike[str],
        cases: int | Sequence[str] = 12,
        slices: int = 6,
        window_hu: Sequence[float] = (-1000.0, 400.0),
        threshold: float = 0.5,
        channel: int = 0,
        tensorboard: bool = True,
        per_case: bool = False,
        classes: Mapping[str, Sequence[int]] | None = None,
    ) -> None:
        super().__init__(output_dir, cases, per_case)
        self.slices = slices
        self.window = (float(window_hu[0]), float(window_hu[1]))
        self.threshold = threshold
        self.channel = channel
        self.tensorboard = tensorboard
        self.classes = dict(classes or {}) if len(classes or {}) > 1 else {}

    def items(self, batch: Any, output: Any) -> list[Mapping[str, Any]]:
        """Return the items of the output, whether MONAI has taken it apart or not."""
        if isinstance(output, list):
            return output
        keys = ("image", "label", "pred")
        return [{key: output[key][index] for key in keys} for index in range(len(output["pred"]))]

    def draw(self, case: str, item: Mapping[str, Any]) -> ShownSlices:
        """Return the slices of a case; the item must hold ``image label pred``."""
        known, affine = _affine(item["image"])
        volume = _volume(item["image"], self.channel)
        image = to_radiological(volume, affine)
        frame = SliceFrame.whole(image.shape, spacing_of(radiological_affine(affine, volume.shape)), TILE)
        prediction, label = (to_radiological(each, affine) for each in self._predicted_and_labelled(item))

        def pictures(numbers: Sequence[int]) -> list[Picture]:
            return [self._picture(image[..., k], prediction[..., k], label[..., k]) for k in numbers]

        tiles = [frame.scaled(picture) for picture in pictures(telling_slices(label, self.slices))]
        row = [mark_right(tile) for tile in tiles] if known else tiles
        return ShownSlices(row, pictures(even_slices(image.shape[2], self.slices)) if self.tensorboard else [])

    def write_picture(self, path: Path, drawn: Mapping[str, ShownSlices]) -> None:
        """Write a sheet with one row a case."""
        legend = class_legend(self.classes) if self.classes else LEGEND
        write_png(path, sheet([shown.row for shown in drawn.values()], list(drawn), TILE, legend))

    def write(self, drawn: Mapping[str, ShownSlices], epoch: int) -> None:
        """Write the sheets of one validation and, where asked for, its TensorBoard images."""
        super().write(drawn, epoch)
        if self.tensorboard:
            self._write_tensorboard(drawn, epoch)

    def _predicted_and_labelled(self, item: Mapping[str, Any]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Return ``(H, W, D)`` twice: whether or, where there are classes, which class from 1; -1 where unknown."""
        if not self.classes:
            return _volume(item["pred"]) > self.threshold, _volume(item["label"])
        channels = range(len(self.classes))
        probabilities, label = (np.stack([_volume(item[key], k) for k in channels]) for key in ("pred", "label"))
        return class_map(highest_channel(probabilities) > self.threshold, probabilities), label_classes(label)

    def _picture(self, image: npt.NDArray[Any], prediction: npt.NDArray[Any], label: npt.NDArray[Any]) -> Picture:
        if self.classes:
            return draw_classes(image, prediction, label, list(self.classes.values()), self.window)
        return draw_overlay(image, prediction, label, self.window)

    def _write_tensorboard(self, drawn: Mapping[str, ShownSlices], epoch: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        # A folder of its own: TensorBoard reads one growing file a folder, and the scalars have theirs.
        with SummaryWriter(str(self.output_dir / "tensorboard" / "previews")) as writer:
            for number, (case, shown) in enumerate(drawn.items()):
                for index, picture in enumerate(shown.even):
                    writer.add_image(f"{number:02d}_{case}/slice_{index}", picture, epoch, dataformats="HWC")


def _volume(tensor: Any, channel: int = 0) -> npt.NDArray[Any]:
    """Return one channel of an item ``(C, H, W[, D])`` as ``(H, W, D)``."""
    array: npt.NDArray[Any] = np.asarray(tensor.detach().cpu())[channel]
    return array if array.ndim == 3 else array[..., None]


def _affine(tensor: Any) -> tuple[bool, Affine]:
    """Return whether an image knows its orientation, and its affine; a plain tensor is taken to be in RAS order."""
    known = isinstance(tensor, MetaTensor)
    return known, np.asarray(tensor.affine if known else np.eye(4), dtype=np.float64)
