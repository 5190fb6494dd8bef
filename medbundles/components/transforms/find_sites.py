"""Find the places that training samples are drawn around."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any

import cc3d
import numpy as np
import numpy.typing as npt
from monai.data import MetaTensor
from monai.transforms import Transform

from medbundles.io.images import spacing_of

Box = tuple[slice, slice, slice]


class FindSitesd(Transform):
    """Add ``sites`` (one box a labelled component) and ``tissue_box`` to an item, as plain lists.

    A box is ``[[start, stop], ...]`` along the array's axes, in voxels.

    Args:
        label_key: label map ``(1, H, W, D)``; components are 26-connected.
        image_key: image ``(1, H, W, D)`` that ``find_tissue`` looks at.
        find_tissue: ``(volume (H, W, D), spacing mm) -> box or None``: where background samples may lie; without it
            (or where it finds nothing) the whole volume.
    """

    def __init__(
        self,
        label_key: str = "label",
        image_key: str = "image",
        find_tissue: Callable[[npt.NDArray[Any], tuple[float, float, float]], Box | None] | None = None,
    ) -> None:
        super().__init__()
        self.label_key = label_key
        self.image_key = image_key
        self.find_tissue = find_tissue

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the item with ``sites`` and ``tissue_box``."""
        item = dict(data)
        item["sites"] = component_boxes(np.asarray(item[self.label_key][0]) > 0)
        item["tissue_box"] = self._tissue_box(item[self.image_key])
        return item

    def _tissue_box(self, image: MetaTensor) -> list[list[int]]:
        volume = np.asarray(image[0])
        box = self.find_tissue(volume, spacing_of(np.asarray(image.affine))) if self.find_tissue else None
        if box is None:
            return [[0, int(size)] for size in volume.shape]
        return [[int(part.start), int(part.stop)] for part in box]


def component_boxes(mask: npt.NDArray[np.bool_]) -> list[list[list[int]]]:
    """Return the bounding boxes of the 26-connected components of a mask ``(H, W, D)``."""
    components = cc3d.connected_components(np.ascontiguousarray(mask).view(np.uint8), connectivity=26)
    boxes = cc3d.statistics(components)["bounding_boxes"][1:]
    return [[[int(part.start), int(part.stop)] for part in box] for box in boxes]
