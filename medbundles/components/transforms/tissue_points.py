"""Find the voxels that training blocks are drawn around."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
from monai.transforms import Transform

from medbundles.errors import DataError, Finding

# More than a training draws from one volume in several epochs.
POINTS = 4096


class TissuePointsd(Transform):
    """Add ``tissue_points`` ``(4096, 3)`` to an item: voxels drawn evenly from its mask, the same ones every time.

    Args:
        mask_key: mask ``(1, H, W, D)``, anything above 0; None: anywhere in the image.
        count: how many points.
        image_key: image ``(C, H, W, D)``, where there is no mask.

    Raises:
        DataError: when called and the mask is empty (DWI012).
    """

    def __init__(self, mask_key: str | None = "mask", count: int = POINTS, image_key: str = "image") -> None:
        super().__init__()
        self.mask_key = mask_key
        self.count = count
        self.image_key = image_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the item with ``tissue_points``."""
        item = dict(data)
        generator = np.random.default_rng(0)
        if self.mask_key is None:
            shape = item[self.image_key].shape[1:]
            item["tissue_points"] = generator.integers(0, shape, (self.count, 3)).astype(np.int32)
            return item
        inside = np.argwhere(np.asarray(item[self.mask_key])[0] > 0)
        if not len(inside):
            case = str(item["case"]) if "case" in item else None
            fix = "prepare it again with another mask, or take the case out"
            raise DataError(findings=[Finding("DWI012", "error", "the brain mask is empty", fix, case=case)])
        chosen = generator.integers(0, len(inside), self.count)
        item["tissue_points"] = inside[chosen].astype(np.int32)
        return item
