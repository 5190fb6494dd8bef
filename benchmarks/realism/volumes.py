"""Chest CTs, real or synthetic, in one orientation and with a mask of their lungs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import numpy.typing as npt
from scipy import ndimage

from medbundles.components.inferers import find_lungs
from medbundles.io.images import read_volume
from medbundles.samples.chest.scan import make_scan

Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

AIR_BELOW_HU = -400.0
# Vessels up to this width, and nodules, count as part of the lung they lie in.
CLOSING_MM = 6.0
# What lies nearer to the lung's edge is left out where chest wall and diaphragm would be taken for vessels.
RIM_MM = 4.0


@dataclass(frozen=True)
class Chest:
    """A scan, axes ``(z, y, x)`` toward head, back and left.

    Attributes:
        name: what the table calls it.
        hu: cut to the box of the lungs and 20 mm around them.
        spacing_mm: ``(z, y, x)``.
        lung: the lungs with their vessels.
        core: the lungs without a rim of 4 mm.
    """

    name: str
    hu: Floats
    spacing_mm: tuple[float, float, float]
    lung: Mask
    core: Mask

    @property
    def liters(self) -> float:
        return float(self.core.sum() * np.prod(self.spacing_mm) * 1e-6)


def real_chest(path: Path) -> Chest:
    volume = read_volume(path)
    wanted = nibabel.orientations.axcodes2ornt(("L", "P", "S"))
    turn = nibabel.orientations.ornt_transform(nibabel.orientations.io_orientation(volume.affine), wanted)
    array = nibabel.orientations.apply_orientation(volume.array, turn)
    edges = np.linalg.norm(np.asarray(volume.affine)[:3, :3], axis=0)
    spacing = [float(edges[int(np.flatnonzero(turn[:, 0] == axis)[0])]) for axis in range(3)]
    # A case's folder names it where the file is called ct.nii.gz like all others.
    name = path.parent.name if path.name.startswith("ct.") else path.name.split(".")[0]
    return chest(name, array, spacing)


def sample_chest(seed: int, case: int, matrix: int) -> tuple[Chest, dict[str, Any]]:
    scan = make_scan(seed, case, matrix)
    return chest(f"sample {case}", scan.array.transpose(2, 1, 0), list(scan.spacing_mm)), scan.record


def chest(name: str, array: npt.NDArray[Any], spacing: list[float]) -> Chest:
    """Find the lungs of a volume ``(x, y, z)``."""
    tissue = find_lungs(array, spacing, margin_mm=0.0)
    if tissue is None:
        raise ValueError(f"{name}: no lungs were found")
    box = tuple(
        slice(max(part.start - round(20 / edge), 0), part.stop + round(20 / edge))
        for part, edge in zip(tissue.box, spacing, strict=True)
    )
    hu = np.maximum(array[box], -1024).astype(np.float32).transpose(2, 1, 0)
    axes = [np.arange(*part.indices(size)) for part, size in zip(box, array.shape, strict=True)]
    inside = tissue.inside(slice(axes[0][0], axes[0][-1] + 1), slice(axes[1][0], axes[1][-1] + 1), axes[2].tolist())
    edges = (spacing[2], spacing[1], spacing[0])
    lung = _lung(hu, inside.transpose(0, 2, 1), edges)
    return Chest(name, hu, edges, lung, _eroded(lung, edges[1], RIM_MM))


def _lung(hu: Floats, inside: Mask, edges: tuple[float, float, float]) -> Mask:
    air = ndimage.gaussian_filter(hu, (0, 1, 1)) < AIR_BELOW_HU
    lung = np.zeros_like(air)
    for number in range(len(hu)):
        plane = air[number] & inside[number]
        grown = ndimage.distance_transform_edt(np.pad(~plane, 16, constant_values=True)) * edges[1] <= CLOSING_MM
        closed = ndimage.distance_transform_edt(grown) * edges[1] > CLOSING_MM
        filled = ndimage.binary_fill_holes(closed[16:-16, 16:-16])
        labels, count = ndimage.label(filled)
        areas = np.bincount(labels.ravel(), minlength=count + 1) * edges[1] * edges[2]
        areas[0] = 0
        # Trachea, bronchi and bowel are smaller than a lung's section.
        lung[number] = (areas > 800)[labels]
    return lung


def _eroded(mask: Mask, edge: float, distance_mm: float) -> Mask:
    return np.stack([ndimage.distance_transform_edt(plane) * edge > distance_mm for plane in mask])
