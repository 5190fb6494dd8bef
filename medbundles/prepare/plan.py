"""What a training needs to know of a data set, chosen by rules from its fingerprint, with the reason for each choice.

The rules are those that won or came second in the Medical Segmentation Decathlon: the intensity window and the two
looks of the Asan Medical Center's entry, the voxel size of nnU-Net (Isensee et al., Nature Methods 18, 2021).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from medbundles.io.plan import PLAN_FORMAT, STEP, Plan

# Voxels this many times as long as they are wide are anisotropic (nnU-Net's limit); their long edge then becomes one
# that a tenth of the cases do not exceed.
ANISOTROPIC = 3.0
FINE_PERCENTILE = 10
# The window of a CT: mean plus and minus this many standard deviations of what is labeled.
WINDOW_DEVIATIONS = 3.0
# MR intensities above this percentile of their image are cut off before they are standardized.
MR_PERCENTILE = 99.9
# Share of the object's size that is added at each of its sides, and the fewest voxels along an edge.
BOX_MARGIN = 0.2
SMALLEST_BOX_VOXELS = 24
# Where what is labeled, with its margins, fills more than this of an image, finding it first gains nothing.
LARGE_SHARE = 0.4
# The most voxels that the network which finds the object sees of a whole image, and that the other one sees at once:
# training on either then takes less than 8 GB.
ROI_VOXELS = 96**3
PATCH_VOXELS = 96**3
COARSE_STEP = 16
# Most cases are not larger than this one.
LARGE_CASE_PERCENTILE = 95
SIDES = re.compile(r"\b(left|right|l|r|lt|rt)\b", re.IGNORECASE)
COLORS = ([230, 60, 40], [80, 200, 120], [70, 130, 230], [250, 190, 50], [170, 90, 200], [60, 200, 210])

Entries = Sequence[Mapping[str, Any]]


def make_plan(
    task: str, channels: Sequence[str], labels: Mapping[str, Sequence[int]], cases: Mapping[str, Mapping[str, Any]]
) -> Plan:
    """Choose everything that a training on a data set needs; the same cases give the same plan in any order.

    Args:
        task: name of the data set.
        channels: names of the images' channels in order.
        labels: values by name, background (0) included; of a region, which has several, each value is taken by itself.
        cases: fingerprints of the training cases (:func:`medbundles.prepare._task_case.describe_case`).

    Returns:
        What ``plan.json`` holds (:mod:`medbundles.io.plan`).
    """
    entries = [cases[name] for name in sorted(cases)]
    spacing, spacing_reason = choose_spacing(entries)
    names = label_names(labels)
    share = object_share(entries)
    roi = share < LARGE_SHARE
    coarse = choose_roi_spacing(entries, spacing)
    extents = _objects_mm(entries) * (1 + 2 * BOX_MARGIN) if roi else _images_mm(entries)
    patch, patch_reason = choose_patch(np.percentile(extents, LARGE_CASE_PERCENTILE, axis=0), spacing)
    mirror, mirror_reason = choose_mirroring(list(names.values()))
    normalization = {name: choose_normalization(name, entries) for name in channels}
    what = "finding them first saves the rest" if roi else "one network sees the whole image"
    return {
        "format": PLAN_FORMAT,
        "task": task,
        "cases": len(entries),
        "channels": list(channels),
        "labels": names,
        "colors": {name: list(COLORS[place % len(COLORS)]) for place, name in enumerate(names.values())},
        "normalization": {name: chosen for name, (chosen, _) in normalization.items()},
        "spacing_mm": spacing,
        "patch_size": patch,
        "mirror_axes": mirror,
        "roi": {
            "use": roi,
            "spacing_mm": coarse,
            "patch_size": choose_roi_size(entries, coarse),
            "margin": BOX_MARGIN,
            "smallest_voxels": SMALLEST_BOX_VOXELS,
        },
        "reasons": {
            "normalization": "; ".join(f"{name}: {reason}" for name, (_, reason) in normalization.items()),
            "spacing_mm": spacing_reason,
            "patch_size": patch_reason,
            "mirror_axes": mirror_reason,
            "roi": f"the labeled objects and their margins fill {share:.0%} of an image (median): {what}",
        },
    }


def label_names(labels: Mapping[str, Sequence[int]]) -> dict[str, str]:
    """Return the name of each label value but the background's, by rising value."""
    single = {value: name for name, values in labels.items() for value in values if len(values) == 1}
    others = {value: str(value) for values in labels.values() for value in values}
    return {str(value): name for value, name in sorted({**others, **single}.items()) if value}


def choose_spacing(entries: Entries) -> tuple[list[float], str]:
    """Return the edges in mm of the voxels that images are brought to, along right, anterior, superior, and why.

    They are the median of the cases; where it is :data:`ANISOTROPIC`, the longest edge is the one that a tenth of the
    cases do not exceed, but not shorter than the others.
    """
    table = np.array([entry["ras_spacing_mm"] for entry in entries], dtype=np.float64)
    chosen = np.median(table, axis=0)
    reason = f"the median of {len(entries)} training cases"
    longest = int(chosen.argmax())
    if chosen.max() > ANISOTROPIC * chosen.min():
        others = float(np.delete(chosen, longest).max())
        chosen[longest] = max(float(np.percentile(table[:, longest], FINE_PERCENTILE)), others)
        reason += f"; of the long edge the {FINE_PERCENTILE}th percentile"
    return [float(f"{edge:.4g}") for edge in chosen], reason


