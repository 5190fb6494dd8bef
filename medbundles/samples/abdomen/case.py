"""One synthetic abdomen: anatomy, lesions of the liver, and what a CT scanner makes of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from medbundles.samples.abdomen.grid import AbdomenGrid, Floats, ellipsoid, make_grid, tube
from medbundles.samples.seeding import stream
from medbundles.samples.tumor.fields import drawn, octaves

LIVER, LESION = 1, 2
AIR_HU, LUNG_HU, FAT_HU = -1000.0, -850.0, -100.0
# No lesion comes closer to the liver's surface than this share of its radius.
INSIDE = 0.4
LARGEST_LESIONS = 6


@dataclass(frozen=True)
class AbdomenCase:
    """An image with its labels.

    Attributes:
        image: HU, int16.
        label: 0, 1 liver, 2 lesion, uint8.
        affine: voxel indices to RAS millimetres.
        record: what no scanner tells.
    """

    image: npt.NDArray[np.int16]
    label: npt.NDArray[np.uint8]
    affine: npt.NDArray[np.float64]
    record: dict[str, Any]


def make_case(seed: int, case: int) -> AbdomenCase:
    """Make case ``case`` of a data set; it depends on nothing else."""
    grid = make_grid(stream(seed, case, "grid"))
    values, liver = draw_organs(stream(seed, case, "organs"), grid)
    values, lesions, found = draw_lesions(stream(seed, case, "lesions"), grid, values, liver)
    label = np.where(lesions, LESION, np.where(liver, LIVER, 0)).astype(np.uint8)
    image = scan(stream(seed, case, "scan"), values)
    milliliters = float(np.prod(grid.spacing_mm)) / 1000
    record = {
        "case": case,
        "spacing_mm": list(grid.spacing_mm),
        "liver_ml": round(float(liver.sum()) * milliliters, 1),
        "lesions": found,
    }
    return AbdomenCase(image, label, grid.affine, record)


def draw_organs(generator: np.random.Generator, grid: AbdomenGrid) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Return HU without noise, and the liver's mask."""
    places = grid.places
    size = drawn(generator, 0.88, 1.12)
    places = places / size
    fat = drawn(generator, 10, 35)
    body = ellipsoid(places, (0, 0, 0), (165 + fat / 2, 108 + fat / 2, 900))
    wall = body - fat
    # Under the ribs; the diaphragm's dome stands higher on the right.
    cavity = wall - drawn(generator, 12, 20)
    dome = 62 + drawn(generator, -12, 12)
    below = dome + 14 * np.exp(-(((places[0] - 75) / 60) ** 2)) - 0.0022 * (places[0] ** 2 + places[1] ** 2) - places[2]
    values = np.full(grid.shape, AIR_HU, np.float32)
    values[body > 0] = FAT_HU
    values[wall > 0] = drawn(generator, 45, 65)
    values[cavity > 0] = FAT_HU
    values[(cavity > 0) & (below < 0)] = LUNG_HU

    def put(distance: Floats, hu: float, inside: Floats = cavity) -> npt.NDArray[np.bool_]:
        mask = (distance > 0) & (inside > 0) & (below > 2)
        values[mask] = hu
        return np.asarray(mask)

    contrast = drawn(generator, 0, 1)
    for _ in range(int(generator.integers(10, 18))):  # loops of bowel, some with gas
        center = (drawn(generator, -110, 110), drawn(generator, -30, 75), drawn(generator, -130, -25))
        loop = ellipsoid(places, center, generator.uniform(14, 32, 3))
        put(loop, drawn(generator, 20, 60))
        put(loop - 6, LUNG_HU if generator.random() < 0.3 else drawn(generator, 0, 40))
    for side in (-1, 1):
        kidney = ellipsoid(places, (side * 62, -42, drawn(generator, -60, -25)), (27, 26, 52))
        put(kidney, 40 + 130 * contrast)
        put(kidney - 14, drawn(generator, -60, 60))
    put(ellipsoid(places, (-105, -35, 30 + drawn(generator, -12, 12)), (32, 45, 50)), 50 + 70 * contrast)  # spleen
    stomach = ellipsoid(places, (-60, 30, 25 + drawn(generator, -15, 15)), (48, 38, 45))
    put(stomach, 45)
    put(stomach - 6, drawn(generator, 0, 60))
    put(np.minimum(stomach - 6, places[1] - 42), AIR_HU)
    # The liver: a large right lobe, a flat left one, hollow below.
    right = ellipsoid(places, (72, 5, 15), (drawn(generator, 76, 92), 84, drawn(generator, 72, 98)))
    left = ellipsoid(places, (-5, 38, 38), (drawn(generator, 60, 90), 42, drawn(generator, 26, 40)))
    hollow = places[2] + 55 - 0.55 * (75 - places[0])
    liver = put(np.minimum(np.maximum(right, left), hollow + drawn(generator, 15, 40)), 55 + 55 * contrast, cavity - 3)
    if generator.random() < 0.8:
        liver &= ~put(ellipsoid(places, (48, 48, drawn(generator, -30, -12)), (14, 20, 24)), 8)  # gallbladder
    liver &= ~put(tube(places, 22, -28, 12), 60 + 90 * contrast)  # inferior vena cava
    put(tube(places, -14, -34, 11), 60 + 140 * contrast, wall)
    for branch in range(5):  # vessels of the liver
        start = np.array([45.0, 5.0, 15.0])
        end = start + generator.normal(size=3) * (55, 45, 40)
        vessel = _segment(places, start, end) < 5 - 0.6 * branch
        values[vessel & liver] = 60 + 85 * contrast
    spine = np.maximum(tube(places, 0, -66, 21), ellipsoid(places, (0, -96, 0), (9, 22, 900)))
    values[spine > 0] = 180
    values[spine > 4] = drawn(generator, 120, 200)
    ring = np.abs(wall - 8) - 4 + 3 * np.cos((places[2] - 0.35 * np.abs(places[1])) / 26 * 2 * np.pi)
    values[(ring < -2) & (places[2] > -70) & (places[1] > -95)] = 260  # ribs
    return values + 6 * octaves(generator, grid.shape, 12), liver


