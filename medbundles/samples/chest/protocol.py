"""How a scan is made: spacing, slice thickness, range, kernel and noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from medbundles.samples.chest.grid import ScanGrid
from medbundles.samples.chest.kernel import Kernel, draw_kernel
from medbundles.samples.chest.patient import Patient

# (slice distance, slice thickness) in mm; above LUNA16's limit of 2.5 mm lies what daily practice has as well.
SLICES = ((1.0, 1.0), (1.25, 1.25), (1.25, 2.5), (2.0, 2.0), (2.0, 3.0), (2.5, 2.5), (3.0, 3.0), (5.0, 5.0))
SLICE_SHARES = (0.10, 0.14, 0.10, 0.16, 0.10, 0.24, 0.08, 0.08)
FINE_MM = 1.3
MOST_SLICES = 110
LARGEST_FIELD_MM = 400.0
# Deviation of the noise in soft tissue in HU at 1 mm thickness behind the softest and the sharpest kernel.
NOISE_HU = ((8.0, 26.0), (24.0, 70.0))


@dataclass(frozen=True)
class Protocol:
    """Settings of one scan.

    Attributes:
        grid: where the voxels lie, in the patient's frame.
        kernel: resolution and the look of the noise.
        noise_hu: standard deviation of the noise in soft tissue, below the shoulders.
        shoulder_noise: how much more noise the shoulders cause, 1 doubles it.
        streaks: horizontal streaks at the shoulders, in units of the noise.
        padding_hu: what lies outside the circular field of view; None when the whole square was reconstructed.
        shift_mm: ``(x, y, z)`` from the patient's frame to the scanner's.
    """

    grid: ScanGrid
    kernel: Kernel
    noise_hu: float
    shoulder_noise: float
    streaks: float
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
    # Nominal and true width of the slice profile differ between scanners; the fine slices round it.
    thickness *= generator.uniform(1.0, 1.1)
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
    kernel = draw_kernel(generator)
    noise = _draw_noise(generator, kernel) / np.sqrt(max(thickness, 0.8)) * (0.9 + 0.1 * patient.wall / 35)
    return Protocol(
        grid=ScanGrid(matrix, slices, pixel, distance, substeps, overlap, first),
        kernel=kernel,
        noise_hu=round(float(noise), 3),
        shoulder_noise=float(generator.uniform(0, 1.6)),
        streaks=float(generator.uniform(0, 1.6)) if generator.random() < 0.5 else 0.0,
        padding_hu=int(generator.choice([-3024, -2000, -1024])) if generator.random() < 0.35 else None,
        shift_mm=(
            float(generator.uniform(-25, 25)), float(generator.uniform(-190, 20)), float(generator.uniform(-650, 150))
        ),
    )  # fmt: skip


def _draw_noise(generator: np.random.Generator, kernel: Kernel) -> float:
    """Return the noise at 1 mm thickness in HU: sharp kernels let more of it pass, iterative ones less."""
    sharp = float(np.clip((kernel.cutoff_per_mm - 0.27) / (0.95 - 0.27), 0, 1))
    low, high = (soft + sharp * (rough - soft) for soft, rough in zip(*NOISE_HU, strict=True))
    return float(np.exp(generator.uniform(np.log(low), np.log(high)))) * (1 - 0.45 * min(kernel.smoothing_mm, 1.0))
