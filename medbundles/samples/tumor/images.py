"""The four contrasts of a brain as a scanner and a registration leave them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from medbundles.samples.head.signals import coil_bias
from medbundles.samples.tumor.anatomy import Brain
from medbundles.samples.tumor.extras import Extras
from medbundles.samples.tumor.fields import Floats, doubled, drawn, octaves, smooth_field
from medbundles.samples.tumor.lesions import Parts
from medbundles.samples.tumor.relaxation import Protocol, Tissue
from medbundles.samples.tumor.sampling import along_axes, blurred, shifted, thick_slices, truncated

LARGEST_STORED = 32000
# Voxels around what is labeled in which there may be a little of a tumor.
AROUND = 6


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
    image = np.clip(1 - tumor, 0, 1) * _healthy(generator, contrast, brain, parts, extras, signals, texture)
    water = signals["necrosis"] * texture["necrosis"]
    image += parts.necrosis * water + parts.watery * (signals["fluid"] - water)
    image += (parts.solid * signals["solid"] + parts.enhancing * signals["enhancing"]) * texture["solid"]
    if parts.bled.any():
        image += parts.bled * (signals["bled"] - image)
    if contrast == "t1c":
        image += _agent(generator, parts, extras, tissues, protocol, signals)
    else:
        flow = 0.2 if contrast == "t1n" else 0.75
        image -= flow * extras.vessels * np.maximum(image, 0)
    if extras.remnant.any():
        bright = signals["white"] * np.exp(generator.normal(0, 0.5) + 0.4 * smooth_field(generator, brain.shape, 3))
        image += extras.remnant * (bright - image)
    image *= 1 + drawn(generator, 0.01, 0.04) * smooth_field(generator, brain.shape, 2.5)
    return _acquired(generator, image, brain)


def _healthy(
    generator: np.random.Generator,
    contrast: str,
    brain: Brain,
    parts: Parts,
    extras: Extras,
    signals: dict[str, float],
    texture: dict[str, Floats],
) -> Floats:
    """Return the signal of what is no tumor's core: tissues, water in them, what surrounds the brain."""
    gray: Any = signals["gray"]
    if contrast == "t2f":
        gray = gray * (1 + drawn(generator, 0.0, 0.3) * extras.limbic)
    solids = brain.white + brain.gray
    dry = (brain.white * signals["white"] + brain.gray * gray) / np.clip(solids, 1e-3, None)
    dry += brain.iron * (signals["iron"] - dry)
    weight = 1.0 if contrast in ("t1n", "t1c") else 0.4
    dry += weight * brain.detail * (signals["white"] - signals["gray"]) * (brain.surface_mm == 0)
    # No tissue is the same everywhere.
    dry *= 1 + drawn(generator, 0.01, 0.06) * smooth_field(generator, brain.shape, 14)
    # Edema lies between the fibers, it never fills a voxel.
    wet = np.clip(parts.edema * texture["edema"] + 0.55 * extras.aged, 0, 1)
    dry += wet * (signals["edema"] - dry)
    image = solids * dry + (brain.fluid + brain.around) * signals["fluid"]
    if contrast == "t2f" and generator.random() < 0.4:
        # Fluid that has moved since the inversion is not nulled.
        moved = np.clip(smooth_field(generator, brain.shape, 6) - drawn(generator, 0.5, 2.0), 0, 1)
        image += brain.fluid * moved * signals["gray"] * drawn(generator, 0.3, 1.1)
    return np.asarray(image, np.float32)


def _agent(
    generator: np.random.Generator,
    parts: Parts,
    extras: Extras,
    tissues: dict[str, Tissue],
    protocol: Protocol,
    signals: dict[str, float],
) -> Floats:
    """Return what contrast agent adds to a T1w."""
    full = protocol.signal("t1c", tissues["enhancing"].enhanced(1.0), 4000.0) - signals["enhancing"]
    blood = protocol.signal("t1c", tissues["blood"].enhanced(2.0), 4000.0)
    added = np.minimum(parts.uptake, 1.6) * full
    # Surface coils and inflow make vessels brighter still.
    vessels = np.maximum(blood - signals["fluid"], 0) * float(np.exp(drawn(generator, -0.6, 0.7)))
    return np.asarray(added + (extras.vessels + drawn(generator, 0.2, 0.7) * extras.dura) * vessels)


