"""Whether fibers run on from voxel to voxel: they do not where the gradients' directions are flipped (DWI009).

A sign or an order of the three numbers that another program means otherwise leaves every voxel's fit as good as it was,
and every direction wrong. What tells is the neighborhood: white matter runs on along its own direction.
Source: Schilling et al., Magn Reson Imaging 58, 2019 (a fiber coherence index).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from medbundles.components.diffusion.tensor import ENTRIES, DiffusionMaps, world_directions
from medbundles.errors import Finding
from medbundles.io.grids import Affine

Floats = npt.NDArray[np.floating[Any]]

# White matter, and the scanner's noise in a few voxels that do not matter.
LEAST_ANISOTROPY = 0.3
# Two neighbors are linked when both fibers run within this angle of the line that joins them; the 26 neighbors' lines
# are up to 27 degrees from a fiber between them.
LARGEST_ANGLE_DEGREES = 30.0
# In three scans of a real head the true directions link 1.24 to 1.25 times as many as the best of the wrong ones.
# Where no reading stands out from all others by this, the scan does not tell.
CLEARLY_MORE = 1.1
FEWEST_VOXELS = 1000
NEIGHBORS = tuple(step for step in itertools.product((-1, 0, 1), repeat=3) if step > (0, 0, 0))
AXES = "xyz"


@dataclass(frozen=True)
class Reading:
    """How the three numbers of each direction may have been meant.

    Attributes:
        order: which of the stored numbers stands for x, y and z.
        flipped: which of them, in the new order, has the other sign; None for none (two are as good as the third).
    """

    order: tuple[int, int, int] = (0, 1, 2)
    flipped: int | None = None

    @property
    def signs(self) -> Floats:
        """What the numbers are multiplied with."""
        return np.array([-1.0 if axis == self.flipped else 1.0 for axis in range(3)])

    def apply(self, directions: Floats) -> Floats:
        """Return directions ``(n, 3)`` in this reading."""
        return np.asarray(directions[:, self.order] * self.signs)

    def __str__(self) -> str:
        order = "" if self == Reading(flipped=self.flipped) else ", ".join(AXES[axis] for axis in self.order)
        turned = f"put the numbers of each direction in the .bvec file in the order {order}" if order else ""
        flip = "" if self.flipped is None else f"change the sign of each {AXES[self.flipped]} in the .bvec file"
        return ", then ".join(part for part in (turned, flip) if part) or "leave the .bvec file as it is"


READINGS = tuple(
    Reading((order[0], order[1], order[2]), flipped)
    for order in itertools.permutations(range(3))
    for flipped in (None, 0, 1, 2)
)


def check_coherence(maps: DiffusionMaps, affine: Affine) -> list[Finding]:
    """DWI009: another reading of the gradients' directions makes fibers run on clearly better.

    Args:
        maps: of the fit, on the scan's own grid.
        affine: of its voxels, to RAS+ mm.

    Returns:
        A warning that says what to change; nothing where the directions are the best ones, or where the scan does not
        tell.
    """
    links, voxels = count_links(maps, affine)
    if voxels < FEWEST_VOXELS:
        return []
    (best, most), (_, second) = sorted(links.items(), key=lambda item: -item[1])[:2]
    if best == Reading() or most < CLEARLY_MORE * second:
        return []
    times = most / max(links[Reading()], 1)
    message = (
        f"flipped gradients? Fibers would run on from voxel to voxel {times:.2f} times as often in another reading"
    )
    return [Finding("DWI009", "warning", message, f"look at the fibers' directions; to mend them, {best}")]


def count_links(maps: DiffusionMaps, affine: Affine) -> tuple[dict[Reading, int], int]:
    """Return how many pairs of neighbors each reading's fibers link, and how many voxels have fibers.

    Nothing has to be fitted again: another reading of the gradients turns the tensor, and nothing else.

    Args:
        maps: of the fit, on the scan's own grid.
        affine: of its voxels, to RAS+ mm.
    """
    places, fibers = _fibers(maps)
    # Everything in the axes that the .bvec file counts in, where a reading changes signs and order.
    file_axes = world_directions(np.eye(3), affine)
    fibers = fibers @ np.linalg.inv(file_axes)
    numbers = np.full(np.array(maps.mask.shape) + 2, -1)
    numbers[tuple(places.T + 1)] = np.arange(len(places))
    pairs = []
    for step in NEIGHBORS:
        line = affine[:3, :3] @ np.array(step) @ np.linalg.inv(file_axes)
        other = numbers[tuple((places + 1 + np.array(step)).T)]
        first = np.flatnonzero(other >= 0)
        pairs.append((line / np.linalg.norm(line), first, other[first]))
    limit = np.cos(np.deg2rad(LARGEST_ANGLE_DEGREES))
    links = dict.fromkeys(READINGS, 0)
    for reading in READINGS:
        read = reading.apply(fibers)
        for line, first, second in pairs:
            along = np.abs(read @ line) > limit
            links[reading] += int(np.count_nonzero(along[first] & along[second]))
    return links, len(places)


def _fibers(maps: DiffusionMaps) -> tuple[npt.NDArray[np.intp], Floats]:
    """Return the voxels ``(n, 3)`` of white matter and their principal directions ``(n, 3)`` in the world's axes."""
    entries = maps.tensor[maps.mask]
    tensors = np.zeros((len(entries), 3, 3))
    for number, (row, column) in enumerate(ENTRIES):
        tensors[:, row, column] = tensors[:, column, row] = entries[:, number]
    round_part = np.trace(tensors, axis1=1, axis2=2)[:, None, None] / 3 * np.eye(3)
    size = np.linalg.norm(tensors, axis=(1, 2))
    spread = np.linalg.norm(tensors - round_part, axis=(1, 2))
    white = np.sqrt(1.5) * spread > LEAST_ANISOTROPY * size
    return np.argwhere(maps.mask)[white], np.linalg.eigh(tensors[white])[1][:, :, -1]
