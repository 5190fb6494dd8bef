"""What a scan shows besides the tumor: vessels, lesions of age, what skull-stripping left."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from medbundles.samples.tumor.anatomy import Brain
from medbundles.samples.tumor.fields import Floats, drawn, smooth_field, step


@dataclass(frozen=True)
class Extras:
    """Shares ``(x, y, z)``.

    Attributes:
        vessels: blood that takes up contrast agent.
        aged: white matter that holds more water, as in elderly people; no tumor and not labeled.
        dura: membranes around the brain that take up contrast agent.
    """

    vessels: Floats
    aged: Floats
    dura: Floats


def draw_extras(generator: np.random.Generator, brain: Brain) -> Extras:
    """Return a person's vessels, old lesions and membranes."""
    return Extras(_vessels(generator, brain), _aged(generator, brain), _dura(generator, brain))


def _vessels(generator: np.random.Generator, brain: Brain) -> Floats:
    """Return curves where two random fields are both zero, most in sulci, and the sinuses and choroid plexus."""
    shape = brain.shape
    first, second = smooth_field(generator, shape, 7), smooth_field(generator, shape, 7)
    nearness = np.sqrt(first**2 + second**2)
    tubes = step(drawn(generator, 0.05, 0.11) - nearness, 0.02)
    where = np.clip(brain.fluid * 1.6, 0, 1) + 0.12 * brain.white
    x, y, z = brain.template_mm
    sinus = step(drawn(generator, 3.0, 6.0) - np.abs(x) - 0.5 * np.maximum(0, 2 - brain.surface_mm), 1.0)
    sinus = sinus * (brain.surface_mm > 0) * (brain.surface_mm < 7) * ((z > 5) | (y < -60))
    plexus = (np.abs(x) < 36) & (y < -5) & (y > -48) & (z > -18) & (z < 30) & (brain.surface_mm == 0)
    plexus = plexus * brain.fluid * step(smooth_field(generator, shape, 2.5) - drawn(generator, 0.6, 1.6), 0.2)
    return np.asarray(np.clip(tubes * where + sinus + plexus, 0, 1), np.float32)


def _aged(generator: np.random.Generator, brain: Brain) -> Floats:
    """Return caps around the ventricles and spots in white matter; many people have none."""
    x, _, z = brain.template_mm
    ventricles = brain.fluid * (np.abs(x) < 40) * (z > -12) * (z < 38) * (brain.surface_mm == 0)
    ventricles *= ndimage.uniform_filter(brain.gray, 9) < 0.3
    caps = np.clip(ndimage.gaussian_filter(ventricles, drawn(generator, 2, 5)) * 2.2, 0, 1)
    amount = float(np.clip(generator.normal(0.15, 0.35), 0, 1))
    spots = step(smooth_field(generator, brain.shape, drawn(generator, 2.0, 3.5)) - drawn(generator, 2.3, 4.0), 0.15)
    spots *= float(generator.random() < 0.6) * drawn(generator, 0.3, 1.0)
    return np.asarray(np.clip(amount * caps + spots, 0, 1) * brain.white, np.float32)


def _dura(generator: np.random.Generator, brain: Brain) -> Floats:
    thickness = drawn(generator, 0.2, 1.0)
    shell = step(brain.surface_mm - drawn(generator, 0.8, 2.0), 0.3) * step(thickness + 1.6 - brain.surface_mm, 0.3)
    return np.asarray(shell * step(smooth_field(generator, brain.shape, 8) + drawn(generator, -0.8, 0.8), 0.3))


def eyes_and_remnants(generator: np.random.Generator, brain: Brain) -> npt.NDArray[np.bool_]:
    """Return patches outside of the brain that skull-stripping has left in some scans."""
    if generator.random() > 0.35:
        return np.zeros(brain.shape, bool)
    field = smooth_field(generator, brain.shape, 10)
    left: Any = (
        (field > drawn(generator, 1.6, 2.4)) & (brain.surface_mm > 0) & (brain.surface_mm < drawn(generator, 2, 7))
    )
    return np.asarray(left)
