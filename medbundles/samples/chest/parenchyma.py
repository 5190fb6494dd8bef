"""The lungs' own density: texture, emphysema, mosaic perfusion and ground-glass haze, as one field of HU.

All of it varies over millimetres to centimetres, so it is computed on a grid of 2.4 mm; the fine slices then only read
the sum, and a disease more costs no time a slice.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

from medbundles.samples.chest.anatomy import Anatomy
from medbundles.samples.chest.fields import CoarseGrid, along, interpolation, noise_field
from medbundles.samples.chest.grid import Floats
from medbundles.samples.chest.patient import Patient

# What an emphysematous hole is filled with; -950 HU is the radiologists' threshold on quiet scans.
HOLE_HU = -982.0
PARASEPTAL_MM = 9.0
HOLE_MM = (2.0, 5.5)


@dataclass(frozen=True)
class Disease:
    """How strongly a patient's parenchyma departs from a healthy one's.

    Attributes:
        texture_hu: deviation of the texture over 2 mm.
        clusters_hu: deviation of the texture over 6 mm: lobules and vessels too small to be seen.
        emphysema: share of the upper lungs that centrilobular holes take.
        hole_mm: size of the holes.
        paraseptal: share of the layer below the pleura that blebs take.
        low_hu: how much darker panlobular areas are, at most.
        mosaic_hu: deviation between lobules with and without air trapping.
        haze_hu: how much denser ground-glass patches of several centimetres are, at most.
    """

    texture_hu: float
    clusters_hu: float
    emphysema: float
    hole_mm: float
    paraseptal: float
    low_hu: float
    mosaic_hu: float
    haze_hu: float


def draw_disease(generator: np.random.Generator) -> Disease:
    """Draw a patient's parenchyma; most patients have a little of something."""

    def maybe(chance: float, low: float, high: float) -> float:
        value, there = generator.uniform(low, high), generator.random() < chance
        return float(value) if there else 0.0

    return Disease(
        texture_hu=float(generator.uniform(3, 24)),
        clusters_hu=float(generator.uniform(2, 22)),
        emphysema=maybe(0.35, 0.01, 0.35),
        hole_mm=float(generator.uniform(*HOLE_MM)),
        paraseptal=maybe(0.25, 0.05, 0.6),
        low_hu=maybe(0.3, 20, 90),
        mosaic_hu=maybe(0.4, 8, 45),
        haze_hu=maybe(0.25, 40, 260),
    )


def parenchyma(
    generator: np.random.Generator, grid: CoarseGrid, anatomy: Anatomy, patient: Patient, disease: Disease
) -> Floats:
    """Return what to add to the lungs' mean density, ``(z, y, x)`` in HU.

    Args:
        generator: random numbers.
        grid: where to compute it.
        anatomy: the organs' distances, for what lies near the pleura.
        patient: the mean density and the lungs' heights.
        disease: what is there.
    """
    hu = disease.texture_hu * generator.standard_normal(grid.shape, dtype=np.float32)
    hu += disease.clusters_hu * _speckle(generator, grid, 6.0)
    patches = noise_field(generator, grid, 60.0)
    hu -= disease.low_hu * np.clip(patches, 0, 1)
    if disease.mosaic_hu:
        hu += disease.mosaic_hu * np.clip(3 * noise_field(generator, grid, 32.0), -1, 1)
    if disease.haze_hu:
        hu += disease.haze_hu * np.clip(1.2 * noise_field(generator, grid, 75.0) - 1.0, 0, 1)
    if disease.emphysema or disease.paraseptal:
        share = _holes(generator, grid, anatomy, patient, disease)
        hu += share * (HOLE_HU - patient.lung_hu - hu)
    return hu


def _speckle(generator: np.random.Generator, grid: CoarseGrid, size_mm: float) -> Floats:
    """Return noise of unit variance whose grains are about ``size_mm`` wide."""
    values = gaussian_filter(generator.standard_normal(grid.shape, dtype=np.float32), 0.4 * size_mm / grid.step_mm)
    return np.asarray(values / max(float(values.std()), 1e-6), dtype=np.float32)


def _holes(
    generator: np.random.Generator, grid: CoarseGrid, anatomy: Anatomy, patient: Patient, disease: Disease
) -> Floats:
    """Return the share of every point that lies in an emphysematous hole."""
    bubbles = _speckle(generator, grid, disease.hole_mm)
    # Where it is worse follows the lobes; smokers' emphysema is worst at the top.
    height = grid.coordinates()[2] / patient.apex
    severity = np.clip(0.6 + 0.5 * height, 0.05, 1) * np.clip(1 + 0.7 * noise_field(generator, grid, 50.0), 0, 2)
    wanted = disease.emphysema * severity
    if disease.paraseptal:
        depth = -_read(anatomy.lung, anatomy.coarse, grid)
        wanted = wanted + disease.paraseptal * severity * np.exp(-((depth / PARASEPTAL_MM) ** 2))
    # A hole is where the bubbles exceed what only the wanted share of normal numbers does (logistic approximation).
    wanted = np.clip(wanted, 1e-4, 0.7)
    limit = -np.log(wanted / (1 - wanted)) / 1.702
    return np.asarray(np.clip(2.5 * (bubbles - limit) + 0.5, 0, 1), dtype=np.float32)


def _read(values: Floats, coarse: CoarseGrid, grid: CoarseGrid) -> Floats:
    for axis in range(3):
        matrix = interpolation(grid.axis(axis), coarse.first_mm[axis], coarse.step_mm, coarse.shape[axis])
        values = along(matrix, values, axis)
    return values
