"""Where one contrast lies beside another one of the same head, and where the brain is in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from medbundles.checks.brains import LEAST_BACKGROUND
from medbundles.components.registration import Alignment, align_rigidly, describe_movement, refine_rigidly
from medbundles.components.resampling import resample
from medbundles.io.grids import to_world
from medbundles.io.images import Volume
from medbundles.prepare._t1w_alignment import find_head

Mask = npt.NDArray[np.bool_]

# A movement below this is no more than what the search itself is right to; interpolation would cost more than it mends.
LEAST_MOVEMENT_MM = 0.5


@dataclass(frozen=True)
class Placement:
    """Where a contrast lies beside the reference.

    Attributes:
        alignment: what the search found.
        moved: whether the contrast is moved there.
        center: of the reference's brain, in RAS+ mm.
    """

    alignment: Alignment
    moved: bool
    center: tuple[float, float, float]

    def as_dict(self) -> dict[str, Any]:
        """Return the numbers as plain data for ``fingerprint.json``."""
        angle, shift = describe_movement(self.alignment.transform, self.center)
        return {
            "moved": self.moved,
            "displacement_mm": round(self.alignment.displacement_mm, 2),
            "rotation_degrees": round(angle, 2),
            "translation_mm": [round(part, 2) for part in shift],
            "information_before": round(self.alignment.information_before, 4),
            "information_after": round(self.alignment.information_after, 4),
            "transform": self.alignment.transform.round(6).tolist(),
        }


def place_contrast(contrast: Volume, reference: Volume, brain: Mask) -> Placement:
    """Find where a contrast lies beside the reference; it is moved where that is farther than half a millimeter.

    Args:
        contrast: the image that may be moved.
        reference: the one that stays.
        brain: on its grid.

    Raises:
        EnvironmentFailure: dipy is not installed.
    """
    pair = (contrast.array.astype(np.float32), contrast.affine, reference.array.astype(np.float32), reference.affine)
    alignment = refine_rigidly(align_rigidly(*pair, brain), *pair, brain)
    center = to_world(reference.affine, np.argwhere(brain)).mean(axis=0) if brain.any() else np.zeros(3)
    better = alignment.information_after > alignment.information_before
    moved = better and alignment.displacement_mm >= LEAST_MOVEMENT_MM
    return Placement(alignment, moved, (float(center[0]), float(center[1]), float(center[2])))


def brain_of(volume: Volume) -> Mask:
    """Return the brain of an image without a skull, the head of one with it; one piece without holes."""
    array = volume.array
    if 1 - np.count_nonzero(array) / array.size >= LEAST_BACKGROUND:
        return np.asarray(ndimage.binary_fill_holes(array != 0))
    head, affine = find_head(volume)
    return resample(head.astype(np.float32), affine, volume.affine, array.shape) >= 0.5
