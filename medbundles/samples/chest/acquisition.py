"""From fine slices to a CT: slice profile, reconstruction kernel, noise, field of view, int16."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import fft

from medbundles.samples.chest.grid import Floats
from medbundles.samples.chest.protocol import Protocol

PAD = 8
# Frequencies in line pairs per mm: where the kernel's response has fallen to 1/e, and by how much it lifts edges.
CUTOFF = {"soft": 0.42, "standard": 0.58, "sharp": 0.90}
BOOST = {"soft": 0.0, "standard": 0.0, "sharp": 0.55}
BOOST_FREQUENCY = 0.45
LOWEST_HU, HIGHEST_HU = -1024, 3071
# The detector's signal is lowest behind the most tissue: noise grows from the skin to the middle of the body.
NOISE_AT_EDGE = 0.65


def _frequencies(size: int, pixel_mm: float) -> Floats:
    rows = fft.fftfreq(size, pixel_mm)[:, None]
    columns = fft.rfftfreq(size, pixel_mm)[None, :]
    return np.asarray(np.hypot(rows, columns), dtype=np.float32)


def _kernel(frequency: Floats, kernel: str) -> Floats:
    response = np.exp(-((frequency / CUTOFF[kernel]) ** 2))
    lift = 1 + BOOST[kernel] * (frequency / BOOST_FREQUENCY) ** 2 * np.exp(1 - (frequency / BOOST_FREQUENCY) ** 2)
    return np.asarray(response * lift, dtype=np.float32)


def _noise_spectrum(frequency: Floats, kernel: str) -> Floats:
    """Return the noise's amplitude: the ramp filter of filtered back-projection under the kernel's roll-off."""
    ramp = np.sqrt(frequency + 0.012)
    return np.asarray(ramp * _kernel(frequency, kernel), dtype=np.float32)


def acquire(fine: Floats, protocol: Protocol, generator: np.random.Generator) -> npt.NDArray[np.int16]:
    """Turn fine slices into the scan.

    Args:
        fine: ``(z, y, x)`` HU on the fine slices.
        protocol: the scan's settings.
        generator: random numbers of the noise.

    Returns:
        ``(z, y, x)`` int16 HU.
    """
    grid = protocol.grid
    size = grid.matrix + 2 * PAD
    frequency = _frequencies(size, grid.pixel_mm)
    response = _kernel(frequency, protocol.kernel)
    spectrum = _noise_spectrum(frequency, protocol.kernel)
    spectrum *= protocol.noise_hu / max(_deviation(spectrum, size), 1e-6)
    level = _noise_level(grid.matrix)
    outside = _outside_circle(grid.matrix)
    result = np.empty(grid.shape, dtype=np.int16)
    width = grid.substeps + 2 * grid.overlap
    # Overlapping slices share measured data, and so part of their noise.
    shared = np.sqrt(1 - min(grid.slice_mm / grid.thickness_mm, 1) ** 2) if grid.overlap else 0.25
    before = fft.rfft2(generator.standard_normal((size, size), dtype=np.float32))
    for number in range(grid.slices):
        first = number * grid.substeps
        clean = np.pad(fine[first : first + width].mean(axis=0), PAD, mode="edge")
        white = fft.rfft2(generator.standard_normal((size, size), dtype=np.float32))
        before = np.float32(shared) * before + np.float32(np.sqrt(1 - shared**2)) * white
        blurred = fft.irfft2(fft.rfft2(clean) * response, s=(size, size))[PAD:-PAD, PAD:-PAD]
        noise = fft.irfft2(before * spectrum, s=(size, size))[PAD:-PAD, PAD:-PAD]
        slice_hu = np.clip(np.rint(blurred + level * noise), LOWEST_HU, HIGHEST_HU).astype(np.int16)
        if protocol.padding_hu is not None:
            slice_hu[outside] = protocol.padding_hu
        result[number] = slice_hu
    return result


def _deviation(spectrum: Floats, size: int) -> float:
    """Return the deviation of white noise of unit variance after multiplication with a half spectrum."""
    double = np.full(spectrum.shape[1], 2.0)
    double[0] = 1.0
    if size % 2 == 0:
        double[-1] = 1.0
    return float(np.sqrt((spectrum.astype(np.float64) ** 2 * double).sum() / size**2))


def _radius(matrix: int) -> Floats:
    axis = (np.arange(matrix, dtype=np.float32) - (matrix - 1) / 2) / (matrix / 2)
    return np.asarray(np.hypot(axis[:, None], axis[None, :]), dtype=np.float32)


def _noise_level(matrix: int) -> Floats:
    radius = np.minimum(_radius(matrix), 1)
    return np.asarray(1 - (1 - NOISE_AT_EDGE) * radius**2, dtype=np.float32)


def _outside_circle(matrix: int) -> npt.NDArray[np.bool_]:
    return np.asarray(_radius(matrix) > 1)
