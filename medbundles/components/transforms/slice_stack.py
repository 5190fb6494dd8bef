"""2.5D samples: a slice and its neighbors as channels."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from monai.transforms import Randomizable, Transform

from medbundles.errors import ConfigurationError

Array = npt.NDArray[Any]
# How far a crop's center may lie from a hard negative in the slice, in voxels, each way.
SPREAD = 8


def stack_indices(center: int, slices: int, depth: int) -> list[int]:
    """Return the slice numbers of a stack; beyond the ends the first or last slice is repeated."""
    half = slices // 2
    return [min(max(index, 0), depth - 1) for index in range(center - half, center - half + slices)]


class RandSliceStackd(Randomizable, Transform):
    """Cut a random stack of axial slices out of a volume, with the center slice's label.

    Reads the ``kind`` and ``site`` that the sampler drew (:class:`medbundles.components.datasets.Draw`):

    - ``site``: any slice of the site, the crop centered on it;
    - ``background``: a random place of the tissue, half of the time at something dense (vessels, walls), because
      that is what a network mistakes for a lesion;
    - ``hard_negative``: within a few voxels of ``place``, where others took something for a lesion;
    - ``full_slice``: a whole slice, half of the time one that holds a site.

    Input: ``image`` ``(1, H, W, D)`` and ``label`` ``(C, H, W, D)``, ``sites``, ``tissue_points``. Output: ``image``
    ``(slices, h, w)`` float32, ``label`` ``(C, h, w)`` float32, and ``case``; where the crop reaches beyond the volume,
    ``fill`` and 0.

    Args:
        slices: odd number of slices; 7 in "Deep Learning with PyTorch", chapter 13.
        crop_size: ``(h, w)`` of the crops in voxels.
        divisible: full slices are padded to multiples of this.
        fill: image value outside of the volume (HU for CT).
        dense: image value above which tissue counts as dense (HU for CT).
    """

    def __init__(
        self,
        slices: int = 7,
        crop_size: Sequence[int] = (96, 96),
        divisible: int = 16,
        fill: float = -1000.0,
        dense: float = -500.0,
    ) -> None:
        super().__init__()
        if slices < 1 or slices % 2 == 0:
            raise ConfigurationError(f"slices must be odd and positive, got {slices}")
        self.slices = slices
        self.crop_size = (int(crop_size[0]), int(crop_size[1]))
        self.divisible = divisible
        self.fill = fill
        self.dense = dense

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the sample."""
        # Plain arrays: the tensors' own indexing would cost more than the crop.
        image, label = np.asarray(data["image"]), np.asarray(data["label"])
        height, width, depth = image.shape[1:]
        sites: list[list[list[int]]] = data["sites"]
        kind = data["kind"]
        if kind == "full_slice":
            row, column, level = height // 2, width // 2, self._level(sites, depth)
            size = tuple(-(-extent // self.divisible) * self.divisible for extent in (height, width))
        else:
            if kind == "site":
                row, column, level = self._center(sites[data["site"]])
            elif kind == "hard_negative":
                row, column, level = self._near(data["place"], image.shape[1:])
            else:
                row, column, level = self._background(image, data["tissue_points"])
            size = self.crop_size
        stack = stack_indices(level, self.slices, depth)
        return {
            "image": self._cut(image, row, column, stack, size, self.fill),
            "label": self._cut(label, row, column, [level], size, 0.0),
            "case": data.get("case", ""),
        }

    def _center(self, box: list[list[int]]) -> tuple[int, int, int]:
        level = int(self.R.randint(box[2][0], box[2][1]))
        return (box[0][0] + box[0][1]) // 2, (box[1][0] + box[1][1]) // 2, level

    def _near(self, place: Sequence[int], shape: Sequence[int]) -> tuple[int, int, int]:
        reach = np.array([SPREAD, SPREAD, 1])
        moved = np.array(place) + self.R.randint(-reach, reach + 1)
        row, column, level = np.clip(moved, 0, np.array(shape) - 1)
        return int(row), int(column), int(level)

    def _level(self, sites: list[list[list[int]]], depth: int) -> int:
        if sites and self.R.random() < 0.5:
            box = sites[int(self.R.randint(len(sites)))]
            return int(self.R.randint(box[2][0], box[2][1]))
        return int(self.R.randint(depth))

    def _background(self, image: Array, points: Array, tries: int = 20) -> tuple[int, int, int]:
        want_dense = self.R.random() < 0.5
        for _ in range(tries):
            row, column, level = map(int, points[self.R.randint(len(points))])
            if bool(image[0, row, column, level] > self.dense) == want_dense:
                break
        return row, column, level

    def _cut(
        self, volume: Array, row: int, column: int, stack: list[int], size: Sequence[int], fill: float
    ) -> torch.Tensor:
        """Return ``(channels x slices, h, w)`` around a place; windows move inside the volume before any padding."""
        output = np.full((len(volume) * len(stack), size[0], size[1]), fill, dtype=np.float32)
        inner: list[slice] = []
        outer: list[slice] = []
        for center, extent, available in zip((row, column), size, volume.shape[1:3], strict=True):
            start = int(np.clip(center - extent // 2, 0, max(available - extent, 0)))
            length = min(extent, available)
            offset = (extent - length) // 2
            inner.append(slice(start, start + length))
            outer.append(slice(offset, offset + length))
        levels = ((channel, level) for channel in volume for level in stack)
        for number, (channel, level) in enumerate(levels):
            output[number, outer[0], outer[1]] = channel[inner[0], inner[1], level]
        return torch.from_numpy(output)
