"""What scanners and registrations do along each axis, as matrices ``(n, n)``: steps along one axis are one product."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from medbundles.samples.tumor.fields import Floats

Matrix = npt.NDArray[np.float32]

# Standard deviation of a slice's profile relative to its thickness.
PROFILE = 1 / 2.8


def blurred(size: int, sigma: float) -> Matrix:
    """Return what a Gaussian of this standard deviation (voxels) does to ``size`` voxels in a row."""
    return np.asarray(ndimage.gaussian_filter1d(np.eye(size), sigma, axis=0), np.float32)


def thick_slices(size: int, slice_voxels: float) -> Matrix:
    """Return what it does to acquire slices so thick and to interpolate them back."""
    count = max(2, round(size / slice_voxels))
    thick = ndimage.gaussian_filter1d(np.eye(size), slice_voxels * PROFILE, axis=0)
    slices = ndimage.zoom(thick, (count / size, 1), order=1)
    return np.asarray(ndimage.zoom(slices, (size / count, 1), order=1), np.float32)


def truncated(size: int, kept: float) -> Matrix:
    """Return what it does to acquire only this share of spatial frequencies, the lowest: edges ring."""
    spectrum = np.fft.rfft(np.eye(size), axis=0)
    spectrum[int(np.ceil(kept * len(spectrum))) :] = 0
    return np.asarray(np.fft.irfft(spectrum, n=size, axis=0), np.float32)


def shifted(size: int, voxels: float) -> Matrix:
    """Return what a move by less than a voxel does, with linear interpolation, which blurs."""
    unmoved = np.eye(size)
    neighbor = np.eye(size, k=-1 if voxels > 0 else 1)
    return np.asarray((1 - abs(voxels)) * unmoved + abs(voxels) * neighbor, np.float32)


def along_axes(image: Floats, matrices: Sequence[Matrix]) -> npt.NDArray[np.float32]:
    """Return an image ``(x, y, z)`` after one matrix an axis."""
    first, second, third = matrices
    image = np.asarray(image, np.float32)
    image = (first @ image.reshape(len(image), -1)).reshape(image.shape)
    return np.asarray(np.matmul(second, image) @ third.T, np.float32)
