"""NIfTI headers: read with every stored value kept, and compared with the length of the file."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from medbundles.errors import DataError
from medbundles.io.headers import ImageHeader, cut_short, unreadable

GZIP_MAGIC = b"\x1f\x8b"
NIFTI1_BYTES, NIFTI2_BYTES = 348, 540
CHUNK_BYTES = 1 << 20
BROKEN_STREAM = (EOFError, zlib.error, gzip.BadGzipFile)

# A NIfTI-1 qform stores three of a unit quaternion's four numbers in single precision. The fourth, a, follows from
# them with a resolution of about eps / a, and readers set it to 0 below sqrt(3 eps): near half turns (which is what
# turns LPS into RAS) the stored rotation is therefore known to a milliradian only. Twice that is an angle.
QUATERNION_EPSILON = 3 * float(np.finfo(np.float32).eps)


def read_nifti_header(path: Path) -> ImageHeader:
    """Read the header of a ``.nii`` or ``.nii.gz`` and compare the file's length with it.

    Raises:
        DataError: NII001, with the expected and the found bytes.
    """
    from nibabel.spatialimages import HeaderDataError

    header = _parse(path, _first_bytes(path))
    try:
        parsed = _image_header(path, header)
    # An unknown data type is a KeyError in nibabel.
    except (HeaderDataError, KeyError, ValueError, OverflowError) as error:
        raise DataError(findings=[unreadable(path, f"the NIfTI header is damaged: {error}")]) from error
    if not parsed.shape or min(parsed.shape) < 1:
        raise DataError(findings=[unreadable(path, f"the header declares {parsed.shape} voxels")])
    _refuse_short(path, int(header["vox_offset"]) + parsed.data_bytes)
    return parsed


def _first_bytes(path: Path) -> bytes:
    with path.open("rb") as handle:
        start = handle.read(NIFTI2_BYTES)
    if not path.name.lower().endswith(".gz"):
        return start
    if start[:2] != GZIP_MAGIC:
        message = (
            f"not a gzip file: expected the first bytes 1f 8b, found {start[:4].hex(' ')} ({path.stat().st_size} bytes)"
        )
        raise DataError(findings=[unreadable(path, message)])
    try:
        with gzip.open(path) as stream:
            return stream.read(NIFTI2_BYTES)
    except BROKEN_STREAM as error:
        message = f"cut short inside its header: expected {NIFTI1_BYTES} bytes or more, found {count_bytes(path)}"
        raise DataError(findings=[unreadable(path, message)]) from error


def _parse(path: Path, start: bytes) -> Any:
    import nibabel

    kinds: tuple[tuple[Any, int], ...] = (
        (nibabel.nifti1.Nifti1Header, NIFTI1_BYTES),
        (nibabel.nifti2.Nifti2Header, NIFTI2_BYTES),
    )
    for kind, length in kinds:
        sizes = {int.from_bytes(start[:4], "little"), int.from_bytes(start[:4], "big")}
        if length in sizes and len(start) >= length:
            return kind(start[:length], check=False)
    message = (
        f"not a NIfTI file: expected a header of {NIFTI1_BYTES} bytes, found {start[:12]!r} ({len(start)} bytes read)"
    )
    raise DataError(findings=[unreadable(path, message)])


def _image_header(path: Path, header: Any) -> ImageHeader:
    shape = tuple(int(size) for size in header.get_data_shape())
    slope, intercept = header.get_slope_inter()
    sform_code, qform_code = int(header["sform_code"]), int(header["qform_code"])
    usable = header.copy()
    zooms = tuple(float(zoom) for zoom in header["pixdim"][1:4])
    # The affine of a header with a zero is computed with ones, as readers do; the stored zooms keep the zero.
    usable["pixdim"][1:4] = [abs(zoom) if np.isfinite(zoom) and zoom != 0 else 1.0 for zoom in zooms]
    qform = np.asarray(usable.get_qform(), dtype=np.float64) if qform_code else None
    last = float(header.get_qform_quaternion()[0]) if qform_code else 1.0
    return ImageHeader(
        name=path.name,
        shape=shape,
        dtype=header.get_data_dtype(),
        zooms=zooms,
        affine=np.asarray(usable.get_best_affine(), dtype=np.float64),
        sform_affine=np.asarray(header.get_sform(), dtype=np.float64) if sform_code else None,
        qform_affine=qform,
        sform_code=sform_code,
        qform_code=qform_code,
        qform_precision_rad=2 * min(QUATERNION_EPSILON / max(last, 1e-9), QUATERNION_EPSILON**0.5),
        slope=slope,
        intercept=intercept,
    )


def _refuse_short(path: Path, expected: int) -> None:
    found = path.stat().st_size
    if path.name.lower().endswith(".gz"):
        with path.open("rb") as handle:
            handle.seek(-4, 2)
            declared = int.from_bytes(handle.read(4), "little")
        # The last four bytes of a gzip file are its length modulo 2**32. A mismatch may have harmless reasons (several
        # members, padding), so only the slow count decides.
        if declared == expected % 2**32:
            return
        found = count_bytes(path)
    if found < expected:
        raise cut_short(path, expected, found)


def count_bytes(path: Path) -> int:
    """Return how many bytes of a gzip file can be decompressed."""
    total = 0
    try:
        with gzip.open(path) as stream:
            while chunk := stream.read1(CHUNK_BYTES):
                total += len(chunk)
    except BROKEN_STREAM:
        pass
    return total
