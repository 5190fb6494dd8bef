"""How a scanner reconstructs: resolution, edge boost, and the noise's spectrum in plane, along z and in streaks.

The spectrum of the noise is the ramp of filtered back-projection under the kernel's roll-off (Riederer, Pelc and
Chesler, Physics in Medicine and Biology 23:446, 1978). Iterative reconstruction removes its high frequencies.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import fft

from medbundles.samples.chest.grid import Floats

BOOST_FREQUENCY = 0.45
# The ramp does not start at zero: scatter and beam hardening leave some slow noise.
LOWEST_RAMP = 0.012
# Rays along the shoulders lack photons: their noise is nearly constant along such a ray.
STREAK_WIDTH_PER_MM = 0.025


@dataclass(frozen=True)
class Kernel:
    """One point of a continuous family, from soft and smoothed to sharp and noisy.

    Attributes:
        cutoff_per_mm: frequency in line pairs per mm where the response has fallen to 1/e.
        boost: by how much of itself the response is lifted at 0.45 line pairs per mm; 0 for none.
        smoothing_mm: standard deviation of what iterative reconstruction takes from the noise; 0 for none.
    """

    cutoff_per_mm: float
    boost: float
    smoothing_mm: float

    @property
    def name(self) -> str:
        """``soft``, ``standard`` or ``sharp``."""
        return "soft" if self.cutoff_per_mm < 0.45 else "standard" if self.cutoff_per_mm < 0.65 else "sharp"

    def response(self, frequency: Floats) -> Floats:
        """Return what is left of a structure of a frequency in line pairs per mm."""
        share = (frequency / BOOST_FREQUENCY) ** 2
        lift = 1 + self.boost * share * np.exp(1 - share)
        return np.asarray(np.exp(-((frequency / self.cutoff_per_mm) ** 2)) * lift, dtype=np.float32)

    def noise(self, frequency: Floats) -> Floats:
        """Return the noise's amplitude."""
        smooth = np.exp(-2 * (np.pi * frequency * self.smoothing_mm) ** 2)
        return np.asarray(np.sqrt(frequency + LOWEST_RAMP) * self.response(frequency) * smooth, dtype=np.float32)


def draw_kernel(generator: np.random.Generator) -> Kernel:
    """Draw a kernel; sharp ones boost edges, every third scan is smoothed."""
    cutoff = float(np.exp(generator.uniform(np.log(0.27), np.log(0.95))))
    boost = float(generator.uniform(0, 0.7)) if cutoff > 0.45 and generator.random() < 0.5 else 0.0
    smoothing = float(generator.uniform(0.2, 0.9)) if generator.random() < 0.35 else 0.0
    return Kernel(round(cutoff, 4), round(boost, 4), round(smoothing, 4))


def frequencies(size: int, pixel_mm: float) -> tuple[Floats, Floats]:
    """Return the length of the frequencies of ``rfft2`` of a square, and their part along x, in line pairs per mm."""
    rows = fft.fftfreq(size, pixel_mm)[:, None]
    columns = fft.rfftfreq(size, pixel_mm)[None, :]
    length = np.asarray(np.hypot(rows, columns), dtype=np.float32)
    return length, np.asarray(np.broadcast_to(columns, length.shape), dtype=np.float32)


def deviation(spectrum: Floats, size: int) -> float:
    """Return the deviation of white noise of unit variance after multiplication with a half spectrum."""
    double = np.full(spectrum.shape[1], 2.0)
    double[0] = 1.0
    if size % 2 == 0:
        double[-1] = 1.0
    return float(np.sqrt((spectrum.astype(np.float64) ** 2 * double).sum() / size**2))


def noise_spectra(kernel: Kernel, size: int, pixel_mm: float) -> tuple[Floats, Floats]:
    """Return the half spectra of noise and of streaks along x, both of unit variance."""
    length, along_x = frequencies(size, pixel_mm)
    plain = kernel.noise(length)
    streaks = np.asarray(plain * np.exp(-((along_x / STREAK_WIDTH_PER_MM) ** 2)), dtype=np.float32)
    return plain / max(deviation(plain, size), 1e-6), streaks / max(deviation(streaks, size), 1e-6)
