"""The shape of one person's head: the template, enlarged, turned and bent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from medbundles.samples.seeding import stream

Floats = npt.NDArray[np.floating[Any]]

# Displacements are drawn every so many mm and are smooth in between.
STEP_MM = 12.0
SMOOTHNESS_STEPS = 1.6
HALF_WIDTH_MM = 150.0
# The template is larger than people are: 1.9 liters of brain and fluid, an adult has 1.5.
TEMPLATE_SIZE = 1.08


@dataclass(frozen=True)
class HeadShape:
    """A map from the person's world to the template's.

    Attributes:
        linear: 3x3, person's mm to template's mm, about the origin.
        displacements_mm: ``(3, n, n, n)`` added to it, on a grid of :data:`STEP_MM` around the origin.
    """

    linear: npt.NDArray[np.float64]
    displacements_mm: Floats

    @classmethod
    def draw(cls, seed: int, case: int, bend_mm: float = 4.0) -> HeadShape:
        """Return a person's shape: up to 10 % larger or smaller along each axis, bent by some millimeters.

        Args:
            seed: of the data set.
            case: the person's number.
            bend_mm: root mean square of the displacements along each axis.
        """
        generator = stream(seed, case, "shape")
        scale = np.diag(TEMPLATE_SIZE + np.clip(generator.normal(0, 0.04, 3), -0.1, 0.1))
        shear = np.eye(3) + np.triu(generator.normal(0, 0.02, (3, 3)), 1)
        points = 2 * int(np.ceil(HALF_WIDTH_MM / STEP_MM)) + 1
        noise = generator.normal(size=(3, points, points, points))
        smooth = np.stack([ndimage.gaussian_filter(part, SMOOTHNESS_STEPS) for part in noise])
        smooth *= bend_mm / np.sqrt((smooth**2).mean(axis=(1, 2, 3), keepdims=True))
        return cls(shear @ scale, smooth.astype(np.float32))

    def to_template(self, world: Floats) -> Floats:
        """Return the template's places ``(3, n)`` for the person's ``(3, n)``, both in mm."""
        half = (self.displacements_mm.shape[1] - 1) / 2
        where = world / STEP_MM + half
        moved = [ndimage.map_coordinates(part, where, order=1, mode="nearest") for part in self.displacements_mm]
        return np.asarray(self.linear @ world + np.stack(moved))
