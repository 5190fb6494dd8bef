"""Scanners that differ as those of real multi-center studies do: resolution, weighting, directions, noise, contrast."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from medbundles.samples.head.geometry import CENTER_MM

Floats = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Site:
    """One scanner and its protocol.

    Attributes:
        name: of the site.
        axes: the three axis codes of the diffusion images, such as ``LAS``.
        t1w_axes: those of the T1w images.
        spacing_mm: voxels of the diffusion images.
        t1w_spacing_mm: voxels of the T1w images.
        extent_mm: field of view of the diffusion images along x, y and z.
        b_value: of the shell, s/mm2.
        directions: volumes of the shell.
        unweighted: b0 volumes.
        echo_time_ms: of the diffusion images; the longer, the brighter is fluid beside tissue.
        inversion_time_ms: of the T1w images; gray matter is .54 (1000 ms) to .66 (1200 ms) as bright as white.
        signal_to_noise: of the b0 volumes in white matter.
        t1w_signal_to_noise: of the T1w in white matter.
        tilt_degrees: of the diffusion slices about the x axis.
        gain: what one unit of signal is in the stored numbers.
        center_mm: the middle of the diffusion images' field of view; as it is, the whole brain is covered.
    """

    name: str
    axes: str
    t1w_axes: str
    spacing_mm: tuple[float, float, float]
    t1w_spacing_mm: tuple[float, float, float]
    extent_mm: tuple[float, float, float]
    b_value: float
    directions: int
    unweighted: int
    echo_time_ms: float
    inversion_time_ms: float
    signal_to_noise: float
    t1w_signal_to_noise: float
    tilt_degrees: float
    gain: float
    center_mm: tuple[float, float, float] = CENTER_MM


SITES = (
    Site(
        name="north",
        axes="LAS",
        t1w_axes="LAS",
        spacing_mm=(2.0, 2.0, 2.0),
        t1w_spacing_mm=(1.0, 1.0, 1.0),
        extent_mm=(212, 236, 156),
        b_value=1000,
        directions=30,
        unweighted=3,
        echo_time_ms=82,
        inversion_time_ms=1100,
        signal_to_noise=20,
        t1w_signal_to_noise=45,
        tilt_degrees=0,
        gain=1800,
    ),
    Site(
        name="east",
        axes="RAS",
        t1w_axes="PIR",
        spacing_mm=(2.5, 2.5, 2.5),
        t1w_spacing_mm=(1.0, 1.0, 1.2),
        extent_mm=(220, 240, 150),
        b_value=800,
        directions=20,
        unweighted=2,
        echo_time_ms=70,
        inversion_time_ms=1200,
        signal_to_noise=24,
        t1w_signal_to_noise=35,
        tilt_degrees=7,
        gain=420,
    ),
    Site(
        name="south",
        axes="LPS",
        t1w_axes="LAS",
        spacing_mm=(1.8, 1.8, 3.0),
        t1w_spacing_mm=(1.2, 1.0, 1.0),
        extent_mm=(216, 234, 147),
        b_value=1300,
        directions=45,
        unweighted=4,
        echo_time_ms=98,
        inversion_time_ms=1000,
        signal_to_noise=15,
        t1w_signal_to_noise=30,
        tilt_degrees=-4,
        gain=4500,
    ),
    # A clinical protocol: coarse, few directions, and the lower head is left out.
    Site(
        name="west",
        axes="LAS",
        t1w_axes="LPS",
        spacing_mm=(3.2, 3.2, 4.0),
        t1w_spacing_mm=(1.0, 1.0, 1.0),
        extent_mm=(218, 230, 92),
        b_value=900,
        directions=15,
        unweighted=1,
        echo_time_ms=76,
        inversion_time_ms=1150,
        signal_to_noise=25,
        t1w_signal_to_noise=35,
        tilt_degrees=3,
        gain=900,
        center_mm=(0.0, -18.0, 38.0),
    ),
)


def sphere(count: int) -> Floats:
    """Return directions ``(count, 3)`` spread evenly over half a sphere (a spiral of golden angles)."""
    index = np.arange(count) + 0.5
    polar, azimuth = np.arccos(1 - index / count), np.pi * (1 + 5**0.5) * index
    return np.stack([np.cos(azimuth) * np.sin(polar), np.sin(azimuth) * np.sin(polar), np.cos(polar)], axis=1)
