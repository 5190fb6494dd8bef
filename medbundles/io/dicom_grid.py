"""Where the slices of a DICOM series lie: arithmetic on their headers, no reading.

Order and spacing come from ImagePositionPatient and ImageOrientationPatient alone: file names, InstanceNumber and
SliceLocation need not follow the patient's axis.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from medbundles.io.dicom import SliceHeader
from medbundles.io.grids import LPS_TO_RAS, Affine

Floats = npt.NDArray[np.float64]


def axes_of(header: SliceHeader) -> Floats:
    """Return the unit vectors ``(3, 3)`` in LPS: along a row, along a column, across the slice.

    The header has to have ``directions`` (:func:`medbundles.checks.dicom.check_tags`).
    """
    row, column = np.reshape(np.asarray(header.directions, dtype=np.float64), (2, 3))
    return np.stack([row, column, np.cross(row, column)])


def heights_of(slices: Sequence[SliceHeader]) -> Floats:
    """Return the position of every slice along the first one's normal, in mm."""
    normal = axes_of(slices[0])[2]
    places = np.array([header.position_lps_mm for header in slices], dtype=np.float64)
    return np.asarray(places @ normal)


def sort_slices(slices: Sequence[SliceHeader]) -> list[SliceHeader]:
    """Return the slices in ascending order along their normal; equal positions by their UID."""
    heights = heights_of(slices)
    order = sorted(range(len(slices)), key=lambda place: (round(float(heights[place]), 4), slices[place].sop_uid))
    return [slices[place] for place in order]


def plane_affine(header: SliceHeader) -> Affine:
    """Return the 4x4 of one slice, ``(column, row, 0)`` to LPS mm, with a unit step across it."""
    axes = axes_of(header)
    between_rows, between_columns = header.pixel_spacing_mm or (1.0, 1.0)
    affine = np.eye(4)
    affine[:3, :3] = (axes * [[between_columns], [between_rows], [1.0]]).T
    affine[:3, 3] = header.position_lps_mm
    return affine


def series_affine(ordered: Sequence[SliceHeader]) -> Affine:
    """Return the 4x4 of a sorted, evenly spaced series: ``(column, row, slice)`` to RAS+ mm.

    Args:
        ordered: at least two slices in the order of :func:`sort_slices`.
    """
    affine = plane_affine(ordered[0])
    first, last = (np.asarray(ordered[place].position_lps_mm, dtype=np.float64) for place in (0, -1))
    affine[:3, 2] = (last - first) / (len(ordered) - 1)
    return np.asarray(LPS_TO_RAS @ affine)