def draw_lesions(
    generator: np.random.Generator, grid: AbdomenGrid, values: Floats, liver: npt.NDArray[np.bool_]
) -> tuple[Floats, npt.NDArray[np.bool_], list[dict[str, Any]]]:
    """Return HU with lesions, their mask and what is known of each; a tenth of the livers has none."""
    depth = ndimage.distance_transform_edt(liver, sampling=grid.spacing_mm)
    mask = np.zeros(grid.shape, bool)
    values = values.copy()
    found = []
    wanted = 0 if generator.random() < 0.1 else int(generator.integers(1, LARGEST_LESIONS + 1))
    hu = float(np.median(values[liver]))
    axes = [(np.arange(n) - (n - 1) / 2) * edge for n, edge in zip(grid.shape, grid.spacing_mm, strict=True)]
    straight = np.stack(np.meshgrid(*axes, indexing="ij"))
    for _ in range(wanted):
        radius = float(np.clip(np.exp(generator.normal(np.log(11), 0.5)), 5, 32))
        possible = np.argwhere((depth > INSIDE * radius) & ~mask)
        if not len(possible):
            continue
        center = straight[(slice(None), *possible[generator.integers(len(possible))])]
        bumps = 0.22 * radius * octaves(generator, grid.shape, max(1.0, radius / grid.spacing_mm[0]), 2)
        distance = ellipsoid(straight, center, radius * np.exp(generator.normal(0, 0.15, 3))) + bumps
        own = (distance > 0) & liver
        if not own.any():
            continue
        core = hu - drawn(generator, 18, 55)
        values[own] = core
        if generator.random() < 0.35:  # a rim that takes up contrast agent
            values[own & (distance < 0.25 * radius)] = hu + drawn(generator, -5, 20)
        mask |= own
        found.append({"center_ras_mm": [round(float(x), 1) for x in center], "radius_mm": round(radius, 1)})
    return values, mask, found


def scan(generator: np.random.Generator, values: Floats) -> npt.NDArray[np.int16]:
    """Return what a scanner shows: blurred a little within slices, with noise that has a grain."""
    blurred = ndimage.gaussian_filter(values, (0.45, 0.45, 0.25))
    noise = ndimage.gaussian_filter(generator.normal(size=values.shape).astype(np.float32), (0.6, 0.6, 0))
    noise *= drawn(generator, 7, 18) / max(float(noise.std()), 1e-6)
    return np.asarray(np.clip(np.rint(blurred + noise), -1024, 3071), np.int16)


def _segment(places: Floats, start: Floats, end: Floats) -> Floats:
    """Return the distance in mm from a line between two points."""
    along = (end - start).reshape(3, 1, 1, 1)
    away = places - start.reshape(3, 1, 1, 1)
    share = np.clip((away * along).sum(axis=0) / max(float((along**2).sum()), 1e-6), 0, 1)
    return np.asarray(np.sqrt(((away - share * along) ** 2).sum(axis=0)), np.float32)
