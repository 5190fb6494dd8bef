"""Part of a slice, scaled to a picture in the patient's proportions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter


@dataclass(frozen=True)
class SliceFrame:
    """Which pixels of a slice are shown, and how large.

    Attributes:
        top: first row shown.
        left: first column shown.
        shape: rows and columns shown.
        spacing: distance of rows and of columns, mm.
        pixels_per_mm: scale of the picture, the same in both directions.
    """

    top: int
    left: int
    shape: tuple[int, int]
    spacing: tuple[float, float]
    pixels_per_mm: float

    @classmethod
    def whole(cls, shape: Sequence[int], spacing: Sequence[float], edge: int) -> SliceFrame:
        """Show a whole slice.

        Args:
            shape: rows and columns of the slice; more is passed over.
            spacing: distance of rows and of columns, mm; more is passed over.
            edge: longer edge of the picture in pixels.
        """
        rows, columns = int(shape[0]), int(shape[1])
        row_mm, column_mm = float(spacing[0]), float(spacing[1])
        return cls(0, 0, (rows, columns), (row_mm, column_mm), edge / max(rows * row_mm, columns * column_mm))

    @classmethod
    def around(
        cls, center: Sequence[float], shape: Sequence[int], spacing: Sequence[float], width_mm: float, edge: int
    ) -> SliceFrame:
        """Show a square about a place, moved to lie within the slice, and no larger than it.

        Args:
            center: row and column of the place; fractions are pixels, too.
            shape: see :meth:`whole`.
            spacing: see :meth:`whole`.
            width_mm: edge of the square.
            edge: longer edge of the picture in pixels.
        """
        sizes = [min(int(size), max(1, math.ceil(width_mm / step))) for size, step in zip(shape, spacing, strict=False)]
        starts = [
            min(max(round(place - (part - 1) / 2), 0), int(size) - part)
            for place, part, size in zip(center, sizes, shape, strict=False)
        ]
        full = cls.whole(sizes, spacing, edge)
        return cls(starts[0], starts[1], full.shape, full.spacing, full.pixels_per_mm)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the picture in pixels."""
        height, width = (
            max(1, round(count * step * self.pixels_per_mm))
            for count, step in zip(self.shape, self.spacing, strict=True)
        )
        return width, height

    def place(self, row: float, column: float) -> tuple[float, float]:
        """Return where in the picture a place of the slice is: x and y in pixels, from the upper left corner."""
        y = (row - self.top + 0.5) * self.spacing[0] * self.pixels_per_mm
        x = (column - self.left + 0.5) * self.spacing[1] * self.pixels_per_mm
        return x, y

    def scaled(self, picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Return the part of a colored slice ``(H, W, 3)`` at the picture's size."""
        return np.asarray(Image.fromarray(np.ascontiguousarray(self._cut(picture))).resize(self.size))

    def outline(self, mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Return a line of two pixels about the foreground of a mask ``(H, W)``, at the picture's size."""
        inside = Image.fromarray(np.ascontiguousarray(self._cut(mask)).astype(np.uint8) * 255)
        inside = inside.resize(self.size, Image.Resampling.NEAREST)
        outside = inside.filter(ImageFilter.MaxFilter(5))
        return np.asarray(np.asarray(outside) > np.asarray(inside))

    def _cut(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return array[self.top : self.top + self.shape[0], self.left : self.left + self.shape[1]]
