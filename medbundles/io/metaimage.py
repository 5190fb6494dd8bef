"""MetaImage headers (``.mhd`` with a raw file, ``.mha`` in one), the format of LUNA16."""

from __future__ import annotations

import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medbundles.errors import DataError, Finding
from medbundles.io.headers import ImageHeader, cut_short, ras_affine, unreadable

ELEMENT_TYPES = {
    "MET_CHAR": "i1",
    "MET_UCHAR": "u1",
    "MET_SHORT": "i2",
    "MET_USHORT": "u2",
    "MET_INT": "i4",
    "MET_UINT": "u4",
    "MET_LONG": "i4",
    "MET_ULONG": "u4",
    "MET_LONG_LONG": "i8",
    "MET_ULONG_LONG": "u8",
    "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}
# The header of an .mha is text in front of the voxels; no real one is longer than this.
HEADER_LIMIT_BYTES = 1 << 16


def read_metaimage_header(path: Path) -> ImageHeader:
    """Read the header of an ``.mhd`` or ``.mha`` and compare the length of its voxels with it.

    Raises:
        DataError: not a MetaImage header or cut short (NII001); raw file missing or too short (LUN001).
    """
    fields, length = _fields(path)
    try:
        header = _image_header(path, fields)
    except (KeyError, ValueError, IndexError) as error:
        message = f"not a MetaImage header: {error!s} is missing or damaged ({path.stat().st_size} bytes)"
        raise DataError(findings=[unreadable(path, message)]) from error
    _refuse_short(path, fields, header.data_bytes, length)
    return header


def raw_file(path: Path) -> Path | None:
    """Return the file that holds an ``.mhd``'s voxels; None where they are in the file itself or in several."""
    name = _fields(path)[0].get("ElementDataFile", "LOCAL")
    return None if name.upper() == "LOCAL" or name.upper().startswith("LIST") or "%" in name else path.parent / name


def read_metaimage_voxels(path: Path, header: ImageHeader) -> npt.NDArray[Any] | None:
    """Read the voxels of a MetaImage without ITK, whose first image costs seconds.

    Args:
        path: the ``.mhd`` or ``.mha``.
        header: its header.

    Returns:
        Voxels ``(H, W, D)``, first axis fastest in memory; ``None`` for the rare forms that are left to ITK: several
        files, several numbers a voxel, voxels as text.

    Raises:
        DataError: the compressed voxels are damaged (NII001).
    """
    fields, length = _fields(path)
    name = fields["ElementDataFile"].upper()
    raw = path if name == "LOCAL" else raw_file(path)
    if raw is None or fields.get("BinaryData", "True").lower() != "true" or "ElementNumberOfChannels" in fields:
        return None
    start = length if name == "LOCAL" else int(fields.get("HeaderSize", "0"))
    if start < 0:  # MetaIO: the voxels are what the file ends with
        start = raw.stat().st_size - header.data_bytes
    big = fields.get("BinaryDataByteOrderMSB", fields.get("ElementByteOrderMSB", "False")).lower() == "true"
    dtype = header.dtype.newbyteorder(">" if big else "<")
    if fields.get("CompressedData", "False").lower() == "true":
        voxels = np.frombuffer(_decompress(path, raw, start, header.data_bytes), dtype)
    else:
        voxels = np.fromfile(raw, dtype, count=math.prod(header.shape), offset=start)
    return voxels.astype(header.dtype, copy=False).reshape(header.shape, order="F")


def _decompress(path: Path, raw: Path, start: int, expected: int) -> bytes:
    with raw.open("rb") as handle:
        handle.seek(start)
        try:
            voxels = zlib.decompressobj().decompress(handle.read(), expected)
        except zlib.error as error:
            raise DataError(findings=[unreadable(path, f"damaged inside: {error}")]) from error
    if len(voxels) < expected:
        raise cut_short(path, expected, len(voxels))
    return voxels


def _fields(path: Path) -> tuple[dict[str, str], int]:
    fields: dict[str, str] = {}
    with path.open("rb") as handle:
        block = handle.read(HEADER_LIMIT_BYTES)
    position = 0
    for line in block.splitlines(keepends=True):
        position += len(line)
        key, equals, value = line.decode("utf-8", errors="replace").partition("=")
        if equals:
            fields[key.strip()] = value.strip()
        if key.strip() == "ElementDataFile":  # by definition the last line
            break
    return fields, position


def _numbers(fields: dict[str, str], *names: str, default: npt.ArrayLike) -> npt.NDArray[np.float64]:
    for name in names:
        if name in fields:
            return np.array([float(part) for part in fields[name].split()])
    return np.asarray(default, dtype=np.float64)


def _image_header(path: Path, fields: dict[str, str]) -> ImageHeader:
    axes = int(fields["NDims"])
    shape = tuple(int(part) for part in fields["DimSize"].split())
    if len(shape) != axes or min(shape) < 1:
        raise ValueError(f"DimSize {fields['DimSize']}")
    channels = int(fields.get("ElementNumberOfChannels", "1"))
    spacing = _numbers(fields, "ElementSpacing", "ElementSize", default=np.ones(axes))
    rotation = _numbers(fields, "TransformMatrix", "Rotation", "Orientation", default=np.eye(axes).ravel())
    origin = _numbers(fields, "Offset", "Position", "Origin", default=np.zeros(axes))
    spatial = min(axes, 3)
    directions, position = np.zeros((spatial, 3)), np.zeros(3)
    # MetaIO lists the direction of one array axis after the other: a row here is a column of ITK's matrix.
    directions[:, :spatial] = rotation.reshape(axes, axes)[:spatial, :spatial]
    position[:spatial] = origin[:spatial]
    return ImageHeader(
        name=path.name,
        shape=(*shape, channels) if channels > 1 else shape,
        dtype=np.dtype(ELEMENT_TYPES[fields["ElementType"]]),
        zooms=tuple(spacing[:3].tolist()),
        affine=ras_affine(directions, spacing[:spatial], position),
    )


def _refuse_short(path: Path, fields: dict[str, str], expected: int, header_bytes: int) -> None:
    compressed = fields.get("CompressedData", "False").lower() == "true"
    if compressed:
        expected = int(fields.get("CompressedDataSize", "1"))
    if fields["ElementDataFile"].upper() == "LOCAL":
        found = path.stat().st_size - header_bytes
        if found < expected:
            raise cut_short(path, expected, found)
        return
    raw = raw_file(path)
    if raw is None:
        return
    if not raw.is_file():
        fix = f"copy {raw.name} beside {path.name}"
        message = f"its raw file {raw.name} is missing: expected {expected} bytes, found none"
        raise DataError(findings=[Finding("LUN001", "error", message, fix, file=path.name)])
    found = raw.stat().st_size - max(int(fields.get("HeaderSize", "0")), 0)
    if found < expected:
        message = f"its raw file {raw.name} is too short: expected {expected} bytes, found {found}"
        raise DataError(findings=[unreadable(path, message, "LUN001")])
