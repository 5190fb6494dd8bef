"""Where the white matter's fibers run: a field of directions over the template.

No atlas of tracts is free to carry along, so the large tracts are drawn by hand, each as a region and a direction: what
crosses the midline, what rises from the brain stem and fans out, what runs from front to back. Elsewhere fibers run
from the depth to the cortex within the sheets and blades of white matter: they run on from voxel to voxel. Maps made
from it look like maps of tensors: the colors are in the right places.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from medbundles.samples.head.template import Template

Floats = npt.NDArray[np.floating[Any]]

ENTRIES = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
DIAGONAL = (0, 3, 5)
# Of every voxel's fibers so many run in all directions.
ROUND_SHARE = 0.02
# Where no large tract runs, its neighbors' influence fades behind that of the fibers to the cortex.
REST_WEIGHT = 1.0
# How wide the depth of white matter is taken, and how thick its sheets are.
DEPTH_MM = 20.0
SHEET_MM = 5.0


def draw_fibers(template: Template) -> Floats:
    """Return the mean dyad of the fibers of each voxel ``(6, X, Y, Z)``: xx, xy, xz, yy, yz, zz, trace 1.

    Where several tracts meet, the dyad is rounder: how far its largest eigenvalue stands out tells how coherent they
    are. The template may be a coarse one: tracts are wide.
    """
    tracts = _tracts(*_world(template))
    rest = np.clip(1.0 - sum(weight for weight, _ in tracts), 0.05, 1.0)
    tracts = [*tracts, (REST_WEIGHT * rest, _outward(template))]
    dyads = np.zeros((len(ENTRIES), *template.white.shape), np.float32)
    for weight, direction in tracts:
        length = np.sqrt(sum(part**2 for part in direction)) + 1e-6
        for number, (row, column) in enumerate(ENTRIES):
            dyads[number] += weight * direction[row] * direction[column] / length**2
    dyads = np.stack([ndimage.gaussian_filter(part, 1.0) for part in dyads])
    for number in DIAGONAL:
        dyads[number] += ROUND_SHARE
    return np.asarray(dyads / sum(dyads[number] for number in DIAGONAL), dtype=np.float32)


def _tracts(x: Floats, y: Floats, z: Floats) -> list[tuple[Floats, tuple[Floats, Floats, Floats]]]:
    """Return the large tracts of the template's world (mm): where each is, and which way its fibers run."""
    side = np.where(x < 0, -1.0, 1.0).astype(np.float32)
    away, none, one = np.abs(x), np.zeros_like(x), np.ones_like(x)
    rising = away - 12 - 0.22 * np.maximum(z + 10, 0)
    return [
        # Corpus callosum: an arch above the ventricles, from side to side, rising away from the midline.
        (2.5 * _near(_arch(y, z), 0, 9) * _near(x, 0, 24), (one, none, 0.02 * x)),
        # Pyramidal tract and corona radiata: up from the brain stem, fanning out above the thalamus.
        (_near(rising, 0, 10) * _near(y, -18, 26), (0.25 * side, 0.005 * y, one)),
        # Superior longitudinal fasciculus; below it the inferior ones and the optic radiation.
        (_near(away, 38, 9) * _near(z, 24, 14), (none, one, none)),
        (_near(away, 34, 9) * _near(z, -8, 11), (0.1 * side, one, 0.1 * one)),
        # Cingulum, above the corpus callosum beside the midline.
        (_near(away, 9, 5) * _near(_arch(y, z), 10, 6), (none, one, -0.012 * y)),
        # Middle cerebellar peduncle: around the pons from side to side.
        (_near(z, -36, 10) * _near(y, -38, 18) * _near(away, 12, 16), (one, -0.5 * side, none)),
        # Brain stem.
        (_near(x, 0, 12) * _near(y, -30, 12) * _near(z, -32, 22), (none, 0.15 * one, one)),
    ]


def _outward(template: Template) -> tuple[Floats, Floats, Floats]:
    """Return the way from the depth of white matter to the cortex, within its sheets: never across a thin one."""
    voxel = float(template.affine[0, 0])
    toward = np.stack(np.gradient(ndimage.gaussian_filter(template.white, DEPTH_MM / voxel)), axis=-1)
    toward /= np.linalg.norm(toward, axis=-1, keepdims=True) + 1e-6
    bend = np.zeros((*template.white.shape, 3, 3), np.float32)
    for row, column in ENTRIES:
        order = [int(axis == row) + int(axis == column) for axis in range(3)]
        part = ndimage.gaussian_filter(template.white, SHEET_MM / voxel, order=order)
        bend[..., row, column] = bend[..., column, row] = part
    # Across a sheet the share of white matter bends down most.
    across = np.linalg.eigh(bend)[1][..., 0]
    within = toward - (toward * across).sum(axis=-1, keepdims=True) * across
    return within[..., 0], within[..., 1], within[..., 2]


def _world(template: Template) -> tuple[Floats, Floats, Floats]:
    axes = [
        (template.affine[axis, axis] * np.arange(size) + template.affine[axis, 3]).astype(np.float32)
        for axis, size in enumerate(template.t1.shape)
    ]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    return x, y, z


def _near(value: Floats, middle: float, width: float) -> Floats:
    return np.asarray(np.exp(-0.5 * ((value - middle) / width) ** 2), dtype=np.float32)


def _arch(y: Floats, z: Floats) -> Floats:
    """Return the height above the corpus callosum's arch, in mm."""
    return np.asarray(z - (26 - 0.011 * (y + 5) ** 2), dtype=np.float32)
