"""From probabilities to regions: which voxels belong together, which regions count, which of their voxels are mask."""

from __future__ import annotations

from typing import Any, Final

import cc3d
import numpy as np
import numpy.typing as npt

# Corners count as neighbors: a thin nodule in thick slices is one finding, not a row of them.
CONNECTIVITY: Final = 26

Box3D = tuple[slice, slice, slice]
Labels = npt.NDArray[np.integer[Any]]


def highest_channel(probabilities: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the highest probability of any class ``(H, W, D)`` from ``(C, H, W, D)``; of one class a view."""
    return probabilities[0] if len(probabilities) == 1 else np.asarray(probabilities.max(axis=0))


def label_regions(
    probabilities: npt.NDArray[Any],
    threshold: float,
    peak_threshold: float | None = None,
    candidate_threshold: float | None = None,
) -> tuple[Labels, Box3D] | None:
    """Label the regions of a probability volume as :class:`medbundles.components.metrics.LesionDetection` counts them.

    A region is a connected component (26 neighbors) above ``candidate_threshold``. It counts when its highest
    probability reaches ``peak_threshold``. Its mask is what lies above ``threshold``; a region with no such voxel (a
    faint nodule that was found all the same) keeps all of its voxels, so that nothing found is missing in the mask.

    Args:
        probabilities: ``(H, W, D)``, 0 to 1.
        threshold: a voxel of a region is mask above this probability.
        peak_threshold: what the highest probability of a region must reach; ``None``: all regions count.
        candidate_threshold: above this voxels form regions; ``None``: above ``threshold``.

    Returns:
        Labels from 1 within the box of everything found, and that box; ``None`` when there is nothing.
    """
    lower = threshold if candidate_threshold is None else candidate_threshold
    candidates = np.asarray(probabilities > lower)
    box = bounding_box(candidates)
    if box is None:
        return None
    # Labelled inside of the box only, and as uint8: cc3d 4.1.1 joins distant voxels of boolean arrays.
    labels = cc3d.connected_components(np.ascontiguousarray(candidates[box]).view(np.uint8), connectivity=CONNECTIVITY)
    values = probabilities[box]
    if peak_threshold is not None:
        reaching = np.unique(labels[(values >= peak_threshold) & (labels > 0)])
        labels = np.where(np.isin(labels, reaching), labels, 0)
    inside = values > threshold
    strong = np.unique(labels[inside])
    labels = np.where(inside | ~np.isin(labels, strong), labels, 0)
    return (labels, box) if labels.any() else None


def region_mask(
    probabilities: npt.NDArray[Any],
    threshold: float,
    peak_threshold: float | None = None,
    candidate_threshold: float | None = None,
) -> npt.NDArray[np.bool_]:
    """Return the mask ``(H, W, D)`` of the regions that :func:`label_regions` finds; same arguments."""
    if peak_threshold is None and candidate_threshold is None:
        return np.asarray(probabilities > threshold)
    mask = np.zeros(probabilities.shape, dtype=bool)
    found = label_regions(probabilities, threshold, peak_threshold, candidate_threshold)
    if found is not None:
        labels, box = found
        mask[box] = labels > 0
    return mask


def bounding_box(mask: npt.NDArray[np.bool_]) -> Box3D | None:
    """Return the bounding box of a mask ``(H, W, D)``, ``None`` when it is empty."""
    parts = []
    for others in ((1, 2), (0, 2), (0, 1)):
        found = np.flatnonzero(mask.any(axis=others))
        if not found.size:
            return None
        parts.append(slice(int(found[0]), int(found[-1]) + 1))
    return parts[0], parts[1], parts[2]
