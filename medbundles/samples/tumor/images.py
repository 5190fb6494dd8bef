"""The four contrasts of a brain as a scanner and a registration leave them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from medbundles.samples.head.signals import coil_bias
from medbundles.samples.tumor.anatomy import Brain
from medbundles.samples.tumor.extras import Extras
from medbundles.samples.tumor.fields import Floats, drawn, octaves, smooth_field
from medbundles.samples.tumor.lesions import Parts
from medbundles.samples.tumor.relaxation import Protocol, Tissue

LARGEST_STORED = 32000


def render(
    generator: np.random.Generator,
    contrast: str,
    brain: Brain,
    parts: Parts,
    extras: Extras,
    tissues: dict[str, Tissue],
    protocol: Protocol,
    texture: dict[str, Floats],
) -> npt.NDArray[np.int16]:
    """Return one contrast ``(x, y, z)`` int16, 0 outside of the mask."""
    signals = {name: protocol.signal(contrast, tissue, tissues["fluid"].t1_ms) for name, tissue in tissues.items()}
    tumor = parts.necrosis + parts.solid + parts.enhancing
    healthy = np.clip(1 - tumor, 0, 1)
    # Edema lies between the fibers, it never fills a voxel.
    wet = np.clip(parts.edema * texture["edema"] + 0.55 * extras.aged, 0, 1) * healthy
    image = healthy * (brain.white * signals["white"] + brain.gray * signals["gray"] + brain.fluid * signals["fluid"])
    solids = np.clip(brain.white + brain.gray, 1e-3, 1)
    dry = (brain.white * signals["white"] + brain.gray * signals["gray"]) / solids
    image += wet * np.clip(1 - brain.fluid, 0, 1) * (signals["edema"] - dry)
    step_to_white = signals["white"] - signals["gray"]
    weight = 1.0 if contrast in ("t1n", "t1c") else 0.5
    image += weight * brain.detail * solids * healthy * step_to_white * (brain.surface_mm == 0)
    image += parts.necrosis * signals["necrosis"] * texture["necrosis"]
    image += parts.solid * signals["solid"] * texture["solid"]
    image += parts.enhancing * signals["enhancing"] * texture["solid"]
    if contrast == "t1c":
        image += _agent(parts, extras, tissues, protocol, signals)
    else:
        flow = 0.2 if contrast == "t1n" else 0.75
        image -= flow * extras.vessels * np.maximum(image, 0)
    image *= 1 + 0.03 * smooth_field(generator, brain.shape, 2.5)
    return _acquired(generator, image, brain)


def _agent(
    parts: Parts, extras: Extras, tissues: dict[str, Tissue], protocol: Protocol, signals: dict[str, float]
) -> Floats:
    """Return what contrast agent adds to a T1w."""
    full = protocol.signal("t1c", tissues["enhancing"].enhanced(1.0), 4000.0) - signals["enhancing"]
    blood = protocol.signal("t1c", tissues["blood"].enhanced(2.0), 4000.0)
    added = np.minimum(parts.uptake, 1.6) * full
    return np.asarray(added + (extras.vessels + 0.6 * extras.dura) * np.maximum(blood - signals["fluid"], 0) * 1.1)


def _acquired(generator: np.random.Generator, image: Floats, brain: Brain) -> npt.NDArray[np.int16]:
    """Return the signal with the scanner's resolution, coils, noise and numbers."""
    image = ndimage.gaussian_filter(image, drawn(generator, 0.25, 0.75))
    if generator.random() < 0.5:
        image = _thick(
            image, axis=int(generator.choice([0, 1, 2], p=[0.15, 0.15, 0.7])), slice_mm=drawn(generator, 2, 6)
        )
    bias = coil_bias(generator, brain.shape, drawn(generator, 0.02, 0.12)).reshape(brain.shape)
    image = image * np.clip(bias, 0.5, 2.0)
    level = float(np.mean(image[brain.mask][::97]))
    noise = level * drawn(generator, 0.01, 0.05)
    real, imaginary = (generator.standard_normal(brain.shape, dtype=np.float32) * noise for _ in range(2))
    image = np.sqrt((np.maximum(image, 0) + real) ** 2 + imaginary**2)
    if generator.random() < 0.7:  # resampled once more when contrasts were brought together
        image = ndimage.gaussian_filter(image, drawn(generator, 0.3, 0.55))
    gain = float(np.exp(generator.uniform(np.log(200), np.log(3000)))) / level
    stored = np.clip(np.rint(image * gain), 1, LARGEST_STORED)
    return np.asarray(np.where(brain.mask, stored, 0), np.int16)


def _thick(image: Floats, axis: int, slice_mm: float) -> Floats:
    """Return an image of thick slices, interpolated back to 1 mm."""
    count = max(2, round(image.shape[axis] / slice_mm))
    factors = [1.0, 1.0, 1.0]
    factors[axis] = count / image.shape[axis]
    blurred = ndimage.gaussian_filter1d(image, slice_mm / 2.8, axis=axis)
    thin = ndimage.zoom(blurred, factors, order=1)
    back: list[Any] = [1.0, 1.0, 1.0]
    back[axis] = image.shape[axis] / thin.shape[axis]
    return np.asarray(ndimage.zoom(thin, back, order=1), np.float32)


def textures(generator: np.random.Generator, brain: Brain, parts: Parts) -> dict[str, Floats]:
    """Return how uneven the tumor's parts are; the same structure shows in all contrasts."""
    if not parts.label.any():
        even = np.ones(1, np.float32)
        return {"edema": even, "necrosis": even, "solid": even}
    shape = brain.shape
    return {
        "edema": np.clip(drawn(generator, 0.75, 1.1) + 0.15 * octaves(generator, shape, 8), 0.4, 1.2),
        "necrosis": np.exp(0.16 * octaves(generator, shape, 6)),
        "solid": np.exp(0.12 * octaves(generator, shape, 5)),
    }
