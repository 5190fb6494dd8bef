"""Where the brain is in skull-stripped images."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import cc3d
import numpy as np
import numpy.typing as npt
import torch
from monai.data.meta_tensor import MetaTensor
from monai.transforms import Transform
from torch import Tensor

from medbundles.components.regions import bounding_box
from medbundles.errors import DataError, Finding

# Of the voxels at an image's sides; a value that fewer of them have is no background but chance.
LEAST_BORDER_SHARE = 0.1
# Pieces smaller than this share of the largest one are what skull-stripping left over.
LEAST_PIECE_SHARE = 0.1


class BrainMaskd(Transform):
    """Add ``mask`` ``(1, H, W, D)`` uint8: where any contrast differs from its background, holes filled.

    The background of a contrast is the most frequent value at its sides (:func:`background_of`). Of the pieces that
    differ from it, those much smaller than the largest are left out. A mask that the item has already is kept, as
    0 and 1.

    Args:
        image_key: contrasts ``(C, H, W, D)``; a channel of one value says nothing.
        mask_key: the item to add.
    """

    def __init__(self, image_key: str = "image", mask_key: str = "mask") -> None:
        super().__init__()
        self.image_key = image_key
        self.mask_key = mask_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the item with its mask.

        Raises:
            DataError: nothing differs from the background, or the mask that was given is empty (NII011).
        """
        item = dict(data)
        image, given = item[self.image_key], item.get(self.mask_key)
        if given is None:
            inside, what = _brain(np.asarray(image)), "all contrasts have one value everywhere: there is no brain"
        else:
            inside, what = np.asarray(given)[0] > 0, "the brain mask is empty"
        if not inside.any():
            case = str(item["case"]) if "case" in item else None
            raise DataError(findings=[Finding("NII011", "error", what, "look at the case's files", case=case)])
        mask = MetaTensor(torch.from_numpy(inside.view(np.uint8))[None])
        if isinstance(image, MetaTensor):
            mask.copy_meta_from(image)
        item[self.mask_key] = mask
        return item


def background_of(channel: Tensor | npt.NDArray[Any]) -> float:
    """Return the value outside of the brain of one contrast ``(H, W, D)``: the most frequent one on its six sides.

    It is 0 in most data sets and another constant in z-scored ones. Where no value stands out, the head was not
    stripped of its skull and the result is 0.
    """
    array = np.asarray(channel)
    sides = [np.moveaxis(array, axis, 0)[end].ravel() for axis in range(array.ndim) for end in (0, -1)]
    values, counts = np.unique(np.concatenate(sides), return_counts=True)
    return float(values[counts.argmax()]) if counts.max() >= LEAST_BORDER_SHARE * counts.sum() else 0.0


def _brain(image: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Return where a brain is in contrasts ``(C, H, W, D)``."""
    differs = np.zeros(image.shape[1:], dtype=np.bool_)
    for channel in image:
        differs |= (channel != background_of(channel)) & np.isfinite(channel)
    box = bounding_box(differs)
    if box is None:
        return differs
    filled = np.zeros_like(differs)
    filled[box] = _filled(_large_pieces(differs[box]))
    return filled


def _large_pieces(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    # As uint8: cc3d 4.1.1 joins distant voxels of boolean arrays.
    pieces = cc3d.connected_components(np.ascontiguousarray(mask).view(np.uint8), connectivity=6)
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    return np.asarray((sizes >= LEAST_PIECE_SHARE * sizes.max())[pieces]) & mask


def _filled(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Return the mask with everything that it encloses: what no way from outside leads to."""
    around = np.pad(~mask, 1, constant_values=True)
    pieces = cc3d.connected_components(np.ascontiguousarray(around).view(np.uint8), connectivity=6)
    return np.asarray(pieces != pieces[0, 0, 0])[1:-1, 1:-1, 1:-1]
