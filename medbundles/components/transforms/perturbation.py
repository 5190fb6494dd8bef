"""Worse images on purpose: how much of each trouble a model bears."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Mapping
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import torch
from monai.data.meta_tensor import MetaTensor
from monai.transforms.transform import Transform

from medbundles.components.resampling import resample
from medbundles.components.transforms.save_prediction import as_array
from medbundles.errors import ConfigurationError
from medbundles.io.grids import Affine, spacing_of

Kind = Literal["none", "noise", "bias", "spacing", "shift"]
Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

# Highest order of the bias field's polynomial along each axis: coils vary slowly.
BIAS_ORDER = 2


class Perturbationd(Transform):
    """Change the loaded image inside the brain, the same way for a case every time.

    Put it after loading and masking, before the contrasts are normalized. Each contrast is changed by itself, one that
    is absent (0 everywhere) and all that lies outside of the brain stay as they are. The strength means:

    - ``noise``: standard deviation of the Gaussian noise that is added, by that of the contrast in the brain;
    - ``bias``: the image is multiplied by ``exp(strength * field)``, where the field is a random polynomial of second
      order that runs from -1 to 1 over the brain;
    - ``spacing``: thickness in mm of the axial slices that the image is averaged to and interpolated back from; below
      the image's own nothing is changed;
    - ``shift``: intensities are scaled to 0 to 1 in the brain, raised to the power of ``exp(strength)`` or
      ``exp(-strength)``, and scaled and shifted by up to the strength (which z-scores undo).

    A strength of 0, and the kind ``none``, change nothing.

    Args:
        kind: what is done.
        strength: how much.
        seed: with the case's name and the contrast it decides all that is random.
        image_key: item with the image ``(C, H, W, D)`` in RAS.
        mask_key: item with the brain ``(1, H, W, D)``; without it the brain is where a contrast is not 0.

    Raises:
        ConfigurationError: an unknown kind, or a strength below 0.
    """

    def __init__(
        self,
        kind: Kind = "none",
        strength: float = 0.0,
        seed: int = 0,
        image_key: str = "image",
        mask_key: str = "mask",
    ) -> None:
        super().__init__()
        if kind not in get_args(Kind) or not 0.0 <= strength < float("inf"):
            raise ConfigurationError(
                f"a perturbation is one of {', '.join(get_args(Kind))} of a strength of 0 or more, found {kind!r} "
                f"of {strength}"
            )
        self.kind: Kind = kind
        self.strength = float(strength)
        self.seed = seed
        self.image_key = image_key
        self.mask_key = mask_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the item with its image changed.

        Raises:
            ConfigurationError: ``spacing`` of an image that does not know the size of its voxels.
        """
        item = dict(data)
        if self.kind == "none" or self.strength == 0.0:
            return item
        image = item[self.image_key]
        affine = np.asarray(image.affine, dtype=np.float64) if isinstance(image, MetaTensor) else None
        mask = as_array(item[self.mask_key])[0] > 0 if item.get(self.mask_key) is not None else None
        case = str(item.get("case", ""))
        changed = as_array(image).astype(np.float32)
        for number, channel in enumerate(changed):
            inside = channel != 0 if mask is None else mask
            if channel[inside].any():
                channel[inside] = self._changed(channel, inside, affine, self._generator(case, number))[inside]
        result = torch.from_numpy(changed)
        item[self.image_key] = MetaTensor(result).copy_meta_from(image) if isinstance(image, MetaTensor) else result
        return item

    def _generator(self, case: str, channel: int) -> np.random.Generator:
        text = f"{self.seed}/{self.kind}/{case}/{channel}"
        return np.random.default_rng(int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little"))

    def _changed(self, channel: Floats, inside: Mask, affine: Affine | None, generator: np.random.Generator) -> Floats:
        if self.kind == "noise":
            spread = self.strength * float(channel[inside].std())
            return channel + np.float32(spread) * noise(channel.shape, generator)
        if self.kind == "bias":
            # Intensities of MRI begin at 0; those of z-scored images do not.
            lowest = min(float(channel[inside].min()), 0.0)
            field = np.exp(self.strength * bias_field(inside, generator)).astype(np.float32)
            return (channel - lowest) * field + lowest
        if self.kind == "spacing":
            if affine is None:
                raise ConfigurationError("the perturbation spacing needs an image that knows the size of its voxels")
            return thick_slices(channel, affine, self.strength)
        return shifted(channel, inside, self.strength, generator)


def noise(shape: tuple[int, ...], generator: np.random.Generator) -> Floats:
    """Return independent values of mean 0 and standard deviation 1."""
    return generator.standard_normal(shape, dtype=np.float32)


def bias_field(inside: Mask, generator: np.random.Generator) -> npt.NDArray[np.float64]:
    """Return a smooth field ``(H, W, D)`` that runs from -1 to 1 over a mask with at least two voxels."""
    x, y, z = (np.linspace(-1.0, 1.0, size) for size in inside.shape)
    weights = generator.standard_normal((BIAS_ORDER + 1,) * 3)
    orders = np.indices(weights.shape).sum(axis=0)
    weights[(orders == 0) | (orders > BIAS_ORDER)] = 0.0
    field = np.polynomial.polynomial.polygrid3d(x, y, z, weights)
    low, high = float(field[inside].min()), float(field[inside].max())
    return np.asarray(2.0 * (field - low) / max(high - low, 1e-12) - 1.0)


def thick_slices(channel: Floats, affine: Affine, thickness_mm: float) -> Floats:
    """Return a volume ``(H, W, D)`` in RAS as if its axial slices were this thick, on its own grid."""
    step = spacing_of(affine)[2]
    if thickness_mm <= step:
        return channel
    count = max(int(np.ceil(channel.shape[2] * step / thickness_mm)), 1)
    ratio = thickness_mm / step
    coarse = affine.copy()
    coarse[:3, 2] *= ratio
    # Both stacks of slices have the same middle.
    coarse[:3, 3] += affine[:3, 2] * ((channel.shape[2] - 1) / 2 - ratio * (count - 1) / 2)
    averaged = resample(channel, affine, coarse, (*channel.shape[:2], count))
    return resample(averaged, coarse, affine, channel.shape)


def shifted(channel: Floats, inside: Mask, strength: float, generator: np.random.Generator) -> Floats:
    """Return a volume with another brightness and contrast inside a mask; its order of intensities stays."""
    low, high = float(channel[inside].min()), float(channel[inside].max())
    span = max(high - low, 1e-12)
    power = float(np.exp(strength * generator.choice([-1.0, 1.0])))
    scale, offset = 1.0 + strength * generator.uniform(0.0, 1.0), strength * generator.uniform(-1.0, 1.0)
    unit = np.clip((channel - low) / span, 0.0, 1.0) ** power
    return np.asarray(low + span * (scale * unit + offset), dtype=np.float32)
