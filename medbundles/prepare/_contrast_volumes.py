"""The contrasts of a case on their way into a prepared folder: read, corrected, brought onto one grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medbundles.checks.nonfinite import count_nonfinite, describe
from medbundles.components.bias_correction import correct_bias
from medbundles.components.diffusion.brain_mask import as_brain
from medbundles.components.resampling import isotropic_grid, resample
from medbundles.errors import DataError, Finding
from medbundles.io.grids import CORNER_TOLERANCE_VOXELS, Affine, corner_displacement_voxels
from medbundles.io.headers import Geometry, read_header
from medbundles.io.images import Volume, read_volume
from medbundles.prepare._bring import STORED_SUFFIX
from medbundles.prepare._contrast_alignment import Placement, brain_of

Grid = tuple[Affine, tuple[int, int, int]]

# Voxel edges that differ by less are the same.
SAME_EDGE_MM = 1e-3


@dataclass(frozen=True)
class Contrast:
    """A contrast of a case.

    Attributes:
        name: of the contrast.
        file: where it is from.
        volume: its voxels.
        untouched: whether these are still the file's.
    """

    name: str
    file: Path
    volume: Volume
    untouched: bool


def read_contrasts(
    files: Mapping[str, Path], volumes: Mapping[str, int], geometry: Geometry | None
) -> tuple[list[Contrast], list[Finding]]:
    """Read the contrasts of a case, and check their voxels.

    Args:
        files: of the contrasts there are, in order.
        volumes: where each lies along the fourth axis of the one file they share; empty for one file a contrast.
        geometry: which NIfTI form counts where sform and qform disagree.

    Returns:
        The contrasts; NII002 for NaN and infinite voxels, NII011 for images in which all voxels are the same.

    Raises:
        DataError: a file that cannot be read (NII001 to NII005).
    """
    findings: list[Finding] = []
    contrasts = []
    several: Volume | None = None
    for name, path in files.items():
        if volumes:
            several = several or read_volume(path, geometry=geometry)
            volume = Volume(several.array[..., volumes[name]], several.affine)
        else:
            volume = read_volume(path, geometry=geometry)
        file = f"{path.name}, {name}" if volumes else path.name
        broken, in_tissue = count_nonfinite(volume.array)
        if broken:
            message = f"{describe(broken, in_tissue, volume.array.size)}; expected none in training"
            findings.append(Finding("NII002", "error", message, "mend the file", file=file))
        elif volume.array.min() == volume.array.max():
            message = f"a constant image: every voxel is {volume.array.flat[0]:g}"
            findings.append(Finding("NII011", "warning", message, "look at the file", file=file))
        contrasts.append(Contrast(name, path, volume, not volumes and geometry is None and _storable(path)))
    return contrasts, findings


def _storable(path: Path) -> bool:
    """Tell whether a file can be taken over as it is: three axes, a place in the world, whole on its own."""
    header = read_header(path)
    return len(header.shape) == 3 and header.has_world and path.name.lower().endswith((".nii", STORED_SUFFIX))


def measure_contrast(array: npt.NDArray[Any]) -> dict[str, Any]:
    """Return what later readers of an image want to know of it as it came."""
    return {
        "minimum": float(array.min()),
        "negative_voxels": int(np.count_nonzero(array < 0)),
        "background_share": round(1 - np.count_nonzero(array) / array.size, 4),
    }


def keep_brain(contrasts: Sequence[Contrast], mask: Path, geometry: Geometry | None) -> list[Contrast]:
    """Return contrasts that are 0 outside of a mask.

    Args:
        contrasts: of one case.
        mask: file of its brain's mask; of one with fractions, what is above one half is brain.
        geometry: which NIfTI form counts where sform and qform disagree.

    Raises:
        DataError: a contrast has another number of voxels (NII004), or the mask holds NaN (DWI012).
    """
    brain = as_brain(read_volume(mask, geometry=geometry).array, mask.name)
    kept = []
    for each in contrasts:
        array = each.volume.array
        if brain.shape != array.shape:
            sizes = [" x ".join(map(str, shape)) for shape in (brain.shape, array.shape)]
            message = f"{sizes[0]} voxels, but {each.file.name} has {sizes[1]}"
            raise DataError(findings=[Finding("NII004", "error", message, "resample it", file=mask.name)])
        inside = np.where(brain, array, array.dtype.type(0))
        kept.append(replace(each, volume=Volume(inside, each.volume.affine), untouched=False))
    return kept


def without_bias(contrasts: Sequence[Contrast]) -> tuple[list[Contrast], dict[str, float]]:
    """Return contrasts without their bias fields, and how uneven each one was."""
    corrected = []
    uneven = {}
    for each in contrasts:
        array, uneven[each.name] = correct_bias(each.volume.array, each.volume.affine, brain_of(each.volume))
        corrected.append(replace(each, volume=Volume(array, each.volume.affine), untouched=False))
    return corrected, uneven


def target_grid(base: Volume, spacing: float | None) -> Grid:
    """Return the grid of the result: the base's, or one of cubic voxels over its field of view."""
    shape = base.array.shape
    kept = (shape[0], shape[1], shape[2])
    if spacing is None or max(abs(edge - spacing) for edge in base.spacing) < SAME_EDGE_MM:
        return base.affine, kept
    return isotropic_grid(base.affine, kept, spacing)


def put_on_grid(each: Contrast, base: Volume, grid: Grid, placement: Placement | None) -> Contrast:
    """Return a contrast on the wanted voxels; without a placement it lies on the base voxel by voxel."""
    affine, shape = grid
    source = each.volume.affine if placement is not None else base.affine
    moved = placement is not None and placement.moved
    same = each.volume.array.shape == shape and _close(source, affine, shape)
    if same and not moved:
        kept = each.untouched and _close(each.volume.affine, affine, shape)
        return replace(each, volume=Volume(each.volume.array, affine), untouched=kept)
    transform = placement.alignment.transform if placement is not None and placement.moved else np.eye(4)
    array = resample(each.volume.array, source, transform @ affine, shape)
    return replace(each, volume=Volume(array, affine), untouched=False)


def _close(first: Affine, second: Affine, shape: tuple[int, int, int]) -> bool:
    return corner_displacement_voxels(first, second, shape) < CORNER_TOLERANCE_VOXELS
