"""The pixels of a DICOM series as one volume in the modality's own units (CT: HU)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from medbundles.errors import DataError, EnvironmentFailure, Finding
from medbundles.io.dicom import SliceHeader
from medbundles.io.dicom_grid import series_affine
from medbundles.io.images import Volume

# What a scanner writes where it measured nothing lies below the HU of air; it becomes air, the usual lowest number of
# a CT. Padding with a number that tissue may have is left alone: nobody could tell it from tissue.
PADDING_HU = -1024
NO_CODEC = "pip install 'medbundles[dicom]', or decompress the files (gdcmconv --raw)"


def read_series(ordered: Sequence[SliceHeader]) -> tuple[Volume, float]:
    """Read the pixels of a series.

    Args:
        ordered: slices of one grid, sorted and without gaps (:func:`medbundles.checks.dicom.check_series`).

    Returns:
        The volume, ``(columns, rows, slices)``, int16 where its values fit and else a wider type; and the share of
        voxels that were padding and became air (CT only).

    Raises:
        DataError: pixels that are cut short or cannot be decoded (DCM007).
        EnvironmentFailure: pixels in a compression that nothing here can read (DCM009).
    """
    planes, padded = [], 0
    for header in ordered:
        stored = read_stored(header)
        plane = rescale(stored, header)
        padding = find_padding(stored, header)
        if padding is not None:
            plane[padding] = PADDING_HU
            padded += int(np.count_nonzero(padding))
        planes.append(_narrow(plane))
    # Pixels come as (row, column); the volume's first axis runs along a row.
    array = np.stack([plane.T for plane in planes], axis=-1)
    return Volume(array, series_affine(ordered)), padded / max(array.size, 1)


def read_stored(header: SliceHeader) -> npt.NDArray[Any]:
    """Read the numbers that one file stores, ``(rows, columns)``.

    Raises:
        DataError: they are cut short or cannot be decoded (DCM007).
        EnvironmentFailure: their compression needs a library that is not installed (DCM009).
    """
    import pydicom

    if not can_decode(header.transfer_syntax):
        raise EnvironmentFailure(findings=[no_codec(header)])
    try:
        array = np.asarray(pydicom.dcmread(header.path).pixel_array)
    except MemoryError:
        raise  # of the machine, not of the file
    except Exception as error:  # damaged bytes surface as almost any exception in pydicom
        message = f"the pixels cannot be read: {error}"
        fix = "copy the file again from its source"
        raise DataError(
            findings=[Finding("DCM007", "error", message, fix, header.series_uid, header.path.name)]
        ) from error
    return array


def can_decode(transfer_syntax: str) -> bool:
    """Tell whether pixels stored this way can be read with what is installed."""
    from pydicom.pixels.decoders.base import get_decoder
    from pydicom.uid import UID

    uid = UID(transfer_syntax)
    # A file that does not say is read as DICOM's default, which is not compressed.
    if not transfer_syntax or (uid.is_transfer_syntax and not uid.is_compressed):
        return True
    try:
        return bool(get_decoder(uid).is_available)
    except NotImplementedError:
        return False


def no_codec(header: SliceHeader) -> Finding:
    """DCM009: the finding for a compression that nothing here can read."""
    from pydicom.uid import UID

    message = f"pixels compressed as {UID(header.transfer_syntax).name}, for which no decoder is installed"
    return Finding("DCM009", "error", message, NO_CODEC, header.series_uid, header.path.name)


def rescale(stored: npt.NDArray[Any], header: SliceHeader) -> npt.NDArray[Any]:
    """Turn stored numbers into the modality's units: int32 where slope and intercept are whole, else float32."""
    slope = 1.0 if header.slope is None else header.slope
    intercept = 0.0 if header.intercept is None else header.intercept
    if slope.is_integer() and intercept.is_integer():
        return stored.astype(np.int32) * np.int32(slope) + np.int32(intercept)
    return stored.astype(np.float32) * np.float32(slope) + np.float32(intercept)


def find_padding(stored: npt.NDArray[Any], header: SliceHeader) -> npt.NDArray[np.bool_] | None:
    """Return where a CT slice holds padding that is darker than air; None where it declares none."""
    if header.modality != "CT" or header.padding is None:
        return None
    low, high = header.padding
    if high * (header.slope or 1.0) + (header.intercept or 0.0) >= PADDING_HU:
        return None
    return np.asarray((stored >= low) & (stored <= high))


def _narrow(plane: npt.NDArray[Any]) -> npt.NDArray[Any]:
    limits = np.iinfo(np.int16)
    if plane.dtype.kind == "i" and plane.min(initial=0) >= limits.min and plane.max(initial=0) <= limits.max:
        return plane.astype(np.int16)
    return plane
