"""Smooth probabilities over a physical distance."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform
from scipy import ndimage

from medbundles.components.regions import bounding_box
from medbundles.errors import ConfigurationError
from medbundles.io.images import spacing_of

# Farther from a voxel than this many standard deviations its probability counts no more.
REACH = 4.0
NEGLIGIBLE = 1e-3


class SmoothProbabilityd(MapTransform):
    """Replace probabilities by their Gaussian mean over a few tenths of a millimeter to a few millimeters.

    A network that has learned well says 0.99999 of many a voxel, so the highest voxel tells a vessel's cross-section
    and a nodule no longer apart; how much lies around it does. MONAI's ``GaussianSmoothd`` counts in voxels and
    convolves the whole volume; here the distance is in mm along every axis, and only what is not 0 is visited.

    Args:
        keys: probabilities ``(C, H, W, D)``, 0 to 1, with an affine; without one a voxel counts as 1 mm.
        sigma_mm: standard deviation of the Gaussian in mm; 0 changes nothing.
        in_place: write over single-precision probabilities on the CPU; a whole CT has 300 MB of them.
        allow_missing_keys: whether an absent key is skipped.

    Raises:
        ConfigurationError: a negative ``sigma_mm``.
    """

    def __init__(
        self, keys: KeysCollection, sigma_mm: float, in_place: bool = False, allow_missing_keys: bool = False
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        if sigma_mm < 0:
            raise ConfigurationError(f"sigma_mm must be 0 or more, found {sigma_mm}")
        self.sigma_mm = float(sigma_mm)
        self.in_place = in_place

    def __call__(self, data: Mapping[Hashable, torch.Tensor]) -> dict[Hashable, Any]:
        """Return the item with smoothed probabilities of the same type, on the same device."""
        item = dict(data)
        if self.sigma_mm > 0:
            for key in self.key_iterator(item):
                item[key] = self._smoothed(item[key])
        return item

    def _smoothed(self, probabilities: torch.Tensor) -> torch.Tensor:
        if isinstance(probabilities, MetaTensor):
            spacing = spacing_of(np.asarray(probabilities.affine))
            smoothed = MetaTensor(self._smooth(probabilities.as_tensor(), spacing))
            smoothed.copy_meta_from(probabilities)
            return smoothed
        return self._smooth(probabilities, (1.0, 1.0, 1.0))

    def _smooth(self, probabilities: torch.Tensor, spacing: Sequence[float]) -> torch.Tensor:
        result = probabilities.detach().cpu().to(torch.float32, copy=not self.in_place).numpy()
        for channel in result:
            _smooth_inside(channel, [self.sigma_mm / edge for edge in spacing])
        return torch.from_numpy(result).to(probabilities.device, probabilities.dtype)


def _smooth_inside(volume: npt.NDArray[np.float32], sigmas: Sequence[float]) -> None:
    """Smooth a volume ``(H, W, D)`` in place, as far as its values reach."""
    box = bounding_box(volume > NEGLIGIBLE)
    if box is None:
        return
    reach = [int(np.ceil(REACH * sigma)) for sigma in sigmas]
    wide = tuple(
        slice(max(part.start - more, 0), min(part.stop + more, size))
        for part, more, size in zip(box, reach, volume.shape, strict=True)
    )
    volume[wide] = ndimage.gaussian_filter(volume[wide], sigmas, mode="nearest", truncate=REACH)