def _acquired(generator: np.random.Generator, image: Floats, brain: Brain) -> npt.NDArray[np.int16]:
    """Return the signal with the scanner's resolution, coils, noise and numbers."""
    image = along_axes(image, _resolution(generator, brain.shape))
    x, y, z = (extent // 2 + 1 for extent in brain.shape)
    # The coils' sensitivity is smooth: every other voxel tells it.
    bias = coil_bias(generator, (x, y, z), drawn(generator, 0.02, 0.2)).reshape(1, x, y, z)
    bias = bias * (1 + drawn(generator, -0.1, 0.35) * _middle((x, y, z)))
    image = image * np.clip(doubled(bias, brain.shape)[0], 0.5, 2.0)
    level = float(np.mean(image[brain.mask][::97]))
    noise = level * drawn(generator, 0.01, 0.05)
    real, imaginary = (generator.standard_normal(brain.shape, dtype=np.float32) * noise for _ in range(2))
    image = np.sqrt((np.maximum(image, 0) + real) ** 2 + imaginary**2)
    if generator.random() < 0.7:  # resampled once more when contrasts were brought together
        sigma = drawn(generator, 0.3, 0.55)
        image = along_axes(image, [blurred(extent, sigma) for extent in brain.shape])
    gain = float(np.exp(generator.uniform(np.log(200), np.log(3000)))) / level
    stored = np.clip(np.rint(image * gain), 1, LARGEST_STORED)
    return np.asarray(np.where(brain.mask, stored, 0), np.int16)


def _middle(shape: tuple[int, int, int]) -> Floats:
    """Return 1 in the middle of a head and less towards its surface: at 3 T waves add up there."""
    x, y, z = (np.linspace(-1, 1, extent, dtype=np.float32) for extent in shape)
    distance = x[:, None, None] ** 2 + y[None, :, None] ** 2 + z[None, None, :] ** 2
    return np.asarray(np.exp(-distance / 0.4)[None], np.float32)


def _resolution(generator: np.random.Generator, shape: tuple[int, int, int]) -> list[npt.NDArray[np.float32]]:
    """Return a matrix an axis: the voxels' own width, thick slices, truncated frequencies, a small move."""
    sigma = drawn(generator, 0.25, 0.75)
    found = [blurred(extent, sigma) for extent in shape]
    if generator.random() < 0.5:
        axis = int(generator.choice([0, 1, 2], p=[0.15, 0.15, 0.7]))
        found[axis] = thick_slices(shape[axis], drawn(generator, 2, 6)) @ found[axis]
    if generator.random() < 0.35:
        axis = int(generator.integers(0, 2))
        found[axis] = truncated(shape[axis], drawn(generator, 0.55, 0.9)) @ found[axis]
    return [shifted(len(matrix), drawn(generator, -0.45, 0.45)) @ matrix for matrix in found]


def textures(generator: np.random.Generator, brain: Brain, parts: Parts) -> dict[str, Floats]:
    """Return how uneven the tumor's parts are; the same structure shows in all contrasts."""
    if not parts.label.any():
        even = np.ones(1, np.float32)
        return {"edema": even, "necrosis": even, "solid": even}
    box = tuple(
        slice(max(0, part.start - AROUND), part.stop + AROUND)
        for part in ndimage.find_objects((parts.label > 0).astype(np.uint8))[0]
    )
    shape = parts.label[box].shape
    fields = {
        "edema": drawn(generator, 0.75, 1.1) + drawn(generator, 0.08, 0.2) * octaves(generator, shape, 8),
        "necrosis": np.exp(drawn(generator, 0.05, 0.4) * octaves(generator, shape, drawn(generator, 3, 7))),
        "solid": np.exp(drawn(generator, 0.05, 0.4) * octaves(generator, shape, drawn(generator, 3, 7))),
    }
    whole = {name: np.ones(brain.shape, np.float32) for name in fields}
    for name, field in fields.items():
        whole[name][box] = np.clip(field, 0.4, 1.2) if name == "edema" else field
    return whole
