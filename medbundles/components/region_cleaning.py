"""From probabilities of regions to masks that fit together: thresholds, nesting, specks, holes; pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from medbundles.components.lesion_components import connected
from medbundles.components.region_labels import Regions, painting_order, value_sets
from medbundles.components.regions import bounding_box
from medbundles.errors import ConfigurationError

Mask = npt.NDArray[np.bool_]
Masks = dict[str, Mask]
ByRegion = float | Mapping[str, float]

THRESHOLD = 0.5
ROUNDING = 1e-9


@dataclass(frozen=True)
class Cleaning:
    """What is done to each region, by its name.

    Attributes:
        thresholds: a voxel belongs to the region where its probability is above this; in ``[0, 1)``.
        smallest_ml: connected components (26 neighbors) below this volume are removed; 0 keeps all.
        replace_below_ml: a region that is smaller than this in all is given up: its voxels keep the label of the
            region around it; 0 never does.
        fill_holes: whether holes of regions that lie in no other are filled.
    """

    thresholds: Mapping[str, float]
    smallest_ml: Mapping[str, float]
    replace_below_ml: Mapping[str, float]
    fill_holes: bool = False

    @classmethod
    def of(
        cls,
        regions: Regions,
        thresholds: ByRegion = THRESHOLD,
        smallest_ml: ByRegion = 0.0,
        replace_below_ml: ByRegion = 0.0,
        fill_holes: bool = False,
    ) -> Cleaning:
        """Take one number for all regions, or numbers by their names; a region without one has the default.

        Raises:
            ConfigurationError: a name that is no region's, or a number out of its range.
        """
        chosen = Cleaning(
            _each("thresholds", regions, thresholds, THRESHOLD),
            _each("smallest_ml", regions, smallest_ml, 0.0),
            _each("replace_below_ml", regions, replace_below_ml, 0.0),
            bool(fill_holes),
        )
        if not all(0.0 <= value < 1.0 for value in chosen.thresholds.values()):
            raise ConfigurationError(f"thresholds must lie in [0, 1), found {dict(chosen.thresholds)}")
        for key, values in (("smallest_ml", chosen.smallest_ml), ("replace_below_ml", chosen.replace_below_ml)):
            if not all(value >= 0.0 for value in values.values()):
                raise ConfigurationError(f"{key} must be 0 ml or more, found {dict(values)}")
        return chosen


def clean_regions(
    probabilities: npt.NDArray[Any], regions: Regions, cleaning: Cleaning, voxel_ml: float
) -> npt.NDArray[np.uint8]:
    """Return masks of regions that fit together.

    In this order: thresholds; of regions that share no label the most probable one has the voxel; a region whose labels
    all belong to another lies inside of it, what lies outside is cut off; holes of regions that lie in no other are
    filled where no other region is; small components are removed, from the outer regions to the inner ones, which are
    cut again; and regions that are too small in all are given up.

    Args:
        probabilities: ``(R, H, W, D)`` in the order of ``regions``, 0 to 1.
        regions: label values that make each region.
        cleaning: thresholds and volumes.
        voxel_ml: volume of a voxel, ml.

    Returns:
        ``(R, H, W, D)``, 0 or 1.

    Raises:
        ConfigurationError: another number of channels than of regions.
    """
    if len(probabilities) != len(regions):
        raise ConfigurationError(f"{len(probabilities)} channel(s) of regions, expected {len(regions)}")
    above = np.stack([values > cleaning.thresholds[name] for name, values in zip(regions, probabilities, strict=True)])
    result = np.zeros(above.shape, np.uint8)
    box = bounding_box(np.asarray(above.any(axis=0)))
    if box is None:
        return result
    cut = (slice(None), *box)
    masks: Masks = dict(zip(regions, above[cut], strict=True))
    _keep_most_probable(masks, dict(zip(regions, probabilities[cut], strict=True)), regions)
    _cut_inner(masks, regions)
    if cleaning.fill_holes:
        _fill_holes(masks, regions)
    for name in painting_order(regions):
        _cut_inner(masks, regions)
        masks[name] = without_small(masks[name], cleaning.smallest_ml[name] / voxel_ml)
    _cut_inner(masks, regions)
    for name in reversed(painting_order(regions)):
        if np.count_nonzero(masks[name]) * voxel_ml < cleaning.replace_below_ml[name]:
            masks[name] = np.zeros_like(masks[name])
    _cut_inner(masks, regions)
    result[cut] = np.stack(list(masks.values()))
    return result


def without_small(mask: Mask, smallest_voxels: float) -> Mask:
    """Return a mask ``(H, W, D)`` without its connected components (26 neighbors) of fewer voxels than this."""
    if smallest_voxels <= 1.0 or not mask.any():
        return mask
    labels = connected(mask)
    # A volume in ml, divided by a voxel's, is off by rounding.
    large = np.bincount(labels.ravel()) >= smallest_voxels * (1.0 - ROUNDING)
    large[0] = False
    return np.asarray(large[labels])


def outermost(regions: Regions) -> list[str]:
    """Return the names of the regions that lie in no other."""
    sets = value_sets(regions)
    return [name for name, values in sets.items() if not any(values < other for other in sets.values())]


def innermost(regions: Regions) -> list[str]:
    """Return the names of the regions that lie in another and hold none."""
    sets = value_sets(regions)
    return [
        name
        for name, values in sets.items()
        if any(values < other for other in sets.values()) and not any(other < values for other in sets.values())
    ]


def _keep_most_probable(masks: Masks, probabilities: Mapping[str, npt.NDArray[Any]], regions: Regions) -> None:
    sets = value_sets(regions)
    claimed = {name: mask.copy() for name, mask in masks.items()}
    names = list(sets)
    for index, first in enumerate(names):
        for second in names[index + 1 :]:
            if sets[first] & sets[second]:
                continue
            both = claimed[first] & claimed[second]
            if both.any():
                weaker = probabilities[first] < probabilities[second]
                masks[first] &= ~(both & weaker)
                masks[second] &= ~(both & ~weaker)


def _cut_inner(masks: Masks, regions: Regions) -> None:
    sets = value_sets(regions)
    for inner, values in sets.items():
        for outer, more in sets.items():
            if values < more:
                masks[inner] &= masks[outer]


def _fill_holes(masks: Masks, regions: Regions) -> None:
    sets = value_sets(regions)
    for name in outermost(regions):
        filled = filled_holes(masks[name])
        for other, mask in masks.items():
            if not sets[other] & sets[name]:
                filled &= ~mask
        masks[name] = filled | masks[name]


def filled_holes(mask: Mask) -> Mask:
    """Return a mask ``(H, W, D)`` with all that it encloses (background has 6 neighbors)."""
    box = bounding_box(mask)
    if box is None:
        return mask
    filled = mask.copy()
    filled[box] = ndimage.binary_fill_holes(mask[box])
    return filled


def _each(key: str, regions: Regions, values: ByRegion, default: float) -> dict[str, float]:
    if not isinstance(values, Mapping):
        return {name: float(values) for name in regions}
    if unknown := sorted(set(values) - set(regions)):
        raise ConfigurationError(f"{key} names {', '.join(unknown)}, regions are {', '.join(regions)}")
    return {name: float(values.get(name, default)) for name in regions}
