"""Probabilities of regions become masks that fit together."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.config import KeysCollection
from monai.data.meta_tensor import MetaTensor
from monai.transforms.transform import MapTransform

from medbundles.components.broken_prediction import refuse_broken_prediction
from medbundles.components.metrics.region_metric import known_affine
from medbundles.components.metrics.region_quality import ML_PER_MM3
from medbundles.components.region_cleaning import THRESHOLD, ByRegion, Cleaning, clean_regions
from medbundles.components.region_labels import Regions
from medbundles.components.transforms.save_prediction import as_array
from medbundles.errors import ConfigurationError
from medbundles.io.grids import voxel_volume_mm3


class CleanRegionsd(MapTransform):
    """Apply thresholds, nest regions, remove specks and fill holes (:func:`clean_regions` says in which order).

    Args:
        keys: items with probabilities ``(R, H, W, D)``; they must be ``MetaTensor`` where volumes are asked for.
        regions: label values that make each region, in the order of the channels.
        thresholds: a voxel belongs to a region above this; one number, or one for each region by its name.
        smallest_ml: connected components below this volume are removed; one number, or by name.
        replace_below_ml: a region smaller than this in all is given up, its voxels keep the label of the region around
            it: ``{"ET": 0.1}``.
        fill_holes: whether holes of the outermost regions are filled.
        output_key: item that gets the masks of a single key; None replaces the probabilities.
        allow_missing_keys: whether an absent key is skipped.

    Raises:
        ConfigurationError: a name that is no region's, a number out of its range, or an ``output_key`` for several
            keys.
    """

    def __init__(
        self,
        keys: KeysCollection,
        regions: Regions,
        thresholds: ByRegion = THRESHOLD,
        smallest_ml: ByRegion = 0.0,
        replace_below_ml: ByRegion = 0.0,
        fill_holes: bool = False,
        output_key: str | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        if output_key is not None and len(self.keys) != 1:
            raise ConfigurationError(f"output_key is for one key, found {list(self.keys)}")
        self.regions = {name: list(values) for name, values in regions.items()}
        self.cleaning = Cleaning.of(self.regions, thresholds, smallest_ml, replace_below_ml, fill_holes)
        self.output_key = output_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the item with masks ``(R, H, W, D)`` uint8.

        Raises:
            ConfigurationError: another number of channels than of regions, or volumes without a known grid.
            DataError: the prediction holds NaN or infinity (TRN003).
        """
        item = dict(data)
        for key in self.key_iterator(item):
            item[key if self.output_key is None else self.output_key] = self._cleaned(item[key], item.get("case"))
        return item

    def _cleaned(self, prediction: torch.Tensor, case: Any) -> torch.Tensor:
        values = as_array(prediction.float())
        refuse_broken_prediction(str(case or "unknown"), values)
        affine = known_affine(prediction)
        if affine is None and any((*self.cleaning.smallest_ml.values(), *self.cleaning.replace_below_ml.values())):
            raise ConfigurationError("smallest_ml and replace_below_ml need predictions that know their voxels' size")
        voxel_ml = 1.0 if affine is None else voxel_volume_mm3(affine) * ML_PER_MM3
        cleaned = torch.from_numpy(clean_regions(values, self.regions, self.cleaning, voxel_ml))
        return MetaTensor(cleaned).copy_meta_from(prediction) if isinstance(prediction, MetaTensor) else cleaned
