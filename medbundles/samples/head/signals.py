"""What coils, noise and storage do to a signal, and what lies around the brain."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]

# Proton density of white matter, gray matter and fluid (literature values, rounded).
DENSITY = {"white": 0.70, "gray": 0.82, "fluid": 1.0}


def around_brain(outside_mm: Floats, inside: Floats, layers_mm: tuple[float, float, float]) -> tuple[Floats, Floats]:
    """Return how much of each voxel is the fluid and the scalp around the brain; bone and air give no signal.

    Args:
        outside_mm: distance to the brain's surface.
        inside: share of brain.
        layers_mm: how thick fluid, bone and skin are.
    """
    steps = [1.0 / (1.0 + np.exp(-(outside_mm - edge) / 0.5)) for edge in np.cumsum(layers_mm)]
    outer = np.clip(1 - inside, 0, 1) * (outside_mm > 0)
    return outer * (1 - steps[0]), outer * (steps[1] - steps[2])


def coil_bias(generator: np.random.Generator, size: tuple[int, int, int], strength: float) -> Floats:
    """Return the coils' uneven sensitivity, smooth, flat ``(voxels,)``.

    Args:
        generator: of the image.
        size: of the image.
        strength: typical share by which the sensitivity changes from the middle to an edge.
    """
    axes = [np.linspace(-1, 1, extent, dtype=np.float32) for extent in size]
    x, y, z = axes[0][:, None, None], axes[1][None, :, None], axes[2][None, None, :]
    a, b, c, d, e = generator.normal(0, strength, 5)
    return np.asarray(np.exp(a * x + b * y + c * z + d * (x**2 + y**2) + e * y * z), dtype=np.float32).ravel()


def rician(signal: Floats, noise: float, generator: np.random.Generator) -> Floats:
    """Return a signal with Rician noise of this standard deviation in each channel, by dipy."""
    from dipy.sims.voxel import add_noise

    flat = add_noise(signal.ravel(), snr=1.0 / noise, S0=1.0, noise_type="rician", rng=generator)
    return np.asarray(flat.reshape(signal.shape), dtype=np.float32)


def stored(signal: Floats, gain: float) -> npt.NDArray[np.int16]:
    """Return a signal in the numbers a scanner stores."""
    return np.asarray(np.clip(np.rint(signal * gain), 0, np.iinfo(np.int16).max), dtype=np.int16)
