"""What the structures of one scan share while they are drawn."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from medbundles.samples.chest.anatomy import Anatomy
from medbundles.samples.chest.canvas import Canvas
from medbundles.samples.chest.fields import FieldReader, sample
from medbundles.samples.chest.grid import Box, Floats, Points, ScanGrid
from medbundles.samples.chest.patient import Patient
from medbundles.samples.chest.vessels import LungTrees, big_vessel_points

VISIBLE_VESSEL_MM = 0.8


@dataclass
class Scene:
    """A patient on the scanner.

    Attributes:
        patient: sizes and densities.
        anatomy: coarse fields.
        trees: the lungs' vessels.
        canvas: what has been drawn so far.
        nodules: annotated findings, plain data in the patient's frame.
        lookalikes: findings that are no nodules, plain data in the patient's frame.
    """

    patient: Patient
    anatomy: Anatomy
    trees: LungTrees
    canvas: Canvas
    nodules: list[dict[str, Any]] = field(default_factory=list)
    lookalikes: list[dict[str, Any]] = field(default_factory=list)
    _occupied: list[tuple[Points, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._lung = FieldReader(self.anatomy.lung, self.anatomy.coarse, self.grid)
        self.vessel_points, self.vessel_radii = big_vessel_points(self.trees, VISIBLE_VESSEL_MM)
        self._vessels = cKDTree(self.vessel_points)

    @property
    def grid(self) -> ScanGrid:
        """Where the voxels lie."""
        return self.canvas.grid

    def occupy(self, center: Points, radius: float) -> None:
        """Keep other findings away from here."""
        self._occupied.append((np.asarray(center, float), radius))

    def is_free(self, points: Points, radius: float, gap_mm: float = 5.0) -> npt.NDArray[np.bool_]:
        """Tell for points ``(N, 3)`` whether a ball around each keeps its distance from all findings."""
        free = np.ones(len(points), dtype=bool)
        for center, other in self._occupied:
            free &= np.linalg.norm(points - center, axis=1) > radius + other + gap_mm
        return free

    def in_view(self, points: Points, margin_mm: float) -> npt.NDArray[np.bool_]:
        """Tell which points ``(N, 3)`` lie in the scan, ``margin_mm`` inside its ends and its field's circle."""
        z, _, x = self.grid.axes
        margin = min(margin_mm, 0.3 * (z[-1] - z[0]))
        center, half = (x[0] + x[-1]) / 2, (x[-1] - x[0]) / 2
        middle_y = self.grid.first_mm[1] + half
        across = np.hypot(points[:, 0] - center, points[:, 1] - middle_y)
        heights = points[:, 2]
        return np.asarray((across < half - margin_mm) & (heights > z[0] + margin) & (heights < z[-1] - margin))

    def depth(self, points: Points) -> Points:
        """Return how deep points ``(N, 3)`` lie within the lungs in mm; negative outside."""
        return -np.asarray(sample(self.anatomy.lung, self.anatomy.coarse, points), dtype=np.float64)

    def outward(self, point: Points) -> Points:
        """Return the unit vector ``(3,)`` from a point toward the nearest lung surface."""
        steps = np.eye(3) * self.anatomy.coarse.step_mm
        slope = self.depth(point - steps) - self.depth(point + steps)
        return np.asarray(slope / max(float(np.linalg.norm(slope)), 1e-6))

    def vessel_gap(self, points: Points) -> Points:
        """Return the distance in mm of points ``(N, 3)`` from the wall of the nearest visible vessel."""
        distance, nearest = self._vessels.query(points)
        return np.asarray(distance - self.vessel_radii[nearest])

    def lung_share(self, box: Box) -> Floats:
        """Return the share of every fine voxel of a box ``(z, y, x)`` that lies in the lungs."""
        return np.asarray(np.clip(0.5 - self._lung.box(box) / np.float32(self.grid.blur_mm), 0, 1))

    def add_density(self, box: Box, share: Floats, hu: Floats | float) -> None:
        """Fill part of the voxels of a box with a density; denser tissue stays."""
        view = self.canvas.hu[box]
        view += share * np.maximum(hu - view, 0)