def choose_normalization(channel: str, entries: Entries) -> tuple[dict[str, Any], str]:
    """Return how a channel's values become those that the network sees, and why: HU have a meaning, MR has none."""
    if not re.search(r"\bCT\b", channel, re.IGNORECASE):
        chosen = {"kind": "MR", "percentile": MR_PERCENTILE}
        return chosen, f"no unit: cut off above the {MR_PERCENTILE:g}th percentile, then standardized by itself"
    parts = [entry["intensities"].get(channel) for entry in entries if entry.get("intensities")]
    known = [part for part in parts if part]
    counts = np.array([part["count"] for part in known], dtype=np.float64)
    means = np.array([part["mean"] for part in known])
    mean = float((counts * means).sum() / counts.sum())
    squares = np.array([part["std"] for part in known]) ** 2 + means**2
    deviation = math.sqrt(max(float((counts * squares).sum() / counts.sum()) - mean**2, 0.0))
    edges = [round(mean + sign * WINDOW_DEVIATIONS * deviation) for sign in (-1, 1)]
    if edges[0] >= edges[1]:
        edges = [edges[0] - 1, edges[0] + 1]
    found = f"labeled voxels have {mean:.0f} HU, standard deviation {deviation:.0f}"
    reason = f"{found}; {WINDOW_DEVIATIONS:g} of them each way"
    return {"kind": "CT", "window_hu": edges}, reason


def object_share(entries: Entries) -> float:
    """Return which share of an image the box around what is labeled fills, margins included (median of cases)."""
    shares = []
    for entry in entries:
        shape, box = (np.array(entry[key], dtype=np.float64) for key in ("ras_shape", "box_voxels"))
        if box.all():
            wanted = np.maximum(box * (1 + 2 * BOX_MARGIN), SMALLEST_BOX_VOXELS)
            shares.append(float(np.prod(np.minimum(wanted, shape) / shape)))
    return float(np.median(shares)) if shares else 1.0


def choose_patch(extent_mm: npt.NDArray[np.float64], spacing: Sequence[float]) -> tuple[list[int], str]:
    """Return the voxels that the network sees at once, and why.

    Args:
        extent_mm: edges of what it should see as a whole, right, anterior, superior.
        spacing: of its voxels in mm.
    """
    wanted = np.maximum(np.ceil(extent_mm / np.array(spacing)), SMALLEST_BOX_VOXELS)
    patch = (np.ceil(wanted / STEP) * STEP).astype(int)
    whole = int(np.prod(patch)) <= PATCH_VOXELS
    while int(np.prod(patch)) > PATCH_VOXELS:
        patch[int(patch.argmax())] -= STEP
    size = " x ".join(f"{edge:.0f}" for edge in extent_mm)
    reason = f"{LARGE_CASE_PERCENTILE} % of what is to be seen is not larger than {size} mm"
    return patch.tolist(), reason if whole else f"{reason}; that is more than {PATCH_VOXELS} voxels: windows slide"


def choose_roi_spacing(entries: Entries, spacing: Sequence[float]) -> float:
    """Return the edge in mm of the cubic voxels on which the object is looked for in whole images."""
    extent = np.percentile(_images_mm(entries), LARGE_CASE_PERCENTILE, axis=0)
    edge: float = max(float(np.prod(extent) / ROI_VOXELS) ** (1 / 3), *spacing)
    return math.ceil(edge * 10) / 10


def choose_roi_size(entries: Entries, spacing_mm: float) -> list[int]:
    """Return the coarse voxels that most whole images have, in steps that four halvings need."""
    extent = np.percentile(_images_mm(entries), LARGE_CASE_PERCENTILE, axis=0)
    return [int(math.ceil(edge / spacing_mm / COARSE_STEP) * COARSE_STEP) for edge in extent]


def choose_mirroring(names: Sequence[str]) -> tuple[list[int], str]:
    """Return the axes along which training may mirror, and why: left stays left where labels have sides."""
    sided = [name for name in names if SIDES.search(name.replace("_", " "))]
    if sided:
        return [], f"the label {sided[0]} has a side"
    return [0], "no label has a side: left and right may change places"


def _images_mm(entries: Entries) -> npt.NDArray[np.float64]:
    return np.array([np.multiply(entry["ras_shape"], entry["ras_spacing_mm"]) for entry in entries], dtype=np.float64)


def _objects_mm(entries: Entries) -> npt.NDArray[np.float64]:
    """Return the edges of the boxes around labeled voxels, of the cases that have some."""
    boxes = [np.multiply(entry["box_voxels"], entry["ras_spacing_mm"]) for entry in entries if all(entry["box_voxels"])]
    return np.array(boxes, dtype=np.float64)
