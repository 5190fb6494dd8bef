"""From fine slices to a CT: slice profile, reconstruction kernel, noise, field of view, int16."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import fft

from medbundles.samples.chest.grid import Floats, ScanGrid
from medbundles.samples.chest.kernel import frequencies, noise_spectra
from medbundles.samples.chest.protocol import Protocol

PAD = 8
LOWEST_HU, HIGHEST_HU = -1024, 3071
# The detector's signal is lowest behind the most tissue: noise grows from the skin to the middle of the body.
NOISE_AT_EDGE = 0.65
# Heights in mm above the carina between which the shoulders come into the beam.
SHOULDERS_MM = (25.0, 85.0)


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
    response = protocol.kernel.response(frequencies(size, grid.pixel_mm)[0])
    level = _noise_level(grid.matrix) * np.float32(protocol.noise_hu)
    outside = _outside_circle(grid.matrix)
    noise = _Noise(protocol, size, generator)
    result = np.empty(grid.shape, dtype=np.int16)
    width = grid.substeps + 2 * grid.overlap
    for number in range(grid.slices):
        first = number * grid.substeps
        clean = np.pad(fine[first : first + width].mean(axis=0), PAD, mode="edge")
        blurred = fft.irfft2(fft.rfft2(clean) * response, s=(size, size))
        slice_hu = blurred[PAD:-PAD, PAD:-PAD] + level * noise.draw(number)[PAD:-PAD, PAD:-PAD]
        rounded = np.clip(np.rint(slice_hu), LOWEST_HU, HIGHEST_HU).astype(np.int16)
        if protocol.padding_hu is not None:
            rounded[outside] = protocol.padding_hu
        result[number] = rounded
    return result


class _Noise:
    """Noise of unit variance below the shoulders, drawn slice after slice."""

    def __init__(self, protocol: Protocol, size: int, generator: np.random.Generator) -> None:
        self._generator, self._size = generator, size
        self._plain, self._streaks = noise_spectra(protocol.kernel, size, protocol.grid.pixel_mm)
        self._shared = np.float32(shared_noise(protocol.grid))
        self._fresh = np.float32(np.sqrt(1 - self._shared**2))
        heights = protocol.grid.first_mm[2] + np.arange(protocol.grid.slices) * protocol.grid.slice_mm
        low, high = SHOULDERS_MM
        shoulders = np.clip((heights - low) / (high - low), 0, 1)
        self._gain = 1 + protocol.shoulder_noise * shoulders
        self._streak_gain = protocol.streaks * shoulders
        self._before = self._white()

    def _white(self) -> npt.NDArray[np.complexfloating]:
        values = self._generator.standard_normal((self._size, self._size), dtype=np.float32)
        return np.asarray(fft.rfft2(values))

    def draw(self, number: int) -> Floats:
        """Return the noise ``(size, size)`` of a slice; slices must be asked for in order."""
        self._before = self._shared * self._before + self._fresh * self._white()
        amplitude = np.float32(self._gain[number]) * self._plain
        if self._streak_gain[number] > 0:
            amplitude = amplitude + np.float32(self._streak_gain[number]) * self._streaks
        return np.asarray(fft.irfft2(self._before * amplitude, s=(self._size, self._size)))


def shared_noise(grid: ScanGrid) -> float:
    """Return the correlation of the noise of neighboring slices: overlapping ones share measured data.

    Even slices that only touch share some: the profile of a spiral scan has tails.
    """
    ratio = min(grid.slice_mm / grid.thickness_mm, 1.0)
    return float(max(0.25, 1 - 0.75 * ratio**2))


def _radius(matrix: int) -> Floats:
    axis = (np.arange(matrix, dtype=np.float32) - (matrix - 1) / 2) / (matrix / 2)
    return np.asarray(np.hypot(axis[:, None], axis[None, :]), dtype=np.float32)


def _noise_level(matrix: int) -> Floats:
    radius = np.minimum(_radius(matrix), 1)
    return np.asarray(1 - (1 - NOISE_AT_EDGE) * radius**2, dtype=np.float32)


def _outside_circle(matrix: int) -> npt.NDArray[np.bool_]:
    return np.asarray(_radius(matrix) > 1)
