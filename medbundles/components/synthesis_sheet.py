"""A sheet with a synthetic volume beside its input and, where it is known, the real one and the difference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from monai.data.meta_tensor import MetaTensor
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from medbundles.components.finding_sheet import DISCLAIMER
from medbundles.components.metrics.masked_pair import bounding_box
from medbundles.components.overlay import (
    BACKGROUND,
    GAP,
    TEXT_COLOR,
    TEXT_SIZE,
    Picture,
    even_slices,
    radiological_affine,
    to_gray,
    to_radiological,
)
from medbundles.components.slice_frame import SliceFrame
from medbundles.io.grids import Affine, spacing_of

Voxels = npt.NDArray[Any]

# Longest edge of the brain in pixels; all planes have the same scale.
EDGE = 240
# Air that is shown around the brain.
MARGIN_MM = 6.0
# Shares of the brain's voxels that are black and white.
WINDOW_PERCENT = (0.5, 99.5)
# Differences that have the full colors, in z units: the same on every sheet, so that sheets can be compared.
DIFFERENCE_RANGE = 2.0
# Too dark, right, too bright.
DIVERGING = ((59, 110, 230), (235, 235, 235), (205, 40, 40))
BAR = (120, TEXT_SIZE - GAP)
LINE = TEXT_SIZE + 2 * GAP
# For each plane of ``(rows A to P, columns R to L, slices I to S)``: the axis across it, and what lies at its sides.
PLANES = (("axial", 2, ("R", "L")), ("coronal", 0, ("R", "L")), ("sagittal", 1, ("A", "P")))


@dataclass(frozen=True)
class ShownSynthesis:
    """A case's volumes in radiological convention: ``(rows A to P, columns R to L, slices I to S)``.

    Attributes:
        case: its name.
        columns: caption and volume of what is shown in gray: input, real (if known) and synthetic.
        difference: synthetic less real, in z units; None where the real volume is not known.
        mask: where there is brain; at least one voxel.
        spacing: of rows, columns and slices, mm.
        oriented: whether it is known where the patient's right is.
        window: values of real and synthetic volume that are black and white.
    """

    case: str
    columns: tuple[tuple[str, Voxels], ...]
    difference: Voxels | None
    mask: npt.NDArray[np.bool_]
    spacing: tuple[float, float, float]
    oriented: bool
    window: tuple[float, float]

    @classmethod
    def of(
        cls,
        case: str,
        item: Mapping[Any, Any],
        keys: Sequence[str] = ("image", "label", "pred", "mask"),
        channel: int = 0,
        channel_name: str = "mean_b0",
    ) -> ShownSynthesis:
        """Turn an item's tensors, all on one grid, and cut them to the brain.

        Args:
            case: its name.
            item: ``image`` ``(C, H, W, D)``, ``pred`` and ``mask`` ``(1, H, W, D)`` and perhaps ``label``.
            keys: the names of image, label, prediction and mask in the item.
            channel: which channel of the image is shown.
            channel_name: what it is called.

        Raises:
            ValueError: the tensors are not on one grid, or the mask is empty.
        """
        image, prediction, mask = (item[key] for key in (keys[0], *keys[2:]))
        # A record's path is no volume: inference does not read what it may not use.
        label = item[keys[1]] if isinstance(item.get(keys[1]), Tensor) else None
        affine = _affine(prediction, image)
        volumes = [_volume(image, channel), _volume(prediction), _volume(mask)]
        volumes += [] if label is None else [_volume(label)]
        shape = volumes[0].shape
        if any(volume.shape != shape for volume in volumes) or not (volumes[2] > 0).any():
            found = ", ".join(str(volume.shape) for volume in volumes)
            raise ValueError(
                f"case {case}: image, pred, mask and label must be on one grid, with a mask; found {found}"
            )
        grid = np.eye(4) if affine is None else affine
        spacing = spacing_of(radiological_affine(grid, shape))
        turned = [to_radiological(volume, grid) for volume in volumes]
        box = _around(turned[2] > 0, spacing)
        shown, synthetic, inside, *real = (volume[box] for volume in turned)
        known = [("real T1w", real[0])] if real else []
        return cls(
            case=case,
            columns=((f"input: {channel_name}", shown), *known, ("synthetic T1w", synthetic)),
            difference=synthetic - real[0] if real else None,
            mask=inside > 0,
            spacing=spacing,
            oriented=affine is not None,
            window=_window((real[0] if real else synthetic)[inside > 0]),
        )

    @property
    def error(self) -> float | None:
        """The mean absolute error inside the mask, in z units."""
        return None if self.difference is None else float(np.abs(self.difference[self.mask]).mean())

    def row(self, plane: int, level: int, scale: float) -> list[Picture]:
        """Return one slice of every column.

        Args:
            plane: number of the plane in ``PLANES``.
            level: number of the slice across it.
            scale: pixels a millimeter.
        """
        _, axis, sides = PLANES[plane]
        inside = _slice(self.mask, axis, level)
        # The first column is the input, which has units of its own.
        windows = [_window(self.columns[0][1][self.mask]), *[self.window] * (len(self.columns) - 1)]
        pictures = [
            to_gray(_slice(volume, axis, level), window)
            for (_, volume), window in zip(self.columns, windows, strict=True)
        ]
        if self.difference is not None:
            pictures.append(to_diverging(_slice(self.difference, axis, level), DIFFERENCE_RANGE))
        rows, columns = [self.spacing[other] for other in _axes_of(axis)]
        frame = SliceFrame(0, 0, (inside.shape[0], inside.shape[1]), (rows, columns), scale)
        cleared = [np.where(inside[..., None], picture, BACKGROUND).astype(np.uint8) for picture in pictures]
        scaled = [frame.scaled(picture) for picture in cleared]
        return [_with_sides(picture, sides) for picture in scaled] if self.oriented else scaled


def draw_synthesis(shown: ShownSynthesis, slices: int = 1) -> tuple[Picture, str]:
    """Draw axial, coronal and sagittal slices through the brain's middle: input, real, synthetic, difference.

    Axial slices are seen from the feet and coronal ones from the front, the patient's right on the left; sagittal ones
    from the patient's left. All have the patient's proportions and the same scale.

    Args:
        shown: the case.
        slices: slices of each plane, evenly spaced over the brain.

    Returns:
        The sheet, and all of its words.
    """
    extent = max(count * step for count, step in zip(shown.mask.shape, shown.spacing, strict=True))
    rows = [
        shown.row(plane, level, EDGE / extent)
        for plane, (_, axis, _) in enumerate(PLANES)
        for level in _levels(shown.mask, axis, slices)
    ]
    error = shown.error
    heads = [shown.case if error is None else f"{shown.case}, MAE {error:.3f} z units", _explanation(shown)]
    captions = [caption for caption, _ in shown.columns] + ([] if error is None else ["synthetic - real"])
    bar = "" if error is None else f"difference from -{DIFFERENCE_RANGE:g} to {DIFFERENCE_RANGE:g} z units"
    words = "\n".join([*heads, ", ".join(captions), *([bar] if bar else []), DISCLAIMER])
    return _lay_out(rows, heads, captions, bar), words


def to_diverging(image_slice: Voxels, limit: float) -> Picture:
    """Color values about zero: blue at ``-limit``, white at 0, red at ``limit``.

    Args:
        image_slice: ``(H, W)``.
        limit: above 0, in the slice's units.
    """
    values = np.clip(np.nan_to_num(np.asarray(image_slice, dtype=np.float64)) / limit, -1.0, 1.0)
    channels = [np.interp(values, (-1.0, 0.0, 1.0), [color[number] for color in DIVERGING]) for number in range(3)]
    return np.stack(channels, axis=-1).round().astype(np.uint8)


def tiled(sheets: Sequence[Picture], columns: int = 3) -> Picture:
    """Lay whole sheets out in columns, as few rows as possible.

    Args:
        sheets: at least one, of any size.
        columns: of the result, at most.
    """
    height, width = (max(sheet.shape[axis] for sheet in sheets) + 2 * GAP for axis in (0, 1))
    columns = min(columns, len(sheets))
    canvas = Image.new("RGB", (columns * width, -(-len(sheets) // columns) * height), (BACKGROUND,) * 3)
    for number, sheet in enumerate(sheets):
        canvas.paste(Image.fromarray(sheet), (number % columns * width, number // columns * height))
    return np.asarray(canvas)


def _axes_of(axis: int) -> tuple[int, int]:
    """Return which axes of the volume are rows and columns of the plane across ``axis``."""
    return (0, 1) if axis == 2 else (2, 1 - axis)


def _slice(volume: Voxels, axis: int, level: int) -> Voxels:
    """Return a slice as it is looked at: anterior up in axial slices, the head up in the others."""
    picture: Voxels = volume.take(level, axis=axis)
    return picture if axis == 2 else picture.T[::-1]


def _levels(mask: npt.NDArray[np.bool_], axis: int, count: int) -> list[int]:
    """Return slice numbers evenly spaced over the extent of a mask along an axis; one is the middle."""
    extent = bounding_box(mask)[axis]
    return [extent.start + level for level in even_slices(extent.stop - extent.start, count)]


def _around(mask: npt.NDArray[np.bool_], spacing: Sequence[float]) -> tuple[slice, ...]:
    """Return the box of the mask and its margin, as far as the volume goes."""
    margins = [round(MARGIN_MM / step) for step in spacing]
    return tuple(
        slice(max(0, part.start - margin), part.stop + margin)
        for part, margin in zip(bounding_box(mask), margins, strict=True)
    )


def _window(values: Voxels) -> tuple[float, float]:
    low, high = np.percentile(np.nan_to_num(values), WINDOW_PERCENT)
    return float(low), float(high)


def _with_sides(picture: Picture, sides: tuple[str, str]) -> Picture:
    """Write what lies at the left and at the right of a picture ``(H, W, 3)``."""
    image = Image.fromarray(picture)
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(TEXT_SIZE)
    for letter, place, anchor in zip(sides, (GAP, image.width - GAP), ("lm", "rm"), strict=True):
        # The dark border keeps the letter legible on bright tissue.
        dark = (BACKGROUND,) * 3
        draw.text(
            (place, image.height // 2), letter, TEXT_COLOR, font=font, anchor=anchor, stroke_width=2, stroke_fill=dark
        )
    return np.asarray(image)


def _explanation(shown: ShownSynthesis) -> str:
    low, high = shown.window
    return f"T1w black at {low:.1f}, white at {high:.1f} z units"


def _lay_out(rows: Sequence[Sequence[Picture]], heads: Sequence[str], captions: Sequence[str], bar: str) -> Picture:
    """Lay slices out under their captions, with lines of text above and the color bar and the disclaimer below."""
    font = ImageFont.load_default(TEXT_SIZE)
    caption_width = max(round(font.getlength(caption)) for caption in captions)
    width = max(caption_width, *(picture.shape[1] for row in rows for picture in row)) + 2 * GAP
    heights = [max(picture.shape[0] for picture in row) + GAP for row in rows]
    text_width = max(round(font.getlength(text)) for text in (*heads, DISCLAIMER)) + 2 * GAP
    top, foot = (len(heads) + 1) * LINE, (2 if bar else 1) * LINE
    size = (max(len(captions) * width, text_width), top + sum(heights) + foot)
    canvas = Image.new("RGB", size, (BACKGROUND,) * 3)
    draw = ImageDraw.Draw(canvas)
    for number, line in enumerate(heads):
        draw.text((GAP, GAP + number * LINE), line, TEXT_COLOR, font=font)
    for column, caption in enumerate(captions):
        draw.text(((column + 0.5) * width, top - LINE + GAP), caption, TEXT_COLOR, font=font, anchor="ma")
    for number, row in enumerate(rows):
        for column, picture in enumerate(row):
            left = column * width + (width - picture.shape[1]) // 2
            canvas.paste(Image.fromarray(picture), (left, top + sum(heights[:number])))
    if bar:
        _draw_bar(canvas, bar, size[1] - 2 * LINE + GAP)
    draw.text((GAP, size[1] - LINE), DISCLAIMER, TEXT_COLOR, font=font)
    return np.asarray(canvas)


def _draw_bar(canvas: Image.Image, words: str, top: int) -> None:
    width, height = BAR
    values = np.linspace(-DIFFERENCE_RANGE, DIFFERENCE_RANGE, width)
    canvas.paste(Image.fromarray(to_diverging(np.tile(values, (height, 1)), DIFFERENCE_RANGE)), (GAP, top))
    place = (width + 3 * GAP, top + height // 2)
    ImageDraw.Draw(canvas).text(place, words, TEXT_COLOR, font=ImageFont.load_default(TEXT_SIZE), anchor="lm")


def _volume(tensor: Any, channel: int = 0) -> Voxels:
    array: Voxels = np.asarray(tensor[channel].detach().cpu().float())
    return array


def _affine(*tensors: Any) -> Affine | None:
    """Return the affine of the first tensor that knows it."""
    known = [np.asarray(tensor.affine, dtype=np.float64) for tensor in tensors if isinstance(tensor, MetaTensor)]
    return known[0] if known else None
