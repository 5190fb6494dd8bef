"""Volumes with their world coordinates: NIfTI through nibabel, MetaImage and NRRD through ITK.

World coordinates are RAS+ millimetres (see :mod:`medbundles.io.grids`, whose names are offered here as well).
"""

from __future__ import annotations

import gzip
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medbundles.errors import DataError
from medbundles.io.atomic import atomic_path
from medbundles.io.grids import (
    CORNER_TOLERANCE_VOXELS,
    IMAGE_SUFFIXES,
    ITK_SUFFIXES,
    LPS_TO_RAS,
    NIFTI_SUFFIXES,
    Affine,
    case_name,
    corner_displacement_voxels,
    flip_lps,
    has_image_suffix,
    spacing_of,
    to_index,
    to_world,
    voxel_volume_mm3,
)
from medbundles.io.headers import Geometry, ImageHeader, choose_affine, cut_short, read_header, unreadable
from medbundles.io.metaimage import read_metaimage_voxels
from medbundles.io.nifti_header import BROKEN_STREAM, CHUNK_BYTES, NIFTI1_BYTES, count_bytes

__all__ = [
    "CORNER_TOLERANCE_VOXELS",
    "IMAGE_SUFFIXES",
    "ITK_SUFFIXES",
    "LPS_TO_RAS",
    "NIFTI_SUFFIXES",
    "Affine",
    "Volume",
    "case_name",
    "corner_displacement_voxels",
    "flip_lps",
    "has_image_suffix",
    "read_volume",
    "spacing_of",
    "to_index",
    "to_world",
    "voxel_volume_mm3",
    "write_volume",
]


@dataclass(frozen=True)
class Volume:
    """A 3D array with its world coordinates.

    Attributes:
        array: voxels ``(H, W, D)`` in the file's own order, first axis first.
        affine: 4x4, voxel index to RAS+ mm.
    """

    array: npt.NDArray[Any]
    affine: Affine

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Voxel edge lengths in mm along the array's axes."""
        return spacing_of(self.affine)


def read_volume(
    path: str | os.PathLike[str], dtype: npt.DTypeLike | None = None, geometry: Geometry | None = None
) -> Volume:
    """Read a volume with its RAS+ affine.

    Integer files without scaling keep their integer type; trailing axes of length one are dropped.

    Args:
        path: ``.nii .nii.gz .mhd .mha .nrrd``.
        dtype: convert to this type; the default keeps the stored one.
        geometry: which NIfTI form counts where sform and qform disagree; None refuses such a file.

    Raises:
        DataError: the file is absent (NII016), cannot be read (NII001, LUN001; with the expected and found number of
            bytes), has a voxel size of zero (NII003) or contradicts itself about its place (NII005).
    """
    file = Path(path)
    header = read_header(file)
    affine = choose_affine(header, geometry)
    array = _read_voxels(file, header)
    array = array.reshape(header.grid_shape, order="A")
    return Volume(array if dtype is None else array.astype(dtype, copy=False), affine)


def _read_voxels(path: Path, header: ImageHeader) -> npt.NDArray[Any]:
    name = path.name.lower()
    if name.endswith(NIFTI_SUFFIXES):
        return _read_nifti(path, header)
    voxels = None if name.endswith(".nrrd") else read_metaimage_voxels(path, header)
    return _read_itk(path, header) if voxels is None else voxels


def _read_nifti(path: Path, header: ImageHeader) -> npt.NDArray[Any]:
    import nibabel

    kind = nibabel.nifti1.Nifti1Image if _is_nifti1(path) else nibabel.nifti2.Nifti2Image
    compressed = path.name.lower().endswith(".gz")
    try:
        with gzip.open(path) if compressed else path.open("rb") as stream:
            image = kind.from_stream(stream)
            array = image.get_fdata(dtype=np.float32) if header.scaled else np.asanyarray(image.dataobj)
            while compressed and stream.read(CHUNK_BYTES):  # gzip compares its checksum at the very end
                pass
    except BROKEN_STREAM as error:
        found = count_bytes(path)
        if found < header.data_bytes:
            raise cut_short(path, header.data_bytes, found) from error
        raise DataError(findings=[unreadable(path, f"damaged inside: {error} ({found} bytes found)")]) from error
    return np.asarray(array)


def _is_nifti1(path: Path) -> bool:
    with gzip.open(path) if path.name.lower().endswith(".gz") else path.open("rb") as stream:
        start = stream.read(4)
    return NIFTI1_BYTES in (int.from_bytes(start, "little"), int.from_bytes(start, "big"))


def _read_itk(path: Path, header: ImageHeader) -> npt.NDArray[Any]:
    import itk

    try:
        image = itk.imread(str(path))
    except RuntimeError as error:
        message = (
            f"ITK cannot read it: expected {header.data_bytes} bytes of voxels, found {path.stat().st_size} in all"
        )
        raise DataError(findings=[unreadable(path, message)]) from error
    array = np.asarray(itk.array_from_image(image))
    # ITK's arrays are (z, y, x).
    return np.ascontiguousarray(array.transpose(range(array.ndim - 1, -1, -1)))


def write_volume(
    path: str | os.PathLike[str], array: npt.NDArray[Any], affine: Affine, overwrite: bool = True, compression: int = 1
) -> None:
    """Write a NIfTI file atomically with sform and qform set to the same RAS+ grid.

    Args:
        path: target ending in ``.nii`` or ``.nii.gz``.
        array: voxels ``(H, W, D)``; the stored type is the array's.
        affine: 4x4, voxel index to RAS+ mm.
        overwrite: whether an existing file may be replaced.
        compression: gzip level; 1 is four times faster than the usual 6 and a few percent larger.
    """
    import nibabel

    image = nibabel.nifti1.Nifti1Image(array, np.asarray(affine, dtype=np.float64))
    image.set_sform(affine, code=1)
    image.set_qform(affine, code=1)
    # A sheared grid has no qform, and a rotation close to a half turn loses precision in its quaternion: where the two
    # forms would disagree, the file has an sform only.
    moved = corner_displacement_voxels(np.asarray(affine, dtype=np.float64), image.get_qform(), array.shape)
    if moved > CORNER_TOLERANCE_VOXELS / 10:
        image.set_qform(affine, code=0)
    image.header.set_xyzt_units("mm")
    if str(path).endswith(".gz"):
        _save_compressed(path, image, overwrite, compression)
        return
    with atomic_path(path, overwrite) as temporary:
        nibabel.save(image, temporary)


def _save_compressed(path: str | os.PathLike[str], image: Any, overwrite: bool, compression: int) -> None:
    # A fixed time stamp and no name: the same voxels give the same bytes.
    with (
        atomic_path(path, overwrite) as temporary,
        temporary.open("wb") as raw,
        gzip.GzipFile(filename="", mode="wb", fileobj=raw, compresslevel=compression, mtime=0) as stream,
    ):
        image.to_stream(stream)
