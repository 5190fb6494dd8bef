"""Pictures of a prediction on its image, for the eye: green found, orange missed, red predicted where nothing is.

Everything is shown as radiologists look at it: the patient's right on the picture's left, anterior up.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from nibabel.orientations import axcodes2ornt, inv_ornt_aff, io_orientation, ornt_transform
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from medbundles.io.atomic import atomic_path
from medbundles.io.grids import Affine

Picture = npt.NDArray[np.uint8]
Slice = npt.NDArray[Any]

TRUE_POSITIVE = (46, 204, 64)
FALSE_NEGATIVE = (255, 150, 20)
FALSE_POSITIVE = (235, 45, 45)
Legend = Sequence[tuple[str, tuple[int, int, int]]]
LEGEND: Legend = (
    ("true positive", TRUE_POSITIVE),
    ("false negative", FALSE_NEGATIVE),
    ("false positive", FALSE_POSITIVE),
)
OPACITY = 0.6
BACKGROUND = 18
TEXT_COLOR = (235, 235, 235)
TEXT_SIZE = 15
GAP = 4
# Between two entries of a legend.
LEGEND_GAP = 5 * GAP


def to_radiological(volume: npt.NDArray[Any], affine: Affine) -> npt.NDArray[Any]:
    """Turn a volume so that ``result[:, :, k]`` is an axial picture in radiological convention.

    Only whole axes are exchanged and flipped: an oblique volume is shown along its own axes, the nearest to axial.

    Args:
        volume: ``(H, W, D)`` in the order of ``affine``.
        affine: 4x4, voxel index to RAS+ mm.

    Returns:
        A view ``(rows, columns, slices)``: rows from anterior to posterior, columns from the patient's right to the
        left, slices from inferior to superior.
    """
    steps = _steps_to_lps(affine)
    order = np.argsort(steps[:, 0].astype(int))
    turned = volume.transpose(*order)
    signs = steps[order, 1]
    turned = turned[tuple(slice(None, None, int(sign)) for sign in signs)]
    return turned.transpose(1, 0, 2)


def radiological_affine(affine: Affine, shape: Sequence[int]) -> Affine:
    """Return the affine (4x4, ``(row, column, slice)`` to RAS+ mm) of what :func:`to_radiological` returns.

    Args:
        affine: 4x4, voxel index of the volume to RAS+ mm.
        shape: ``(H, W, D)`` of the volume.
    """
    turned = affine @ inv_ornt_aff(_steps_to_lps(affine), tuple(shape))
    return np.asarray(turned[:, [1, 0, 2, 3]], dtype=np.float64)


def to_gray(image_slice: Slice, window: tuple[float, float]) -> Picture:
    """Map intensities to gray: ``window``'s lower end is black, its upper end white.

    Args:
        image_slice: ``(H, W)``.
        window: lower and upper end, in the image's units (HU for CT).

    Returns:
        ``(H, W, 3)``, three equal channels.
    """
    low, high = window
    scaled = (np.nan_to_num(np.asarray(image_slice, dtype=np.float32)) - low) / max(high - low, 1e-6)
    gray = (np.clip(scaled, 0, 1) * 255).astype(np.uint8)
    return np.repeat(gray[..., None], 3, axis=2)


def draw_overlay(
    image_slice: Slice, prediction: Slice, label: Slice, window: tuple[float, float] = (-1000.0, 400.0)
) -> Picture:
    """Colour a prediction on a slice.

    Args:
        image_slice: intensities ``(H, W)``.
        prediction: mask ``(H, W)``; nonzero is predicted.
        label: the truth ``(H, W)``; nonzero is labelled.
        window: intensities that become black and white (HU for CT).

    Returns:
        ``(H, W, 3)``: true positives green, false negatives orange, false positives red.
    """
    picture = to_gray(image_slice, window)
    predicted = np.asarray(prediction) != 0
    truth = np.asarray(label) != 0
    picture = _blend(picture, predicted & truth, TRUE_POSITIVE)
    picture = _blend(picture, ~predicted & truth, FALSE_NEGATIVE)
    return _blend(picture, predicted & ~truth, FALSE_POSITIVE)


def even_slices(depth: int, count: int) -> list[int]:
    """Return up to ``count`` slice numbers evenly spaced over a volume, its ends left out."""
    positions = (np.arange(count) + 1) * depth // (count + 1)
    return sorted({int(position) for position in positions})


def telling_slices(label: npt.NDArray[Any], count: int) -> list[int]:
    """Return ``count`` slice numbers to judge a prediction by: half show the label, the others are evenly spaced.

    Args:
        label: mask ``(H, W, D)``.
        count: slices to choose.
    """
    depth = label.shape[2]
    labelled = np.flatnonzero(np.asarray(label).reshape(-1, depth).any(axis=0))
    chosen: set[int] = set()
    if labelled.size:
        chosen |= {int(labelled[index]) for index in even_slices(labelled.size, min((count + 1) // 2, labelled.size))}
    free = [k for k in range(depth) if k not in chosen]
    missing = min(count - len(chosen), len(free))
    return sorted(chosen | {free[index] for index in even_slices(len(free), missing)})


def mark_right(picture: Picture) -> Picture:
    """Write an R at the left edge of a radiological picture ``(H, W, 3)``: that side is the patient's right."""
    image = Image.fromarray(picture)
    font = ImageFont.load_default(TEXT_SIZE + GAP)
    place = (GAP, image.height // 2)
    # The dark border keeps the letter legible on bright tissue.
    ImageDraw.Draw(image).text(
        place, "R", fill=TEXT_COLOR, font=font, anchor="lm", stroke_width=2, stroke_fill=(BACKGROUND,) * 3
    )
    return np.asarray(image)


def sheet(
    rows: Sequence[Sequence[Picture]], titles: Sequence[str], tile: int = 256, legend: Legend = LEGEND
) -> Picture:
    """Lay pictures out in rows with a title above each row and a legend below.

    Args:
        rows: pictures ``(H, W, 3)`` of any size; they are scaled to fit squares.
        titles: one a row.
        tile: edge of a square in pixels.
        legend: words and colors; by default those of :func:`draw_overlay`.

    Returns:
        One picture.

    Raises:
        ValueError: no pictures, or another number of titles.
    """
    if not rows or not all(rows) or len(rows) != len(titles):
        raise ValueError(f"{len(rows)} rows of pictures need as many titles, got {len(titles)}")
    head = TEXT_SIZE + 2 * GAP
    width = max(max(map(len, rows)) * (tile + GAP) + GAP, legend_width(legend))
    canvas = Image.new("RGB", (width, len(rows) * (tile + head) + head + GAP), (BACKGROUND,) * 3)
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(TEXT_SIZE)
    for number, (row, title) in enumerate(zip(rows, titles, strict=True)):
        top = number * (tile + head)
        draw.text((GAP, top + GAP), title, fill=TEXT_COLOR, font=font)
        for column, picture in enumerate(row):
            image = Image.fromarray(picture)
            scale = tile / max(image.size)
            image = image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))))
            left = GAP + column * (tile + GAP)
            canvas.paste(image, (left + (tile - image.width) // 2, top + head + (tile - image.height) // 2))
    draw_legend(draw, legend, canvas.height - head)
    return np.asarray(canvas)


def legend_width(legend: Legend) -> int:
    """Return the pixels that :func:`draw_legend` needs."""
    font = ImageFont.load_default(TEXT_SIZE)
    return GAP + sum(TEXT_SIZE + LEGEND_GAP + round(font.getlength(name)) for name, _ in legend)


def draw_legend(draw: ImageDraw.ImageDraw, legend: Legend, top: int) -> None:
    """Draw colored squares with their words in a line from the left.

    Args:
        draw: what to draw on.
        legend: words and colors.
        top: where the line begins, in pixels.
    """
    font = ImageFont.load_default(TEXT_SIZE)
    left = GAP
    for name, color in legend:
        draw.rectangle((left, top + GAP, left + TEXT_SIZE - GAP, top + TEXT_SIZE), fill=color)
        draw.text((left + TEXT_SIZE + GAP, top), name, fill=TEXT_COLOR, font=font)
        left += TEXT_SIZE + LEGEND_GAP + round(font.getlength(name))


def write_png(path: str | os.PathLike[str], picture: Picture, description: str = "") -> None:
    """Write a picture ``(H, W, 3)`` as PNG, atomically.

    Args:
        path: where to.
        picture: what.
        description: its words, for programs that cannot see, under PNG's keyword ``Description``.
    """
    texts = PngInfo()
    if description:
        texts.add_text("Description", description)
    with atomic_path(path) as temporary:
        Image.fromarray(picture).save(temporary, format="PNG", pnginfo=texts)


def _steps_to_lps(affine: Affine) -> npt.NDArray[Any]:
    """Return how a volume's axes become columns towards L, rows towards P, slices towards S (nibabel's notation)."""
    return np.asarray(ornt_transform(io_orientation(affine), axcodes2ornt(("L", "P", "S"))))


def _blend(picture: Picture, mask: npt.NDArray[np.bool_], color: tuple[int, int, int]) -> Picture:
    mixed = (1 - OPACITY) * picture + OPACITY * np.array(color, dtype=np.float32)
    return np.where(mask[..., None], mixed, picture).astype(np.uint8)
