"""Find the voxels that training blocks around labels are drawn at."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
from monai.transforms import Transform

# Of each label; more than a training draws from one volume in several epochs.
POINTS = 512


class LabelPointsd(Transform):
    """Add ``sites`` and ``site_points`` to an item: of each label value a site, with voxels drawn evenly from it.

    So small labels are seen as often as large ones. ``sites`` is the list of the values that the label has;
    ``site_points`` are voxels ``(sites, 512, 3)``, the same ones every time.

    Args:
        label_key: label map ``(1, H, W, D)``.
        count: points of each site.
    """

    def __init__(self, label_key: str = "label", count: int = POINTS) -> None:
        super().__init__()
        self.label_key = label_key
        self.count = count

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the item with ``sites`` and ``site_points``."""
        item = dict(data)
        label = np.asarray(item[self.label_key])[0]
        places = np.argwhere(label > 0)
        values = label[tuple(places.T)]
        generator = np.random.default_rng(0)
        sites = [int(value) for value in np.unique(values)]
        points = np.zeros((len(sites), self.count, 3), dtype=np.int32)
        for row, value in zip(points, sites, strict=True):
            here = places[values == value]
            row[:] = here[generator.integers(0, len(here), self.count)]
        return item | {"sites": sites, "site_points": points}
