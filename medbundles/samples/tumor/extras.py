"""What a scan shows besides the tumor: vessels, lesions of age, what skull-stripping left."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from medbundles.samples.tumor.anatomy import Brain
from medbundles.samples.tumor.fields import Floats, drawn, smooth_field, step

# Middle on one side and half axes in the template, in mm: insula, cingulate gyrus, hippocampus and amygdala.
LIMBIC = (
    ((37.0, 4.0, 2.0), (8.0, 22.0, 15.0)),
    ((6.0, 12.0, 28.0), (6.0, 40.0, 14.0)),
    ((26.0, -18.0, -16.0), (9.0, 22.0, 9.0)),
)


@dataclass(frozen=True)
class Extras:
    """Shares ``(x, y, z)``.

    Attributes:
        vessels: blood that takes up contrast agent.
        aged: white matter that holds more water, as in elderly people; no tumor and not labeled.
        dura: membranes around the brain that take up contrast agent.
        limbic: cortex that is brighter in FLAIR than other cortex: insula, cingulate gyrus, hippocampus.
        remnant: muscle, fat and marrow that skull-stripping has left.
    """

    vessels: Floats
    aged: Floats
    dura: Floats
    limbic: Floats
    remnant: Floats


def draw_extras(generator: np.random.Generator, brain: Brain) -> Extras:
    """Return a person's vessels, old lesions and membranes."""
    return Extras(
        vessels=_vessels(generator, brain),
        aged=_aged(generator, brain),
        dura=_dura(generator, brain),
        limbic=_limbic(generator, brain),
        remnant=_remnant(generator, brain),
    )


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
    """Return the membrane around the brain in patches, the falx between its halves, the tentorium below them."""
    thickness = drawn(generator, 0.2, 1.0)
    x, y, z = brain.template_mm
    between = step(0.8 - np.abs(x), 0.3) * ((z > 10) | (y < -60)) + step(2.0 - np.abs(z + 12 - 0.5 * (y + 60)), 0.5) * (
        (y < -38) & (y > -85) & (np.abs(x) < 45)
    )
    shell = step(brain.surface_mm - drawn(generator, 0.8, 2.0), 0.3) * step(thickness + 1.6 - brain.surface_mm, 0.3)
    patches = shell * step(smooth_field(generator, brain.shape, 8) + drawn(generator, -0.8, 0.8), 0.3)
    return np.asarray(np.clip(patches + between * brain.fluid * drawn(generator, 0.0, 0.8), 0, 1), np.float32)


def _limbic(generator: np.random.Generator, brain: Brain) -> Floats:
    x, y, z = brain.template_mm
    total = np.zeros(brain.shape, np.float32)
    for (right, front, up), (a, b, c) in LIMBIC:
        distance = ((np.abs(x) - right) / a) ** 2 + ((y - front) / b) ** 2 + ((z - up) / c) ** 2
        total = np.maximum(total, drawn(generator, 0.3, 1.0) * np.exp(-(distance**2)))
    return np.asarray(total * brain.gray, np.float32)


def _remnant(generator: np.random.Generator, brain: Brain) -> Floats:
    """Return patches outside of the brain that skull-stripping has left in some scans, below more than above."""
    if generator.random() > 0.5:
        return np.zeros(brain.shape, np.float32)
    field = smooth_field(generator, brain.shape, drawn(generator, 4, 10)) - 0.02 * (brain.template_mm[2] + 10)
    thick = drawn(generator, 2, 8)
    # What is left ends raggedly, fades into the dark, and is no layer of one thickness.
    height = thick * np.clip(2 * (field - drawn(generator, 1.2, 2.4)), 0, 1) - brain.surface_mm
    left = (height > 0) & (brain.surface_mm > 0)
    return np.asarray(left * np.clip(0.3 + 0.5 * height, 0, 1), np.float32)
