"""Volumes with their world coordinates: NIfTI through nibabel, MetaImage and NRRD through ITK.

World coordinates are RAS+ millimetres everywhere in this package (x to the patient's right, as in NIfTI); LPS is only
used where a file format or a table demands it, and then its name says so.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medbundles.errors import DataError, Finding
from medbundles.io.atomic import atomic_path

NIFTI_SUFFIXES = (".nii.gz", ".nii")
ITK_SUFFIXES = (".mhd", ".mha", ".nrrd")
IMAGE_SUFFIXES = NIFTI_SUFFIXES + ITK_SUFFIXES

# Two grids are the same when no corner of the volume moves by more than a tenth of a voxel: below that, resampling
# would change nothing that matters; above it, thin structures shift visibly. Never compared element by element: a
# direction cosine that is off by 1e-3 moves the far corner of a 512-voxel axis by half a voxel.
CORNER_TOLERANCE_VOXELS = 0.1

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])

Affine = npt.NDArray[np.float64]


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


def has_image_suffix(path: str | os.PathLike[str]) -> bool:
    """Tell whether a file name ends like a volume this package reads."""
    return Path(path).name.lower().endswith(IMAGE_SUFFIXES)


def case_name(path: str | os.PathLike[str]) -> str:
    """Return a file's name without its image suffix (``a.b.nii.gz`` -> ``a.b``)."""
    name = Path(path).name
    for suffix in IMAGE_SUFFIXES:
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return Path(name).stem


def spacing_of(affine: Affine) -> tuple[float, float, float]:
    """Return the voxel edge lengths in mm of a 4x4 affine."""
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    return float(lengths[0]), float(lengths[1]), float(lengths[2])


def voxel_volume_mm3(affine: Affine) -> float:
    """Return the volume of one voxel in cubic millimetres."""
    return float(abs(np.linalg.det(affine[:3, :3])))


def to_world(affine: Affine, index: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Map voxel indices ``(..., 3)`` to RAS+ mm; integers are voxel centres."""
    points = np.asarray(index, dtype=np.float64)
    return np.asarray(points @ affine[:3, :3].T + affine[:3, 3])


def to_index(affine: Affine, world: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Map RAS+ mm ``(..., 3)`` to fractional voxel indices (exact inverse of :func:`to_world`)."""
    points = np.asarray(world, dtype=np.float64) - affine[:3, 3]
    return np.asarray(np.linalg.solve(affine[:3, :3], points.reshape(-1, 3).T).T.reshape(points.shape))


def flip_lps(points: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Convert points ``(..., 3)`` between LPS and RAS (the same operation both ways)."""
    return np.asarray(points, dtype=np.float64) * np.array([-1.0, -1.0, 1.0])


def corner_displacement_voxels(first: Affine, second: Affine, shape: Sequence[int]) -> float:
    """Return how far the corners of a grid move between two affines, in units of the smallest voxel edge."""
    corners = np.array(list(itertools.product(*[(0, max(size - 1, 0)) for size in shape[:3]])), dtype=np.float64)
    distance = np.linalg.norm(to_world(first, corners) - to_world(second, corners), axis=1).max()
    return float(distance / min(spacing_of(first)))


def read_volume(path: str | os.PathLike[str], dtype: npt.DTypeLike | None = None) -> Volume:
    """Read a volume with its RAS+ affine.

    Integer files without scaling keep their integer type; trailing axes of length one are dropped.

    Args:
        path: ``.nii .nii.gz .mhd .mha .nrrd``.
        dtype: convert to this type; the default keeps the stored one.

    Raises:
        DataError: the file cannot be read (NII001, LUN001) with the expected and found number of bytes.
    """
    from medbundles.io.headers import refuse_unreadable

    file = Path(path)
    refuse_unreadable(file)
    volume = _read_nifti(file) if file.name.lower().endswith(NIFTI_SUFFIXES) else _read_itk(file)
    array = volume.array
    while array.ndim > 3 and array.shape[-1] == 1:
        array = array[..., 0]
    if dtype is not None:
        array = array.astype(dtype, copy=False)
    return Volume(array, volume.affine)


def _read_nifti(path: Path) -> Volume:
    import nibabel

    image = nibabel.nifti1.Nifti1Image.from_filename(path)
    slope, intercept = image.header.get_slope_inter()
    unscaled = slope in (None, 1.0) and intercept in (None, 0.0)
    array = np.asanyarray(image.dataobj) if unscaled else image.get_fdata(dtype=np.float32)
    return Volume(np.asarray(array), np.asarray(image.affine, dtype=np.float64))


def _read_itk(path: Path) -> Volume:
    import itk

    try:
        image = itk.imread(str(path))
    except RuntimeError as error:
        raise DataError(findings=[unreadable(path, "ITK cannot read it")]) from error
    array = np.asarray(itk.array_from_image(image))
    axes = int(image.GetImageDimension())
    direction = np.asarray(itk.array_from_matrix(image.GetDirection()), dtype=np.float64)
    spacing = np.asarray(list(image.GetSpacing()), dtype=np.float64)
    affine = np.eye(4)
    affine[:axes, :axes] = direction * spacing
    affine[:axes, 3] = np.asarray(list(image.GetOrigin()), dtype=np.float64)
    # ITK's arrays are (z, y, x); its world is LPS.
    return Volume(np.ascontiguousarray(array.transpose(range(array.ndim - 1, -1, -1))), LPS_TO_RAS @ affine)


def unreadable(path: Path, why: str) -> Finding:
    """Return the finding for a file that is not what its name says (NII001)."""
    return Finding("NII001", "error", why, "copy the file again from its source", file=path.name)


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
    # Sheared grids have no qform; nibabel would store the nearest rotation and the two would disagree.
    sheared = not np.allclose(np.asarray(image.get_qform()), affine, atol=1e-3)
    image.set_qform(affine, code=0 if sheared else 1)
    image.header.set_xyzt_units("mm")
    if str(path).endswith(".gz"):
        _save_compressed(path, image, overwrite, compression)
        return
    with atomic_path(path, overwrite) as temporary:
        nibabel.save(image, temporary)


def _save_compressed(path: str | os.PathLike[str], image: Any, overwrite: bool, compression: int) -> None:
    import gzip

    with atomic_path(path, overwrite) as temporary, temporary.open("wb") as raw:
        # A fixed time stamp and no name: the same voxels give the same bytes.
        with gzip.GzipFile(filename="", mode="wb", fileobj=raw, compresslevel=compression, mtime=0) as stream:
            image.to_stream(stream)
