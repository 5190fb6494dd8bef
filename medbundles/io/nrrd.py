"""NRRD headers (``.nrrd`` with its voxels inside)."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import numpy.typing as npt

from medbundles.errors import DataError
from medbundles.io.headers import ImageHeader, cut_short, ras_affine, unreadable

TYPES = {
    "i1": ("signed char", "int8", "int8_t"),
    "u1": ("uchar", "unsigned char", "uint8", "uint8_t"),
    "i2": ("short", "short int", "signed short", "signed short int", "int16", "int16_t"),
    "u2": ("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"),
    "i4": ("int", "signed int", "int32", "int32_t"),
    "u4": ("uint", "unsigned int", "uint32", "uint32_t"),
    "i8": ("longlong", "long long", "long long int", "signed long long", "int64", "int64_t"),
    "u8": ("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"),
    "f4": ("float",),
    "f8": ("double",),
}
# What turns each named space into LPS; spaces without anatomy are read as LPS, as ITK does.
TO_LPS = {
    "right-anterior-superior": (-1.0, -1.0, 1.0),
    "ras": (-1.0, -1.0, 1.0),
    "left-anterior-superior": (1.0, -1.0, 1.0),
    "las": (1.0, -1.0, 1.0),
}
HEADER_LIMIT_BYTES = 1 << 16


def read_nrrd_header(path: Path) -> ImageHeader:
    """Read the header of a ``.nrrd`` and compare the length of raw voxels with it.

    Raises:
        DataError: not an NRRD header, or cut short (NII001).
    """
    with path.open("rb") as handle:
        block = handle.read(HEADER_LIMIT_BYTES)
    if not block.startswith(b"NRRD"):
        message = f"not an NRRD file: expected the first bytes NRRD, found {block[:8]!r} ({path.stat().st_size} bytes)"
        raise DataError(findings=[unreadable(path, message)])
    end = re.search(rb"\r?\n\r?\n", block)
    lines = block[: end.start() if end else None].decode("utf-8", errors="replace").splitlines()
    pairs = (line.split(":", 1) for line in lines[1:] if ":" in line and not line.startswith("#"))
    fields = {key.strip().lower(): value.lstrip("=").strip() for key, value in pairs}
    try:
        header = _image_header(path, fields)
    except (KeyError, ValueError, IndexError, StopIteration) as error:
        message = f"not an NRRD header: {error!s} is missing or damaged ({path.stat().st_size} bytes)"
        raise DataError(findings=[unreadable(path, message)]) from error
    detached = "data file" in fields or "datafile" in fields
    found = path.stat().st_size - (end.end() if end else path.stat().st_size)
    if not detached and found < (header.data_bytes if fields.get("encoding") == "raw" else 1):
        raise cut_short(path, header.data_bytes, found)
    return header


def _image_header(path: Path, fields: dict[str, str]) -> ImageHeader:
    shape = tuple(int(part) for part in fields["sizes"].split())
    if len(shape) != int(fields["dimension"]) or min(shape) < 1:
        raise ValueError(f"sizes {fields['sizes']}")
    code = next(code for code, names in TYPES.items() if fields["type"].lower() in names)
    vectors = [_vector(text) for text in re.findall(r"\([^)]*\)", fields.get("space directions", ""))]
    if not vectors:
        steps = [float(part) for part in fields.get("spacings", " ".join("1" * len(shape))).split()[:3]]
        vectors = [step * row for step, row in zip(steps, np.eye(3), strict=False)]
    columns = np.array(vectors[:3])
    spacing = np.linalg.norm(columns, axis=1)
    origin = _vector(fields["space origin"]) if "space origin" in fields else np.zeros(3)
    flip = np.array(TO_LPS.get(fields.get("space", "").lower(), (1.0, 1.0, 1.0)))
    unit = columns / np.where(spacing > 0, spacing, 1.0)[:, None]
    return ImageHeader(
        name=path.name,
        shape=shape,
        dtype=np.dtype(code),
        zooms=tuple(spacing.tolist()),
        affine=ras_affine(unit * flip, spacing, origin * flip),
    )


def _vector(text: str) -> npt.NDArray[np.float64]:
    values = [float(part) for part in text.strip("() ").split(",")]
    return np.array([*values, 0.0, 0.0][:3])
