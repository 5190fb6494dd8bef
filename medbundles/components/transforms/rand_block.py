"""Cut random blocks out of volumes."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from monai.transforms import Randomizable, Transform

from medbundles.errors import ConfigurationError

# The kind of a sample that shall show a site (see SiteDataset, which stands to the right of this package's transforms).
SITE = "site"


class RandBlockd(Randomizable, Transform):
    """Cut the same random block out of several volumes, around a point of the tissue or of a site.

    The block is moved inside of the volume as far as it fits; where the volume is smaller, ``fill`` surrounds it. So
    brains smaller than a block work.

    Input: volumes ``(C, H, W, D)`` on one grid, ``tissue_points`` ``(n, 3)``; where the ``kind`` drawn is ``site``,
    ``site_points`` ``(sites, n, 3)`` and which ``site``. Output: the blocks ``(C, h, w, d)`` float32, ``case``, and
    ``present`` where the item says which channels are.

    Args:
        keys: volumes to cut.
        size: ``(h, w, d)`` of the block in voxels.
        fill: value outside of the volumes.

    Raises:
        ConfigurationError: a size that is not three whole numbers from 1.
    """

    def __init__(self, keys: Sequence[str], size: Sequence[int], fill: float = 0.0) -> None:
        super().__init__()
        if len(size) != 3 or min(size) < 1:
            raise ConfigurationError(f"a block has three sizes from 1 in voxels, found {list(size)}")
        self.keys = tuple(keys)
        self.size = tuple(int(edge) for edge in size)
        self.fill = fill

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the blocks."""
        at_site = data.get("kind") == SITE and "site_points" in data
        points = np.asarray(data["site_points"][data["site"]] if at_site else data["tissue_points"])
        center = points[self.R.randint(len(points))]
        item: dict[Hashable, Any] = {key: self._cut(np.asarray(data[key]), center) for key in self.keys}
        kept = {"present": data["present"]} if "present" in data else {}
        return item | {"case": data.get("case", "")} | kept

    def _cut(self, volume: npt.NDArray[Any], center: npt.NDArray[np.int32]) -> torch.Tensor:
        block = np.full((len(volume), *self.size), self.fill, dtype=np.float32)
        inner: list[slice] = [slice(None)]
        outer: list[slice] = [slice(None)]
        for middle, edge, available in zip(center, self.size, volume.shape[1:], strict=True):
            length = min(edge, available)
            start = int(np.clip(middle - edge // 2, 0, available - length))
            offset = (edge - length) // 2
            inner.append(slice(start, start + length))
            outer.append(slice(offset, offset + length))
        block[tuple(outer)] = volume[tuple(inner)]
        return torch.from_numpy(block)
