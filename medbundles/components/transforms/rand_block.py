"""Cut random blocks out of volumes."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from monai.transforms import Randomizable, Transform
from scipy.spatial.transform import Rotation
from torch.nn import functional

from medbundles.errors import ConfigurationError

# The kind of a sample that shall show a site (see SiteDataset, which stands to the right of this package's transforms).
SITE = "site"
# Distance of the points whose movements are drawn, in voxels: as wide as what an organ's parts are.
BENDING_WIDTH = 12.0
Floats = npt.NDArray[np.floating[Any]]


class RandBlockd(Randomizable, Transform):
    """Cut the same random block out of several volumes, around a point of the tissue or of a site.

    The block is moved inside of the volume as far as it fits; where the volume is smaller, ``fill`` surrounds it. So
    brains smaller than a block work. A block may be turned and scaled about its middle, and bent: it is then sampled
    from the volume at once, so that its corners show what lies there.

    Input: volumes ``(C, H, W, D)`` on one grid, ``tissue_points`` ``(n, 3)``; where the ``kind`` drawn is ``site``,
    ``site_points`` ``(sites, n, 3)`` and which ``site``. Output: the blocks ``(C, h, w, d)`` float32, ``case``, and
    ``present`` where the item says which channels are.

    Args:
        keys: volumes to cut.
        size: ``(h, w, d)`` of the block in voxels.
        fill: value outside of the volumes.
        rotation: largest angle in degrees about each axis, both ways.
        scaling: largest relative change of size, both ways: what is shown grows or shrinks by up to this share.
        bending: how far points are moved, each axis' standard deviation in voxels of the block; the movement changes
            over :data:`BENDING_WIDTH` voxels.
        probability: that a block is turned and scaled, and that it is bent, where that is asked for.
        nearest: those of the keys that are never interpolated: label maps and masks.

    Raises:
        ConfigurationError: a size that is not three whole numbers from 1, a scaling of 1 or more, a negative rotation
            or bending, or a probability that is none.
    """

    def __init__(
        self,
        keys: Sequence[str],
        size: Sequence[int],
        fill: float = 0.0,
        rotation: float = 0.0,
        scaling: float = 0.0,
        probability: float = 1.0,
        nearest: Sequence[str] = (),
        bending: float = 0.0,
    ) -> None:
        super().__init__()
        if len(size) != 3 or min(size) < 1:
            raise ConfigurationError(f"a block has three sizes from 1 in voxels, found {list(size)}")
        if rotation < 0 or bending < 0 or not 0 <= scaling < 1 or not 0 <= probability <= 1:
            found = f"rotation {rotation}, scaling {scaling}, bending {bending}, probability {probability}"
            raise ConfigurationError(
                f"a block turns and bends by 0 or more, scales by a share from 0 to 1; found {found}"
            )
        self.keys = tuple(keys)
        self.size = tuple(int(edge) for edge in size)
        self.fill = fill
        self.rotation = rotation
        self.scaling = scaling
        self.probability = probability
        self.nearest = tuple(nearest)
        self.bending = bending

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the blocks."""
        at_site = data.get("kind") == SITE and "site_points" in data
        points = np.asarray(data["site_points"][data["site"]] if at_site else data["tissue_points"])
        center = points[self.R.randint(len(points))]
        turn, bend = self._turn(), self._bend()
        item: dict[Hashable, Any] = {
            key: self._block(key, np.asarray(data[key]), center, turn, bend) for key in self.keys
        }
        kept = {"present": data["present"]} if "present" in data else {}
        return item | {"case": data.get("case", "")} | kept

    def _turn(self) -> Floats | None:
        """Draw how a block is turned and scaled: from its voxels to the volume's, ``(3, 3)``; None: not at all."""
        if not (self.rotation or self.scaling) or self.R.random() >= self.probability:
            return None
        angles = self.R.uniform(-self.rotation, self.rotation, 3)
        growth = 1 + self.R.uniform(-self.scaling, self.scaling)
        return np.asarray(Rotation.from_euler("xyz", angles, degrees=True).as_matrix() / growth)

    def _bend(self) -> torch.Tensor | None:
        """Draw how far each voxel of a block is moved, ``(3, h, w, d)`` in voxels; None: not at all."""
        if not self.bending or self.R.random() >= self.probability:
            return None
        coarse = [max(2, round(edge / BENDING_WIDTH) + 1) for edge in self.size]
        moved = torch.from_numpy(self.R.normal(0.0, self.bending, (1, 3, *coarse)).astype(np.float32))
        return functional.interpolate(moved, self.size, mode="trilinear", align_corners=True)[0]

    def _block(
        self,
        key: str,
        volume: npt.NDArray[Any],
        center: npt.NDArray[np.int32],
        turn: Floats | None,
        bend: torch.Tensor | None,
    ) -> torch.Tensor:
        starts = [
            int(np.clip(middle - edge // 2, 0, available - min(edge, available)))
            for middle, edge, available in zip(center, self.size, volume.shape[1:], strict=True)
        ]
        if turn is None and bend is None:
            return self._cut(volume, starts)
        turn = np.eye(3) if turn is None else turn
        return self._sampled(volume, starts, turn, bend, "nearest" if key in self.nearest else "bilinear")

    def _cut(self, volume: npt.NDArray[Any], starts: Sequence[int]) -> torch.Tensor:
        block = np.full((len(volume), *self.size), self.fill, dtype=np.float32)
        inner: list[slice] = [slice(None)]
        outer: list[slice] = [slice(None)]
        for start, edge, available in zip(starts, self.size, volume.shape[1:], strict=True):
            length = min(edge, available)
            offset = (edge - length) // 2
            inner.append(slice(start, start + length))
            outer.append(slice(offset, offset + length))
        block[tuple(outer)] = volume[tuple(inner)]
        return torch.from_numpy(block)

    def _sampled(
        self, volume: npt.NDArray[Any], starts: Sequence[int], turn: Floats, bend: torch.Tensor | None, mode: str
    ) -> torch.Tensor:
        """Sample a block about the middle of the one that starts there; only the part that it touches is read."""
        edges, whole = np.array(self.size), np.array(volume.shape[1:])
        offsets = (edges - np.minimum(edges, whole)) // 2
        middle = np.array(starts) - offsets + (edges - 1) / 2
        reach = np.abs(turn) @ ((edges - 1) / 2) + 1
        if bend is not None:
            reach = reach + np.ceil(bend.abs().amax(dim=(1, 2, 3)).numpy())
        low = np.clip(np.floor(middle - reach), 0, whole - 1).astype(int)
        high = np.clip(np.ceil(middle + reach) + 1, low + 1, whole).astype(int)
        part = volume[(slice(None), *(slice(start, stop) for start, stop in zip(low, high, strict=True)))]
        # From the block's coordinates, -1 to 1 over its extent, to those of the part; PyTorch's axes go backward.
        extent = (high - low) / 2
        linear = turn * (edges / 2) / extent[:, None]
        shift = (middle - low + 0.5) / extent - 1
        theta = torch.from_numpy(np.column_stack([linear[::-1, ::-1], shift[::-1]]).astype(np.float32))
        grid = functional.affine_grid(theta[None], [1, 1, *self.size], align_corners=False)
        if bend is not None:
            # In the volume's voxels, which the block's are nearly as large as: scaling changes little of it.
            shares = torch.from_numpy(extent.astype(np.float32)).reshape(3, 1, 1, 1)
            grid = grid + (bend / shares).flip(0).movedim(0, -1)[None]
        values = torch.from_numpy(np.ascontiguousarray(part, dtype=np.float32) - np.float32(self.fill))
        sampled = functional.grid_sample(values[None], grid, mode=mode, padding_mode="zeros", align_corners=False)
        return sampled[0] + self.fill
