"""The T1w of a head."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from medbundles.samples.head.geometry import Affine, grid, places_of, sampled
from medbundles.samples.head.shape import HeadShape
from medbundles.samples.head.signals import DENSITY, around_brain, coil_bias, rician, stored
from medbundles.samples.head.sites import Site
from medbundles.samples.head.template import Template, read_template
from medbundles.samples.seeding import stream

# Relaxation at 3 T in ms (literature values, rounded).
T1_MS = {"white": 850.0, "gray": 1350.0, "fluid": 4000.0}
REPETITION_MS = 2300.0
# Of the brightness of white matter; what is beyond is no tissue.
LARGEST_DETAIL = 0.3
# As the scanners' own correction leaves it.
COIL_BIAS = 0.07
EXTENT_MM = (196.0, 236.0, 200.0)


def make_t1w(seed: int, case: int, site: Site, shape: HeadShape) -> tuple[npt.NDArray[np.int16], Affine]:
    """Return an inversion-recovery T1w: its contrast comes from relaxation, its detail from the template."""
    generator = stream(seed, case, "t1w")
    affine, size = grid(site.t1w_axes, site.t1w_spacing_mm, EXTENT_MM, 0.0)
    where = shape.to_template(places_of(affine, size))
    maps = sampled(shape.tissues(_with_detail()), ("t1", "gray", "white", "fluid", "outside_mm"), where)
    relaxation = {name: value * generator.normal(1.0, 0.04) for name, value in T1_MS.items()}
    tissue = {name: DENSITY[name] * _recovered(site.inversion_time_ms, relaxation[name]) for name in T1_MS}
    signal = sum(maps[name] * tissue[name] for name in T1_MS)
    inside = maps["gray"] + maps["white"] + maps["fluid"]
    signal = signal + maps["t1"] * inside * (tissue["white"] - tissue["gray"])
    ring, scalp = around_brain(maps["outside_mm"], inside, shape.layers_mm)
    signal = signal + ring * tissue["fluid"] + scalp * 0.9 * tissue["white"]
    signal = np.maximum(signal, 0) * coil_bias(generator, size, COIL_BIAS)
    noise = tissue["white"] / site.t1w_signal_to_noise
    return stored(rician(signal, noise, generator).reshape(size), 600.0 / tissue["white"]), affine


def _recovered(inversion_ms: float, relaxation_ms: float) -> float:
    """Return the signal of a tissue of density 1, so long after inversions that come every :data:`REPETITION_MS`."""
    before = 1 + np.exp(-REPETITION_MS / relaxation_ms)
    return float(abs(1 - 2 * np.exp(-inversion_ms / relaxation_ms) / before))


@lru_cache(maxsize=1)
def _with_detail() -> Template:
    """Return the template with what its shares do not tell as ``t1``: deep nuclei, vessels, brightness of single gyri.

    Its unit is the step from gray to white matter.
    """
    template = read_template()
    shares = np.stack([template.gray, template.white, template.fluid])
    brain = shares.sum(axis=0) > 0.99
    chosen = shares[:, brain][:, ::50].astype(np.float64)
    levels = np.linalg.lstsq(chosen.T, template.t1[brain][::50].astype(np.float64), rcond=None)[0]
    detail = template.t1 - np.tensordot(levels.astype(np.float32), shares, axes=1)
    return replace(template, t1=np.clip(detail, -LARGEST_DETAIL, LARGEST_DETAIL) / float(levels[1] - levels[0]))
