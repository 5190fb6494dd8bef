"""One small function a fault of images and labels (NII002 to NII017): it returns findings, others decide.

Despite the module's name the rules hold for every format this package reads; the codes' prefix is where they began.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Literal

from medbundles.checks.nonfinite import describe, replaceable
from medbundles.checks.voxels import VoxelFacts
from medbundles.errors import DataError, Finding, Level
from medbundles.io.headers import Geometry, ImageHeader, choose_affine
from medbundles.io.images import CORNER_TOLERANCE_VOXELS, corner_displacement_voxels, spacing_of
from medbundles.io.memory import available_memory_bytes

Purpose = Literal["train", "infer"]

# The least share of a chest, abdomen or head CT that is air; whole real scans have 20 % and more, boxes cut out of an
# organ may have none (allow NII013 for them).
LEAST_AIR_SHARE = 1e-3
# Every part of a body holds something denser than fat; a CT whose offset was applied twice does not.
LEAST_MAXIMUM_HU = -150
# What one voxel costs during inference: stored as 32-bit number, its logit, its probability and the sum of weights
# of overlapping windows.
INFERENCE_BYTES_PER_VOXEL = 16
GIBIBYTE = 1 << 30
# Voxel edges from microscopic CT to the thickest slices of a localizer; micrometers or meters taken for millimeters
# miss it for every clinical scan.
PLAUSIBLE_EDGE_MM = (0.005, 50.0)


def check_geometry(header: ImageHeader, geometry: Geometry | None = None) -> list[Finding]:
    """NII003 and NII005: a voxel size of zero; sform and qform that place the volume differently."""
    try:
        choose_affine(header, geometry)
    except DataError as error:
        return list(error.findings)
    return []


def check_spacing(header: ImageHeader) -> list[Finding]:
    """NII017: a voxel size that no scanner has, such as micrometers written as millimeters."""
    smallest, largest = PLAUSIBLE_EDGE_MM
    edges = spacing_of(header.affine)
    if smallest <= min(edges) and max(edges) <= largest:
        return []
    size = " x ".join(f"{edge:g}" for edge in edges)
    message = f"the voxel size is {size} mm, expected {smallest:g} to {largest:g} mm; is it in another unit?"
    fix = "store it in mm: distances and volumes are computed from it"
    return [Finding("NII017", "warning", message, fix, file=header.name)]


def check_world(header: ImageHeader, aligned: bool = False) -> list[Finding]:
    """NII006: both form codes are 0, so nobody knows left from right.

    Args:
        header: the file's header.
        aligned: whether the file has to align with others; then it is refused.
    """
    if header.has_world:
        return []
    message = "sform_code and qform_code are both 0: position and orientation are unknown"
    if aligned:
        fix = f"set the codes when the headers are right, or {allow_option('NII006')}"
        return [Finding("NII006", "error", message, fix, file=header.name, allowable=True)]
    return [Finding("NII006", "warning", message, "left and right are assumed, not known", file=header.name)]


def check_axes(header: ImageHeader, channels: int = 1) -> list[Finding]:
    """NII007: a 3D volume of single numbers is expected, or 4D where one file holds several channels.

    Args:
        header: the file's header.
        channels: how many channels this file has to hold.
    """
    shape = " x ".join(map(str, header.shape))
    wrong = check_numbers(header)
    if wrong:
        return wrong
    if len(header.grid_shape) == (3 if channels == 1 else 4) and (channels == 1 or header.grid_shape[3] == channels):
        if header.shape == header.grid_shape:
            return []
        return [Finding("NII007", "note", f"{shape}: trailing axes of length 1 are dropped", file=header.name)]
    expected = "a 3D volume" if channels == 1 else f"a 4D volume with {channels} channels"
    fix = "give one 3D file for each channel"
    return [Finding("NII007", "error", f"{shape} voxels, expected {expected}", fix, file=header.name)]


def check_numbers(header: ImageHeader) -> list[Finding]:
    """NII007: colors, or complex numbers whose imaginary part would be lost."""
    if header.dtype.kind in "iufb":
        return []
    message = f"the voxels are of type {header.dtype}, expected one real number each"
    fix = "export the magnitude" if header.dtype.kind == "c" else "export the image without colors"
    return [Finding("NII007", "error", message, fix, file=header.name)]


def check_size(header: ImageHeader, patch_size: Sequence[int] | None = None) -> list[Finding]:
    """NII012: one slice only, or smaller than the patch; both are padded."""
    shape = header.grid_shape[:3]
    text = " x ".join(map(str, shape))
    if min(shape) == 1:
        return [
            Finding("NII012", "note", f"{text} voxels: a single slice, its neighbors are repeated", file=header.name)
        ]
    if patch_size and any(size < wanted for size, wanted in zip(shape, patch_size, strict=False)):
        patch = " x ".join(map(str, patch_size))
        return [
            Finding("NII012", "note", f"{text} voxels: smaller than the patch of {patch}, padded", file=header.name)
        ]
    return []


def check_memory(header: ImageHeader, available: int | None = None) -> list[Finding]:
    """NII015: the volume needs more memory than there is; told from the header, before anything is read.

    Args:
        header: the file's header.
        available: bytes; None asks the system.
    """
    available = available_memory_bytes() if available is None else available
    needed = header.data_bytes + math.prod(header.shape) * INFERENCE_BYTES_PER_VOXEL
    if available is None or needed <= available:
        return []
    shape = " x ".join(map(str, header.shape))
    message = (
        f"{shape} voxels need about {needed / GIBIBYTE:.1f} GiB of memory, {available / GIBIBYTE:.1f} GiB are free"
    )
    fix = "crop or downsample the volume, or use a machine with more memory"
    return [Finding("NII015", "error", message, fix, file=header.name)]


def check_same_grid(reference: ImageHeader, other: ImageHeader) -> list[Finding]:
    """NII004: two files of one case whose voxels do not lie on each other.

    Axes that run another way are never allowed: taken voxel by voxel, left would become right. A file that says
    nothing of its place has no axes to judge (NII006 is told of it).

    Args:
        reference: the case's first image.
        other: a label or another contrast.
    """
    first, second = reference.grid_shape[:3], other.grid_shape[:3]
    if first != second:
        sizes = [" x ".join(map(str, shape)) for shape in (second, first)]
        message = f"{sizes[0]} voxels, but {reference.name} has {sizes[1]}"
        return [Finding("NII004", "error", message, "resample it to that image's grid", file=other.name)]
    moved = corner_displacement_voxels(reference.affine, other.affine, first)
    if moved < CORNER_TOLERANCE_VOXELS:
        return []
    from nibabel.orientations import aff2axcodes  # only here: the checks start without it

    ways = ["".join(aff2axcodes(header.affine)) for header in (other, reference)]
    if ways[0] != ways[1] and other.has_world and reference.has_world:
        message = f"its axes run {ways[0]}, those of {reference.name} {ways[1]}"
        fix = "store both in the same order, with nibabel.as_closest_canonical or fslreorient2std for instance"
        return [Finding("NII004", "error", message, fix, file=other.name)]
    distance = moved * min(spacing_of(reference.affine))
    limit = f"limit {CORNER_TOLERANCE_VOXELS} voxel"
    message = f"affine differs from {reference.name} by {distance:.1f} mm at the far corner ({limit})"
    fix = f"resample it, or {allow_option('NII004')}"
    return [Finding("NII004", "error", message, fix, file=other.name, allowable=True)]


def check_finite(facts: VoxelFacts, purpose: Purpose, file: str) -> list[Finding]:
    """NII002: NaN or infinite voxels; training refuses them, inference replaces a few in the background."""
    if facts.nonfinite == 0:
        return []
    message = describe(facts.nonfinite, facts.nonfinite_in_tissue, facts.voxels)
    if purpose == "infer" and replaceable(facts.nonfinite, facts.nonfinite_in_tissue, facts.voxels):
        return [Finding("NII002", "warning", f"{message}; replaced by the background's value", file=file)]
    rule = "expected none in training" if purpose == "train" else "expected less than 0.1 %, none in tissue"
    return [Finding("NII002", "error", f"{message}; {rule}", "mend the file", file=file)]


def check_label_storage(header: ImageHeader) -> list[Finding]:
    """NII009: a label file with a scale factor stores other numbers than it means."""
    if not header.scaled:
        return []
    message = f"a label file with scl_slope {header.slope:g} and scl_inter {header.intercept:g}, expected 1 and 0"
    return [Finding("NII009", "error", message, "save the labels as integers without scaling", file=header.name)]


def check_label_values(facts: VoxelFacts, allowed: Collection[int], file: str) -> list[Finding]:
    """NII009: values outside the set of labels, fractions included."""
    wrong = [value for value in facts.values if value not in allowed]
    if facts.nonfinite == 0 and facts.whole and not wrong and not facts.many_values:
        return []
    named = ["NaN"] * bool(facts.nonfinite) + [f"{value:g}" for value in wrong[:8]]
    more = " and more" if len(wrong) > 8 or facts.many_values else ""
    expected = ", ".join(map(str, sorted(allowed)))
    message = (
        f"label values {', '.join(named)}{more} (range {facts.minimum:g} to {facts.maximum:g}), expected {expected}"
    )
    return [Finding("NII009", "error", message, "map the values to the declared labels", file=file)]


def check_contrast(facts: VoxelFacts, file: str) -> list[Finding]:
    """NII011: an image in which every voxel is the same."""
    if facts.minimum != facts.maximum or facts.nonfinite == facts.voxels:
        return []
    message = f"a constant image: every voxel is {facts.minimum:g}"
    return [Finding("NII011", "warning", message, "nothing can be found in it; look at the file", file=file)]


def check_hounsfield(header: ImageHeader, facts: VoxelFacts) -> list[Finding]:
    """NII013: a CT whose numbers cannot be HU, because air or all that is denser is missing."""
    if facts.nonfinite == facts.voxels:
        return []  # no number at all: NII002 says so
    expected = "expected air near -1000 HU"
    fix = f"apply RescaleSlope and RescaleIntercept when converting, or {allow_option('NII013')}"
    found = f"values {facts.minimum:g} to {facts.maximum:g}"
    if header.dtype.itemsize == 1 and not header.scaled:
        message = f"{found} in 8 bits cannot be HU, {expected}"
    elif facts.minimum >= 0:
        message = f"{found} are not HU (stored with an offset?), {expected}"
    elif facts.air_share < LEAST_AIR_SHARE:
        low, share = 100 * LEAST_AIR_SHARE, 100 * facts.air_share
        message = f"{found}, {share:.2g} % of the voxels between -1200 and -700, {expected} in {low:g} % or more"
    elif facts.minimum < facts.maximum < LEAST_MAXIMUM_HU:  # of a constant volume NII011 says so
        message = f"{found} are not HU (was an offset applied twice?), expected soft tissue near 0 HU"
    elif facts.padding_share >= LEAST_AIR_SHARE:
        message = f"{100 * facts.padding_share:.1f} % padding below -1200 HU (lowest {facts.minimum:g}), read as air"
        return [_hounsfield("note", message, "", header)]
    else:
        return []
    return [_hounsfield("error", message, fix, header)]


def _hounsfield(level: Level, message: str, fix: str, header: ImageHeader) -> Finding:
    return Finding("NII013", level, message, fix, file=header.name, allowable=level == "error")


def allow_option(code: str) -> str:
    """Return how a user allows a code on the command line."""
    return f"--allow \"['{code}']\""
