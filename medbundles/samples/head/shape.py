"""One person's head: the template, enlarged, bent and folded, with tissues and layers of its own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from medbundles.samples.head.template import Template
from medbundles.samples.seeding import stream

Floats = npt.NDArray[np.floating[Any]]

# Displacements are kept every so many mm and are linear in between.
STEP_MM = 4.0
HALF_WIDTH_MM = 150.0
# Wide ones give heads their shape. Narrow ones fold the cortex, which the mean of 152 people shows too smooth.
BEND_WIDTH_MM, FOLD_WIDTH_MM = 19.0, 6.0
# The template is larger than people are: 1.9 liters of brain and fluid, an adult has 1.5.
TEMPLATE_SIZE = 1.08


@dataclass(frozen=True)
class HeadShape:
    """A map from the person's world to the template's.

    Attributes:
        linear: 3x3, person's mm to template's mm, about the origin.
        displacements_mm: ``(3, n, n, n)`` added to it, on a grid of :data:`STEP_MM` around the origin.
        sharpness: how clearly tissues are told apart; 1 as in the template, which is the mean of many people.
        fluid: how much wider than the template's the spaces with fluid are.
        layers_mm: fluid, bone and skin around the brain.
    """

    linear: npt.NDArray[np.float64]
    displacements_mm: Floats
    sharpness: float
    fluid: float
    layers_mm: tuple[float, float, float]

    @classmethod
    def draw(cls, seed: int, case: int, bend_mm: float = 4.0) -> HeadShape:
        """Return a person's shape: up to 10 % larger or smaller along each axis, bent by some millimeters.

        Args:
            seed: of the data set.
            case: the person's number.
            bend_mm: root mean square of the wide displacements along each axis.
        """
        generator = stream(seed, case, "shape")
        scale = np.diag(TEMPLATE_SIZE + np.clip(generator.normal(0, 0.04, 3), -0.1, 0.1))
        shear = np.eye(3) + np.triu(generator.normal(0, 0.02, (3, 3)), 1)
        displacements = _wave(generator, BEND_WIDTH_MM, bend_mm)
        displacements += _wave(generator, FOLD_WIDTH_MM, generator.uniform(0.3, 1.6))
        return cls(
            linear=shear @ scale,
            displacements_mm=displacements,
            sharpness=generator.uniform(1.0, 2.5),
            fluid=float(np.exp(generator.normal(0.45, 0.4))),
            layers_mm=(generator.uniform(0.3, 2.5), generator.uniform(5.0, 8.0), generator.uniform(4.0, 8.0)),
        )

    def tissues(self, template: Template) -> Template:
        """Return the template with the person's shares of gray matter, white matter and fluid."""
        weights = {"gray": 1.0, "white": 1.0, "fluid": self.fluid}
        shares = {name: np.maximum(getattr(template, name), 0) for name in weights}  # rounding leaves some below
        raised = {name: weight * shares[name] ** self.sharpness for name, weight in weights.items()}
        # Outside of the brain there is nothing to share.
        scale = sum(shares.values()) / (sum(raised.values()) + 1e-6)
        return replace(template, **{name: share * scale for name, share in raised.items()})

    def to_template(self, world: Floats) -> Floats:
        """Return the template's places ``(3, n)`` for the person's ``(3, n)``, both in mm."""
        half = (self.displacements_mm.shape[1] - 1) / 2
        where = world / STEP_MM + half
        moved = [ndimage.map_coordinates(part, where, order=1, mode="nearest") for part in self.displacements_mm]
        return np.asarray(self.linear @ world + np.stack(moved))


def _wave(generator: np.random.Generator, width_mm: float, size_mm: float) -> Floats:
    """Return smooth random displacements ``(3, n, n, n)`` of a width and a root mean square size."""
    points = 2 * int(np.ceil(HALF_WIDTH_MM / STEP_MM)) + 1
    noise = generator.normal(size=(3, points, points, points)).astype(np.float32)
    smooth = np.stack([ndimage.gaussian_filter(part, width_mm / STEP_MM) for part in noise])
    return np.asarray(smooth * (size_mm / np.sqrt((smooth**2).mean(axis=(1, 2, 3), keepdims=True))), np.float32)
