"""A sheet with a case's contrasts, its predicted regions and, where it is known, the truth beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from monai.data.meta_tensor import MetaTensor
from torch import Tensor

from medbundles.components.class_overlay import draw_classes
from medbundles.components.finding_sheet import DISCLAIMER
from medbundles.components.overlay import (
    Legend,
    Picture,
    even_slices,
    mark_right,
    radiological_affine,
    sheet,
    to_gray,
    to_radiological,
)
from medbundles.components.region_labels import Regions, labels_to_regions, painting_order
from medbundles.components.regions import bounding_box
from medbundles.components.slice_frame import SliceFrame
from medbundles.io.grids import Affine, spacing_of

Voxels = npt.NDArray[np.floating[Any]]
Numbers = npt.NDArray[np.uint8]
Color = tuple[int, int, int]

TILE = 160
# Shares of the brain's voxels that are black and white.
WINDOW_PERCENT = (0.5, 99.5)
# Of regions without a color of their own, in their order.
COLORS: tuple[Color, ...] = ((80, 200, 120), (250, 190, 50), (230, 60, 40), (80, 130, 240), (200, 90, 220))


@dataclass(frozen=True)
class ShownRegions:
    """A case in radiological convention, ``(rows A to P, columns R to L, slices I to S)``, cut to the brain.

    Attributes:
        case: its name.
        contrasts: name and intensities of each contrast that is there.
        predicted: number of the innermost predicted region, from 1; 0 where there is none.
        truth: the same of the label; None where it is not known.
        spacing: of rows, columns and slices, mm.
        oriented: whether it is known where the patient's right is.
        windows: intensities of each contrast that are black and white.
    """

    case: str
    contrasts: tuple[tuple[str, Voxels], ...]
    predicted: Numbers
    truth: Numbers | None
    spacing: tuple[float, float, float]
    oriented: bool
    windows: tuple[tuple[float, float], ...]

    @classmethod
    def of(
        cls,
        case: str,
        image: Tensor,
        prediction: Tensor,
        label: Tensor | None,
        regions: Regions,
        contrasts: Sequence[str] = (),
        threshold: float = 0.5,
    ) -> ShownRegions:
        """Turn a case's tensors, all on one grid.

        Args:
            case: its name.
            image: ``(C, H, W, D)``; contrasts that are absent by its meta data's ``present`` are left out, as are
                those that are 0 everywhere.
            prediction: ``(R, H, W, D)``, probabilities or masks.
            label: label map ``(1, H, W, D)`` or ``(R, H, W, D)``; None where it is not known.
            regions: label values that make each region.
            contrasts: names of the image's channels; without them they are numbered.
            threshold: a voxel belongs to a region where the prediction is above this.

        Raises:
            ValueError: the tensors are not on one grid.
        """
        if len({tuple(each.shape[1:]) for each in (image, prediction, *([] if label is None else [label]))}) > 1:
            raise ValueError(f"case {case}: image, prediction and label must be on one grid")
        known = isinstance(image, MetaTensor)
        affine: Affine = np.asarray(image.affine if isinstance(image, MetaTensor) else np.eye(4), dtype=np.float64)
        volumes = [(name, to_radiological(values, affine)) for name, values in _contrasts(image, contrasts)]
        predicted = to_radiological(_innermost(_array(prediction) > threshold, regions), affine)
        truth = None if label is None else to_radiological(_innermost(_truth(label, regions), regions), affine)
        brain = np.any([values != 0 for _, values in volumes], axis=0)
        box = bounding_box(brain) or tuple(slice(0, size) for size in predicted.shape)
        windows = tuple(_window(values[box]) for _, values in volumes)
        return cls(
            case=case,
            # What is exactly 0 is no brain: black.
            contrasts=tuple(
                (name, np.where(values[box] == 0, window[0], values[box]))
                for (name, values), window in zip(volumes, windows, strict=True)
            ),
            predicted=predicted[box],
            truth=None if truth is None else truth[box],
            spacing=spacing_of(radiological_affine(affine, image.shape[1:])),
            oriented=known,
            windows=windows,
        )

    def only(self, levels: Sequence[int]) -> ShownRegions:
        """Return a case of these slices alone, which takes their memory and no more."""
        return replace(
            self,
            contrasts=tuple((name, values[..., levels].copy()) for name, values in self.contrasts),
            predicted=self.predicted[..., levels].copy(),
            truth=None if self.truth is None else self.truth[..., levels].copy(),
        )

    def levels(self, count: int) -> list[int]:
        """Return slice numbers evenly spaced over what is predicted or labelled, over the brain where nothing is."""
        anything = self.predicted > 0 if self.truth is None else (self.predicted > 0) | (self.truth > 0)
        shown = np.flatnonzero(anything.any(axis=(0, 1)))
        if self.predicted.shape[2] <= count:
            return list(range(self.predicted.shape[2]))
        if not shown.size:
            return even_slices(self.predicted.shape[2], count)
        return [int(shown[index]) for index in even_slices(shown.size, min(count, shown.size))]

    def row(self, level: int, colors: Sequence[Color]) -> list[Picture]:
        """Return one slice: every contrast, the truth where it is known, the prediction."""
        frame = SliceFrame.whole(self.predicted.shape, self.spacing, TILE)
        grays = [
            to_gray(values[..., level], window)
            for (_, values), window in zip(self.contrasts, self.windows, strict=True)
        ]
        under, window = self.contrasts[-1][1][..., level], self.windows[-1]
        overlays = [self.predicted] if self.truth is None else [self.truth, self.predicted]
        nothing = np.zeros(under.shape, np.uint8)
        filled = [draw_classes(under, numbers[..., level], nothing, colors, window) for numbers in overlays]
        tiles = [frame.scaled(picture) for picture in (*grays, *filled)]
        return [mark_right(tiles[0]), *tiles[1:]] if self.oriented else tiles


def draw_regions(
    cases: Sequence[ShownRegions], colors: Mapping[str, Sequence[int]] | None, regions: Regions, slices: int = 1
) -> tuple[Picture, str]:
    """Draw axial slices of cases, one a row: contrasts, truth (where known) and prediction side by side.

    Seen from the feet: the patient's right on the left, marked R, anterior up; in the patient's proportions.

    Args:
        cases: at least one.
        colors: RGB 0 to 255 by region; a region without one has a color of its own.
        regions: label values that make each region.
        slices: slices of each case.

    Returns:
        The sheet, and its words.
    """
    palette = region_colors(regions, colors)
    rows, titles = [], []
    for shown in cases:
        columns = [*(name for name, _ in shown.contrasts), *(["truth"] if shown.truth is not None else []), "predicted"]
        for level in shown.levels(slices):
            rows.append(shown.row(level, list(palette.values())))
            titles.append(f"{shown.case}: {', '.join(columns)}")
    legend: Legend = tuple(palette.items())
    return sheet(rows, titles, TILE, legend), "\n".join([*titles, f"colors: {', '.join(palette)}", DISCLAIMER])


def region_colors(regions: Regions, colors: Mapping[str, Sequence[int]] | None) -> dict[str, Color]:
    """Return a color (RGB, 0 to 255) for each region."""
    given = {name: (int(color[0]), int(color[1]), int(color[2])) for name, color in (colors or {}).items()}
    return {name: given.get(name, COLORS[number % len(COLORS)]) for number, name in enumerate(regions)}


def _contrasts(image: Tensor, names: Sequence[str]) -> list[tuple[str, Voxels]]:
    present = image.meta.get("present") if isinstance(image, MetaTensor) else None
    channels = _array(image)
    flags = list(present) if present is not None and len(present) == len(channels) else [True] * len(channels)
    called = list(names) if len(names) == len(channels) else [f"contrast {number}" for number in range(len(channels))]
    chosen = [
        (name, values) for name, values, there in zip(called, channels, flags, strict=True) if there and values.any()
    ]
    return chosen or [(called[0], channels[0])]


def _truth(label: Tensor, regions: Regions) -> npt.NDArray[np.bool_]:
    if len(label) == 1:
        return _array(labels_to_regions(label, regions)) > 0
    return _array(label) > 0


def _innermost(masks: npt.NDArray[np.bool_], regions: Regions) -> Numbers:
    names = list(regions)
    numbers = np.zeros(masks.shape[1:], np.uint8)
    for name in painting_order(regions):
        numbers[masks[names.index(name)]] = names.index(name) + 1
    return numbers


def _array(tensor: Tensor) -> npt.NDArray[Any]:
    plain = tensor.as_tensor() if isinstance(tensor, MetaTensor) else tensor
    return np.asarray((plain.float() if plain.is_floating_point() else plain).detach().cpu())


def _window(values: Voxels) -> tuple[float, float]:
    inside = values[values != 0]
    if not inside.size:
        return 0.0, 1.0
    low, high = np.percentile(inside, WINDOW_PERCENT)
    return float(low), float(high)
