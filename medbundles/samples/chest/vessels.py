"""Great vessels, and the lungs' arteries and veins as trees."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from medbundles.samples.chest.anatomy import Anatomy
from medbundles.samples.chest.canvas import THIN_PIXELS, Canvas, polyline
from medbundles.samples.chest.grid import Points, ScanGrid
from medbundles.samples.chest.patient import Patient
from medbundles.samples.chest.trees import Tree, grow_tree

# Left and right of the patient: x of the hilum's side.
SIDES = {"right": -1.0, "left": 1.0}
ARTERY_ROOTS = {"right": (-36.0, -2.0, -24.0), "left": (38.0, 6.0, -12.0)}
VEIN_ROOTS = {"right": (-32.0, -4.0, -42.0), "left": (34.0, 2.0, -40.0)}
FISSURE_GAP_MM = 4.0


@dataclass(frozen=True)
class LungTrees:
    """Arteries and veins of both lungs, by side."""

    arteries: dict[str, Tree]
    veins: dict[str, Tree]

    def all(self) -> list[Tree]:
        """Return every tree."""
        return [*self.arteries.values(), *self.veins.values()]


def _ends(anatomy: Anatomy, side: float, patient: Patient, generator: np.random.Generator) -> Points:
    """Scatter vessel ends in one lung, off its surface and its fissures."""
    z, y, x = (anatomy.coarse.axis(number) for number in range(3))
    inside = (anatomy.lung < -2.5) & (np.sign(x) == side)[None, None, :] & (np.abs(anatomy.oblique) > FISSURE_GAP_MM)
    where = np.argwhere(inside)
    liters = len(where) * anatomy.coarse.step_mm**3 * 1e-6
    chosen = where[generator.permutation(len(where))[: int(patient.vessel_ends * liters)]]
    points = np.stack([x[chosen[:, 2]], y[chosen[:, 1]], z[chosen[:, 0]]], axis=1)
    return np.asarray(points + generator.uniform(-0.5, 0.5, points.shape) * anatomy.coarse.step_mm)


def grow_lung_vessels(patient: Patient, anatomy: Anatomy, generator: np.random.Generator) -> LungTrees:
    """Grow the vessel trees of both lungs."""
    trees: dict[str, dict[str, Tree]] = {"arteries": {}, "veins": {}}
    for kind, roots in (("arteries", ARTERY_ROOTS), ("veins", VEIN_ROOTS)):
        for name, side in SIDES.items():
            ends = _ends(anatomy, side, patient, generator)
            heading = np.array([side, 0.1, -0.2])
            trees[kind][name] = grow_tree(ends, np.array(roots[name]), heading, patient.end_radius, patient.murray)
    return LungTrees(trees["arteries"], trees["veins"])


def within(tree: Tree, grid: ScanGrid) -> Tree:
    """Return the branches that reach into the scan's range of heights."""
    z = grid.axes[0]
    low = np.minimum(tree.start[:, 2], tree.end[:, 2]) - tree.parent_radius
    high = np.maximum(tree.start[:, 2], tree.end[:, 2]) + tree.parent_radius
    return tree.select((high > z[0]) & (low < z[-1]))


def along_branches(tree: Tree, step_mm: float) -> tuple[Points, Points, Points]:
    """Return points ``(M, 3)``, radii ``(M,)`` and the length ``(M,)`` in mm each stands for, along all branches."""
    length = np.linalg.norm(tree.end - tree.start, axis=1) * 1.05
    counts = np.maximum(np.ceil(length / step_mm).astype(np.intp), 1)
    rows = np.repeat(np.arange(len(counts)), counts)
    place = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    points, radius = tree.curve((place + 0.5) / counts[rows], rows)
    return points, radius, length[rows] / counts[rows]


def as_tubes(tree: Tree, step_mm: float = 4.0) -> tuple[Points, Points, Points]:
    """Cut the curved branches into straight tubes: starts ``(M, 3)``, ends ``(M, 3)``, radii ``(M, 2)``."""
    counts = np.clip(np.ceil(np.linalg.norm(tree.end - tree.start, axis=1) / step_mm).astype(np.intp), 1, 8)
    rows = np.repeat(np.arange(len(counts)), counts)
    place = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    first, width = tree.curve(place / counts[rows], rows)
    last, narrow = tree.curve((place + 1) / counts[rows], rows)
    return first, last, np.stack([width, narrow], axis=1)


def draw_lung_vessels(canvas: Canvas, trees: LungTrees, patient: Patient) -> None:
    """Draw arteries and veins."""
    thin_mm = THIN_PIXELS * canvas.grid.pixel_mm
    threads = []
    for tree in trees.all():
        seen = within(tree, canvas.grid)
        thick = seen.radius > thin_mm
        canvas.draw_tubes(*as_tubes(seen.select(thick)), patient.blood_hu)
        threads.append(along_branches(seen.select(~thick), 0.5 * canvas.grid.pixel_mm))
    points, radius, step = (np.concatenate(parts) for parts in zip(*threads, strict=True))
    canvas.draw_threads(points, radius, step, patient.blood_hu)


def draw_great_vessels(canvas: Canvas, patient: Patient) -> None:
    """Draw aorta, pulmonary arteries, pulmonary veins, superior vena cava, esophagus and azygos vein."""
    wide = patient.half_width / 125
    blood = patient.blood_hu
    lines: list[tuple[list[tuple[float, float, float]], list[float], float]] = [
        ([(-2, -40, -55), (-10, -36, -15), (-2, -24, 28), (14, 2, 38), (25, 26, 22), (25, 32, -30), (20, 30, -100),
          (12, 20, -200)], [16, 16, 15, 14, 13, 12, 12, 11], blood),
        ([(14, -46, -50), (14, -34, -26), (6, -20, -18)], [14, 14, 12], blood),
        ([(8, -22, -18), (-14, -14, -22), ARTERY_ROOTS["right"]], [12, 11, 9], blood),
        ([(8, -22, -18), (26, -8, -10), ARTERY_ROOTS["left"]], [12, 11, 9], blood),
        ([VEIN_ROOTS["right"], (-14, 4, -46), (14, 6, -46), VEIN_ROOTS["left"]], [7, 13, 13, 7], blood),
        ([(-22, -24, 80), (-24, -24, 20), (-24, -26, -45)], [8, 9.5, 10], blood),
        ([(-2, -6, 120), (2, 10, 40), (3, 17, -20), (6, 18, -100), (12, 8, -170)], [8, 8, 8, 8, 9], 38.0),
        ([(8, -26, 36), (10, -28, 70), (22, -26, 120)], [6, 5.5, 5], blood),
        ([(16, -14, 40), (24, -12, 70), (34, -14, 120)], [5, 5, 4.5], blood),
        ([(-10, 22, 10), (-8, 26, -60), (-8, 24, -180)], [4, 4, 3.5], blood),
    ]  # fmt: skip
    for points, radii, hu in lines:
        starts, ends, widths = polyline(points, radii)
        canvas.draw_tubes(starts, ends, widths * wide, hu)


def big_vessel_points(trees: LungTrees, smallest_mm: float) -> tuple[Points, Points]:
    """Return points ``(N, 3)`` and radii ``(N,)`` along the branches that are at least ``smallest_mm`` thick."""
    parts = [along_branches(tree.select(tree.radius >= smallest_mm), 1.5)[:2] for tree in trees.all()]
    return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])
