"""A picture of a registration: the T1w with the outline of the diffusion MRI's brain, before and after."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from medbundles.components.overlay import FALSE_NEGATIVE, Picture, mark_right, sheet, to_gray
from medbundles.components.resampling import resample
from medbundles.io.grids import Affine, to_world
from medbundles.io.images import Volume

STEP_MM = 1.0
MARGIN_MM = 25.0
BRIGHT_PERCENTILE = 99.0
TITLES = ("before", "after")


def draw_registration(t1w: Volume, affines: Sequence[Affine], brain: npt.NDArray[np.bool_], affine: Affine) -> Picture:
    """Draw a T1w in the three planes through the middle of the brain, a row for each place where it lies.

    Args:
        t1w: its voxels.
        affines: of the T1w, before and after.
        brain: in the diffusion MRI, ``(X, Y, Z)``.
        affine: of its voxels.
    """
    grid, shape = _grid_around(brain, affine)
    outline = resample(brain.astype(np.float32), affine, grid, shape) >= 0.5
    middle = np.rint(ndimage.center_of_mass(outline)).astype(int)
    rows = []
    for place in affines:
        shown = resample(t1w.array, place, grid, shape)
        window = (0.0, float(np.percentile(shown, BRIGHT_PERCENTILE)))
        rows.append(_planes(shown, outline, middle, window))
    return sheet(rows, TITLES, tile=320, legend=(("brain of the diffusion MRI", FALSE_NEGATIVE),))


def _grid_around(brain: npt.NDArray[np.bool_], affine: Affine) -> tuple[Affine, tuple[int, int, int]]:
    """Return a grid around the brain whose axes lead to the patient's left, to the back and up."""
    places = to_world(affine, np.argwhere(brain))
    low, high = places.min(axis=0) - MARGIN_MM, places.max(axis=0) + MARGIN_MM
    size = np.ceil((high - low) / STEP_MM).astype(int) + 1
    grid = np.diag([-STEP_MM, -STEP_MM, STEP_MM, 1.0])
    grid[:3, 3] = high[0], high[1], low[2]
    return grid, (int(size[0]), int(size[1]), int(size[2]))


def _planes(
    volume: npt.NDArray[np.float32],
    outline: npt.NDArray[np.bool_],
    middle: npt.NDArray[np.int_],
    window: tuple[float, float],
) -> list[Picture]:
    """Return the axial, the coronal and the sagittal picture, in radiological convention."""
    pictures = []
    for axis in (2, 1, 0):
        cut = np.take(volume, middle[axis], axis=axis).T
        inside = np.take(outline, middle[axis], axis=axis).T
        picture = to_gray(cut, window)
        picture[inside & ~ndimage.binary_erosion(inside)] = FALSE_NEGATIVE
        # In the planes that stand upright, up is up.
        picture = picture if axis == 2 else np.ascontiguousarray(picture[::-1])
        pictures.append(picture if axis == 0 else mark_right(picture))
    return pictures
