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
        mask_key: mask ``(1, H, W, D)``, anything above 0.
        count: how many points.

    Raises:
        DataError: when called and the mask is empty (DWI012).
    """

    def __init__(self, mask_key: str = "mask", count: int = POINTS) -> None:
        super().__init__()
        self.mask_key = mask_key
        self.count = count

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the item with ``tissue_points``."""
        item = dict(data)
        inside = np.argwhere(np.asarray(item[self.mask_key])[0] > 0)
        if not len(inside):
            case = str(item["case"]) if "case" in item else None
            fix = "prepare it again with another mask, or take the case out"
            raise DataError(findings=[Finding("DWI012", "error", "the brain mask is empty", fix, case=case)])
        chosen = np.random.default_rng(0).integers(0, len(inside), self.count)
        item["tissue_points"] = inside[chosen].astype(np.int32)
        return item
