"""MRI has no unit: each contrast is measured by its own spread in the brain."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.data.meta_tensor import MetaTensor
from monai.transforms import Transform
from torch import Tensor

from medbundles.checks.notices import notice
from medbundles.components.regions import bounding_box
from medbundles.components.transforms.brain_mask import background_of
from medbundles.errors import ConfigurationError, DataError, Finding


class NormalizeContrastsd(Transform):
    """Bring every contrast to mean 0 and standard deviation 1 inside the mask, and to 0 outside.

    Mean and deviation are those of the mask's voxels that do not have the contrast's background value: a contrast may
    cover less than the others, or be z-scored already. An absent contrast, and one with a single value inside the mask,
    becomes 0 everywhere; ``present`` then says that it is absent. So does a voxel that is no number.

    Args:
        contrasts: names of the channels, for messages.
        image_key: contrasts ``(C, H, W, D)``.
        mask_key: mask ``(1, H, W, D)``, anything above 0.
        limit: values beyond this many standard deviations are cut off: vessels and artifacts tell nothing more. None
            keeps them.

    Raises:
        ConfigurationError: a limit that is not above 0.
        DataError: no contrast that is present has any contrast (NII011).
    """

    def __init__(
        self, contrasts: Sequence[str], image_key: str = "image", mask_key: str = "mask", limit: float | None = 5.0
    ) -> None:
        super().__init__()
        if limit is not None and not limit > 0:
            raise ConfigurationError(f"limit is a number of standard deviations above 0, found {limit}")
        self.contrasts = tuple(contrasts)
        self.image_key = image_key
        self.mask_key = mask_key
        self.limit = limit

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the item with z-scored contrasts; a contrast of one value is noticed (NII011)."""
        item = dict(data)
        image = item[self.image_key]
        plain = image.as_tensor() if isinstance(image, MetaTensor) else image
        mask = np.asarray(item[self.mask_key])[0] > 0
        box = bounding_box(mask) or tuple(slice(0, size) for size in mask.shape)
        inside = torch.from_numpy(mask[box])
        present = [bool(there) for there in item.get("present", [True] * len(plain))]
        result = torch.zeros_like(plain, dtype=torch.float32)
        for number, channel in enumerate(plain):
            if not present[number]:
                continue
            scored = self._scored(channel[box].to(torch.float32), inside, background_of(channel))
            if scored is None:
                present[number] = False
                message = f"contrast {self.contrasts[number]} has one value in the whole brain and is taken for absent"
                notice(Finding("NII011", "warning", message, case=str(item["case"]) if "case" in item else None))
            else:
                result[(number, *box)] = scored
        if not any(present):
            message = "no contrast has more than one value in the brain: there is nothing to see"
            case = str(item["case"]) if "case" in item else None
            raise DataError(findings=[Finding("NII011", "error", message, "look at the files", case=case)])
        if isinstance(image, MetaTensor):
            result = MetaTensor(result).copy_meta_from(image)
            result.meta["present"] = list(present)
        return item | {self.image_key: result, "present": present}

    def _scored(self, values: Tensor, inside: Tensor, background: float) -> Tensor | None:
        """Return the z-scores of a contrast in the mask's box, None where it has no spread."""
        known = inside & values.isfinite()
        measured = values[known & (values != background)]
        if not len(measured):
            return None
        spread, middle = torch.std_mean(measured, correction=0)
        # Rounding alone gives a constant of 1000 a deviation of about 1e-4.
        if not spread > 1e-6 * middle.abs():
            return None
        scored = (values - middle) / spread
        if self.limit is not None:
            scored.clamp_(-self.limit, self.limit)
        return torch.where(known, scored, torch.zeros(()))
