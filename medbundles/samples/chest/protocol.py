"""How a scan is made: spacing, slice thickness, range, kernel and noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from medbundles.samples.chest.grid import ScanGrid
from medbundles.samples.chest.patient import Patient

# (slice distance, slice thickness) in mm; above LUNA16's limit of 2.5 mm lies what daily practice has as well.
SLICES = ((1.0, 1.0), (1.25, 1.25), (1.25, 2.5), (2.0, 2.0), (2.0, 3.0), (2.5, 2.5), (3.0, 3.0), (5.0, 5.0))
SLICE_SHARES = (0.10, 0.14, 0.10, 0.16, 0.10, 0.24, 0.08, 0.08)
FINE_MM = 1.3
MOST_SLICES = 110
LARGEST_FIELD_MM = 342.0
KERNELS = ("soft", "standard", "sharp")
KERNEL_SHARES = (0.3, 0.4, 0.3)
# Deviation of the noise in soft tissue in HU at 1 mm thickness.
NOISE_HU = {"soft": (10.0, 22.0), "standard": (14.0, 30.0), "sharp": (26.0, 52.0)}


@dataclass(frozen=True)
class Protocol:
    """Settings of one scan.

    Attributes:
        grid: where the voxels lie, in the patient's frame.
        kernel: ``soft``, ``standard`` or ``sharp``.
        noise_hu: standard deviation of the noise in soft tissue.
        padding_hu: what lies outside the circular field of view; None when the whole square was reconstructed.
        shift_mm: ``(x, y, z)`` from the patient's frame to the scanner's.
    """

    grid: ScanGrid
    kernel: str
    noise_hu: float
    padding_hu: int | None
    shift_mm: tuple[float, float, float]


def draw_protocol(
    generator: np.random.Generator,
    patient: Patient,
    matrix: int,
    pixel_spacing_mm: float | None,
    extent_mm: tuple[float, float],
) -> Protocol:
    """Draw the settings of one scan.

    Args:
        generator: random numbers.
        patient: who is scanned; the field of view covers the lungs and may cut the body.
        matrix: rows and columns.
        pixel_spacing_mm: fixed edge of a pixel, or None for a field of view drawn around the lungs.
        extent_mm: smallest and largest range of heights; fine slices get less, to at most 110 slices.
    """
    distance, thickness = SLICES[int(generator.choice(len(SLICES), p=SLICE_SHARES))]
    field = min(2 * patient.half_width + generator.uniform(30, 75), LARGEST_FIELD_MM)
    pixel = round(pixel_spacing_mm or field / matrix, 6)
    extent = min(generator.uniform(*extent_mm), MOST_SLICES * distance)
    slices = max(int(extent / distance), 3)
    substeps = int(np.ceil(distance / FINE_MM))
    overlap = round((thickness - distance) / 2 / (distance / substeps))
    # Most of the range shows lung: between the apices and the domes' lowest recesses.
    highest, lowest = patient.apex + 2, patient.dome - 70
    spare = max(highest - lowest - slices * distance, 0)
    top = highest - spare * generator.uniform(0, 1)
    half = (matrix - 1) / 2 * pixel
    first = (
        -half + generator.uniform(-6, 6),
        -half + 4 + generator.uniform(-6, 6),
        top - (slices - 1) * distance,
    )
    kernel = str(generator.choice(KERNELS, p=KERNEL_SHARES))
    noise = generator.uniform(*NOISE_HU[kernel]) / np.sqrt(max(thickness, 0.8)) * (0.9 + 0.1 * patient.wall / 35)
    return Protocol(
        grid=ScanGrid(matrix, slices, pixel, distance, substeps, overlap, first),
        kernel=kernel,
        noise_hu=round(float(noise), 3),
        padding_hu=int(generator.choice([-3024, -2000, -1024])) if generator.random() < 0.35 else None,
        shift_mm=(
            float(generator.uniform(-25, 25)), float(generator.uniform(-190, 20)), float(generator.uniform(-650, 150))
        ),
    )  # fmt: skip
