"""Find the places that training samples are drawn around."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any, Protocol

import cc3d
import numpy as np
import numpy.typing as npt
from monai.data import MetaTensor
from monai.transforms import Transform

from medbundles.io.images import spacing_of

# Places for background samples; more than a training draws from one scan in several epochs.
POINTS = 4096


class Region(Protocol):
    """A part of a volume that points can be drawn from (:class:`medbundles.components.inferers.tissue.Tissue`)."""

    def points(self, count: int, seed: int = 0) -> npt.NDArray[np.int32]:
        """Return voxels ``(count, 3)``."""


class FindSitesd(Transform):
    """Add ``sites`` and ``tissue_points`` to an item.

    ``sites`` is a list of boxes ``[[start, stop], ...]`` along the array's axes, in voxels, one a labelled component of
    each channel; what is labelled below 0 (known to nobody) is no site;
    ``tissue_points`` are voxels ``(4096, 3)`` drawn evenly from the tissue, the same ones every time.

    Args:
        label_key: label map ``(C, H, W, D)``; components are 26-connected.
        image_key: image ``(1, H, W, D)`` that ``find_tissue`` looks at.
        find_tissue: ``(volume (H, W, D), spacing mm) -> region or None``: where background samples may lie; without
            it (or where it finds nothing) the whole volume.
    """

    def __init__(
        self,
        label_key: str = "label",
        image_key: str = "image",
        find_tissue: Callable[[npt.NDArray[Any], tuple[float, float, float]], Region | None] | None = None,
    ) -> None:
        super().__init__()
        self.label_key = label_key
        self.image_key = image_key
        self.find_tissue = find_tissue

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the item with ``sites`` and ``tissue_points``."""
        item = dict(data)
        item["sites"] = [box for channel in np.asarray(item[self.label_key]) for box in component_boxes(channel > 0)]
        item["tissue_points"] = self._tissue_points(item[self.image_key])
        return item

    def _tissue_points(self, image: MetaTensor) -> npt.NDArray[np.int32]:
        volume = np.asarray(image[0])
        region = self.find_tissue(volume, spacing_of(np.asarray(image.affine))) if self.find_tissue else None
        if region is None:
            return np.random.default_rng(0).integers(0, volume.shape, (POINTS, 3), dtype=np.int32)
        points = region.points(POINTS)
        return np.minimum(points, np.array(volume.shape, dtype=np.int32) - 1)


def component_boxes(mask: npt.NDArray[np.bool_]) -> list[list[list[int]]]:
    """Return the bounding boxes of the 26-connected components of a mask ``(H, W, D)``."""
    components = cc3d.connected_components(np.ascontiguousarray(mask).view(np.uint8), connectivity=26)
    boxes = cc3d.statistics(components)["bounding_boxes"][1:]
    return [[[int(part.start), int(part.stop)] for part in box] for box in boxes]
