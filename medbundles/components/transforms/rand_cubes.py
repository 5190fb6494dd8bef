"""3D samples for the second look at findings."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from monai.transforms import Randomizable, Transform
from scipy.spatial.transform import Rotation

from medbundles.components.cubes import CubeGrid, cut_cubes
from medbundles.io.grids import to_world

Array = npt.NDArray[Any]


class RandCubesd(Randomizable, Transform):
    """Cut cubes around a nodule, a look-alike or anything in the lungs, turned, scaled and moved at random.

    Reads the ``kind`` and ``site`` that the sampler drew (:class:`medbundles.components.datasets.Draw`): ``site`` is a
    lesion, ``hard_negative`` a look-alike at ``place``, ``background`` a voxel of ``tissue_points`` outside of every
    lesion.

    Input: ``image`` ``(1, H, W, D)`` with an affine, ``sites``, ``tissue_points``. Output: ``image`` ``(scales, size,
    size, size)`` float32 in the image's unit, ``label`` ``(1,)``: 1 for a lesion.

    Args:
        size: points along each edge.
        spacings_mm: distance of the points, one cube each.
        shift: how far the center is moved, as a share of the lesion's diameter (of 6 mm for others), each way.
        scale: share by which the cubes show more or less, each way.
        tilt: largest rotation out of the axial plane in degrees; within it every rotation is as likely.
        noise: largest standard deviation of added noise, in the image's unit.
        offset: largest value added to all voxels, each way, in the image's unit.
        fill: image value outside of the volume.
        window: the lowest and highest value that is told apart.
    """

    def __init__(
        self,
        size: int = 32,
        spacings_mm: Sequence[float] = (0.75, 1.5),
        shift: float = 0.25,
        scale: float = 0.2,
        tilt: float = 20.0,
        noise: float = 25.0,
        offset: float = 25.0,
        fill: float = -1000.0,
        window: Sequence[float] = (-1000.0, 1000.0),
    ) -> None:
        super().__init__()
        self.grid = CubeGrid(size, tuple(spacings_mm), fill)
        self.shift, self.scale, self.tilt = shift, scale, tilt
        self.noise, self.offset = noise, offset
        self.window = (float(window[0]), float(window[1]))

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[str, Any]:
        """Return the sample."""
        image, affine = np.asarray(data["image"])[0], np.asarray(data["image"].affine, dtype=np.float64)
        center, reach = self._place(data, image.shape, affine)
        # Every draw is made for every kind, so that one sample's kind does not move the next random number.
        center = center + self.R.uniform(-1, 1, 3) * self.shift * reach
        offsets = self.grid.offsets_mm(self._turn(), 1 + self.R.uniform(-self.scale, self.scale))
        cubes = cut_cubes(image, affine, center, offsets, self.grid.fill)
        cubes += self.R.uniform(-self.offset, self.offset)
        cubes += self.R.standard_normal(cubes.shape).astype(np.float32) * self.R.uniform(0, self.noise)
        label = torch.tensor([1.0 if data["kind"] == "site" else 0.0])
        cut = torch.from_numpy(np.clip(cubes, *self.window).astype(np.float32))
        return {"image": cut, "label": label, "case": data.get("case", "")}

    def _place(
        self, data: Mapping[Hashable, Any], shape: Sequence[int], affine: Array
    ) -> tuple[npt.NDArray[np.float64], float]:
        """Return the center in RAS+ mm and the size in mm that it may be moved by a share of."""
        sites: list[list[list[int]]] = data["sites"]
        if data["kind"] == "site":
            box = np.array(sites[data["site"]], dtype=np.float64)
            edges = (box[:, 1] - box[:, 0]) * np.linalg.norm(affine[:3, :3], axis=0)
            return to_world(affine, box.mean(axis=1) - 0.5), float(np.median(edges))
        if data["kind"] == "hard_negative":
            return to_world(affine, np.clip(data["place"], 0, np.array(shape) - 1)), 6.0
        return to_world(affine, self._outside(data["tissue_points"], sites)), 6.0

    def _outside(self, points: npt.NDArray[np.integer[Any]], sites: list[list[list[int]]], tries: int = 20) -> Array:
        for _ in range(tries):
            point = points[self.R.randint(len(points))]
            if not any(all(low <= at < high for at, (low, high) in zip(point, box, strict=True)) for box in sites):
                break
        return np.asarray(point)

    def _turn(self) -> npt.NDArray[np.float64]:
        """Return a rotation about the body's axis with some tilt, mirrored half of the time."""
        around, tilt = self.R.uniform(0, 360), self.R.uniform(-self.tilt, self.tilt, 2)
        turn = Rotation.from_euler("zxy", [around, *tilt], degrees=True).as_matrix()
        mirror = np.diag(np.where(self.R.random(3) < 0.5, -1.0, 1.0))
        return np.asarray(turn @ mirror)
