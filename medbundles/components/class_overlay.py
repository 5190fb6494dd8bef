"""Pictures of a prediction that tells classes apart: filled where predicted, a line where labelled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from medbundles.components.overlay import OPACITY, TEXT_COLOR, Legend, Picture, Slice, to_gray

Color = tuple[int, int, int]
# The line around what is labelled without a class.
UNKNOWN: Color = (255, 214, 10)


def class_legend(colors: Mapping[str, Sequence[int]]) -> Legend:
    """Return the legend of :func:`draw_classes`."""
    named = tuple((name, _color(color)) for name, color in colors.items())
    return (*named, ("no verdict", UNKNOWN), ("filled: predicted, line: labelled", TEXT_COLOR))


def draw_classes(
    image_slice: Slice,
    prediction: Slice,
    label: Slice,
    colors: Sequence[Sequence[int]],
    window: tuple[float, float] = (-1000.0, 400.0),
) -> Picture:
    """Color a prediction on a slice by its classes, and draw a line along the inner edge of what is labelled.

    Args:
        image_slice: intensities ``(H, W)``.
        prediction: ``(H, W)``, numbers of classes from 1, 0 where nothing is predicted.
        label: ``(H, W)``, the same; below 0 is labelled without a class.
        colors: RGB 0 to 255 of each class, in their order.
        window: intensities that become black and white (HU for CT).

    Returns:
        ``(H, W, 3)``.
    """
    picture = to_gray(image_slice, window)
    for number, color in enumerate(colors, start=1):
        mixed = (1 - OPACITY) * picture + OPACITY * np.array(color, dtype=np.float32)
        picture = np.where((prediction == number)[..., None], mixed, picture).astype(np.uint8)
    lines = [(label < 0, UNKNOWN), *((label == number, _color(color)) for number, color in enumerate(colors, start=1))]
    for mask, color in lines:
        edge = mask & ~ndimage.binary_erosion(mask, border_value=1)
        picture = np.where(edge[..., None], np.array(color, dtype=np.uint8), picture)
    return picture


def label_classes(channels: npt.NDArray[Any]) -> npt.NDArray[np.int8]:
    """Return ``(H, W, D)`` of a label ``(C, H, W, D)``: the number of the class from 1, -1 where unknown, else 0."""
    numbers = np.where(channels.max(axis=0) > 0, channels.argmax(axis=0) + 1, 0)
    return np.where((channels < 0).any(axis=0), -1, numbers).astype(np.int8)


def _color(color: Sequence[int]) -> Color:
    red, green, blue = color
    return int(red), int(green), int(blue)
