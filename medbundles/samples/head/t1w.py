"""The T1w of a head."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from medbundles.samples.head.geometry import Affine, grid, places_of, sampled
from medbundles.samples.head.shape import HeadShape
from medbundles.samples.head.signals import DENSITY, around_brain, coil_bias, rician, stored
from medbundles.samples.head.sites import Site
from medbundles.samples.head.template import read_template
from medbundles.samples.seeding import stream

# Relaxation at 3 T in ms (literature values, rounded).
T1_MS = {"white": 850.0, "gray": 1350.0, "fluid": 4000.0}
REPETITION_MS = 2300.0
EXTENT_MM = (196.0, 236.0, 200.0)


def make_t1w(seed: int, case: int, site: Site, shape: HeadShape) -> tuple[npt.NDArray[np.int16], Affine]:
    """Return an inversion-recovery T1w: its contrast comes from relaxation, its detail from the template."""
    generator = stream(seed, case, "t1w")
    affine, size = grid(site.t1w_axes, site.t1w_spacing_mm, EXTENT_MM, 0.0)
    template = read_template()
    maps = sampled(template, ("t1", "gray", "white", "fluid", "outside_mm"), shape.to_template(places_of(affine, size)))
    relaxation = {name: value * generator.normal(1.0, 0.04) for name, value in T1_MS.items()}
    tissue = {name: DENSITY[name] * _recovered(site.inversion_time_ms, relaxation[name]) for name in T1_MS}
    signal = sum(maps[name] * tissue[name] for name in T1_MS)
    # What the shares do not tell: deep nuclei, vessels, the brightness of single gyri.
    plain = sum(maps[name] * level for name, level in _template_levels().items())
    inside = maps["gray"] + maps["white"] + maps["fluid"]
    signal = signal + np.clip(maps["t1"] - plain, -0.3, 0.3) * inside * (tissue["white"] - tissue["gray"]) / 0.28
    ring, scalp = around_brain(maps["outside_mm"], inside, generator)
    signal = signal + ring * tissue["fluid"] + scalp * 0.9 * tissue["white"]
    signal = np.maximum(signal, 0) * coil_bias(generator, size)
    noise = tissue["white"] / site.t1w_signal_to_noise
    return stored(rician(signal, noise, generator).reshape(size), 600.0 / tissue["white"]), affine


def _recovered(inversion_ms: float, relaxation_ms: float) -> float:
    """Return the signal of a tissue of density 1, so long after inversions that come every :data:`REPETITION_MS`."""
    before = 1 + np.exp(-REPETITION_MS / relaxation_ms)
    return float(abs(1 - 2 * np.exp(-inversion_ms / relaxation_ms) / before))


@lru_cache(maxsize=1)
def _template_levels() -> dict[str, float]:
    """Return the brightness of each tissue in the template's T1w, by least squares."""
    template = read_template()
    brain = (template.gray + template.white + template.fluid) > 0.99
    shares = np.stack([getattr(template, name)[brain] for name in T1_MS], axis=1).astype(np.float64)
    levels = np.linalg.lstsq(shares[::50], template.t1[brain][::50].astype(np.float64), rcond=None)[0]
    return {name: float(level) for name, level in zip(T1_MS, levels, strict=True)}
