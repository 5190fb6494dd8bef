"""MetaImage pairs (.mhd and .raw) with the header fields of LUNA16's files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from medbundles.io.atomic import atomic_path, write_text


def write_metaimage(
    header: Path, array: npt.NDArray[np.int16], spacing_mm: Sequence[float], offset_lps_mm: Sequence[float]
) -> None:
    """Write an axial scan as ``NAME.mhd`` and ``NAME.raw``; the header comes last, so it never lacks its data.

    Args:
        header: target ending in ``.mhd``.
        array: ``(z, y, x)`` int16 HU; x runs to the patient's left, y to the back, z to the head.
        spacing_mm: ``(x, y, z)`` distance between voxels.
        offset_lps_mm: ``(x, y, z)`` center of the first voxel.
    """
    data = header.with_suffix(".raw")
    with atomic_path(data) as temporary:
        np.ascontiguousarray(array, dtype="<i2").tofile(temporary)
    fields = {
        "ObjectType": "Image",
        "NDims": "3",
        "BinaryData": "True",
        "BinaryDataByteOrderMSB": "False",
        "CompressedData": "False",
        "TransformMatrix": "1 0 0 0 1 0 0 0 1",
        "Offset": _words(offset_lps_mm),
        "CenterOfRotation": "0 0 0",
        "AnatomicalOrientation": "RAI",
        "ElementSpacing": _words(spacing_mm),
        "DimSize": _words(array.shape[::-1]),
        "ElementType": "MET_SHORT",
        "ElementDataFile": data.name,
    }
    write_text(header, "".join(f"{key} = {value}\n" for key, value in fields.items()))


def _words(values: Sequence[float]) -> str:
    return " ".join(f"{value:.10g}" for value in values)
