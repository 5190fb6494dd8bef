"""What a volume's header says, read without its voxels, and whether the file can hold what the header promises."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from medbundles.errors import ConfigurationError, DataError, Finding
from medbundles.io.grids import (
    CORNER_TOLERANCE_VOXELS,
    NIFTI_SUFFIXES,
    Affine,
    corner_displacement_voxels,
    has_image_suffix,
    spacing_of,
)

Geometry = Literal["sform", "qform"]


@dataclass(frozen=True)
class ImageHeader:
    """A volume's header.

    Attributes:
        name: the file's name, for messages.
        shape: the stored array's axes, first axis first.
        dtype: the stored voxel type (before scaling).
        zooms: voxel edge lengths in mm of the first three axes exactly as stored; 0 is kept.
        affine: 4x4, voxel index to RAS+ mm: the sform where it is set, else the qform, else the voxel size alone.
        sform_affine: the NIfTI sform, None where it is not set or the format has none.
        qform_affine: the NIfTI qform, None where it is not set or the format has none.
        sform_code: NIfTI code, None for other formats.
        qform_code: NIfTI code, None for other formats.
        qform_precision_rad: the angle that the stored quaternion cannot resolve.
        slope: NIfTI ``scl_slope``, None where the voxels are stored as they are.
        intercept: NIfTI ``scl_inter``, None where the voxels are stored as they are.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    zooms: tuple[float, ...]
    affine: Affine
    sform_affine: Affine | None = None
    qform_affine: Affine | None = None
    sform_code: int | None = None
    qform_code: int | None = None
    qform_precision_rad: float = 0.0
    slope: float | None = None
    intercept: float | None = None

    @property
    def grid_shape(self) -> tuple[int, ...]:
        """The axes without trailing ones beyond the third, as :func:`medbundles.io.images.read_volume` returns them."""
        shape = self.shape
        while len(shape) > 3 and shape[-1] == 1:
            shape = shape[:-1]
        return shape

    @property
    def data_bytes(self) -> int:
        """How many bytes the voxels take in the file when they are not compressed."""
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def scaled(self) -> bool:
        """Whether stored and meant values differ (``scl_slope`` and ``scl_inter``)."""
        return (self.slope, self.intercept) not in ((None, None), (1.0, 0.0))

    @property
    def has_world(self) -> bool:
        """Whether the file says where the grid lies; a NIfTI file with both form codes 0 does not."""
        return self.sform_code is None or bool(self.sform_code or self.qform_code)


def read_header(path: str | os.PathLike[str]) -> ImageHeader:
    """Read a volume's header and prove that the file can hold its voxels, without reading them.

    Args:
        path: ``.nii .nii.gz .mhd .mha .nrrd``.

    Raises:
        DataError: the file is absent (NII016), is not what its name says or is cut short (NII001), or its raw file is
            missing or too short (LUN001); with the expected and the found number of bytes.
    """
    from medbundles.io.metaimage import read_metaimage_header
    from medbundles.io.nifti_header import read_nifti_header
    from medbundles.io.nrrd import read_nrrd_header

    file = Path(path)
    if not file.is_file():
        fix = "correct the path or copy the file there"
        raise DataError(findings=[Finding("NII016", "error", "the file does not exist", fix, file=file.name)])
    if not has_image_suffix(file):
        raise DataError(findings=[unreadable(file, "not a volume: expected .nii.gz, .nii, .mhd, .mha or .nrrd")])
    if file.stat().st_size == 0:
        raise DataError(findings=[unreadable(file, "the file is empty: expected a header, found 0 bytes")])
    name = file.name.lower()
    if name.endswith(NIFTI_SUFFIXES):
        return read_nifti_header(file)
    return read_nrrd_header(file) if name.endswith(".nrrd") else read_metaimage_header(file)


def refuse_unreadable(path: str | os.PathLike[str]) -> None:
    """Raise where :func:`read_header` would: a truncated, empty, renamed or absent file.

    A gzip stream is judged by the length that its last bytes declare; damage inside it shows when it is read.
    """
    read_header(path)


def unreadable(path: Path, why: str, code: str = "NII001") -> Finding:
    """Return the finding for a file that is not what its name says."""
    return Finding(code, "error", why, "copy the file again from its source", file=path.name)


def cut_short(path: Path, expected: int, found: int, code: str = "NII001") -> DataError:
    """Return the refusal of a file whose voxels are incomplete."""
    return DataError(findings=[unreadable(path, f"cut short: expected {expected} bytes, found {found}", code)])


def choose_affine(header: ImageHeader, geometry: Geometry | None = None) -> Affine:
    """Return the affine to use and refuse a header that contradicts itself.

    Args:
        header: a volume's header.
        geometry: which form counts where both are set and disagree; None refuses.

    Returns:
        4x4, voxel index to RAS+ mm.

    Raises:
        ConfigurationError: ``geometry`` is neither (CFG002): a misspelt one must not choose by accident.
        DataError: a voxel size of zero (NII003), or sform and qform place the volume differently (NII005).
    """
    if geometry not in (None, "sform", "qform"):
        message = f"geometry is {geometry!r}, it may be sform or qform"
        raise ConfigurationError(findings=[Finding("CFG002", "error", message, "correct --geometry")])
    findings = _spacing_findings(header)
    if findings:
        raise DataError(findings=findings)
    if geometry == "qform" and header.qform_affine is not None:
        return header.qform_affine
    if geometry is None:
        findings = _form_findings(header)
    if findings:
        raise DataError(findings=findings)
    return header.affine


def _spacing_findings(header: ImageHeader) -> list[Finding]:
    stored = header.zooms[: min(3, len(header.grid_shape))]
    usable = all(math.isfinite(zoom) and zoom != 0 for zoom in stored) and bool(np.isfinite(header.affine).all())
    if usable and min(spacing_of(header.affine)) > 0 and np.linalg.matrix_rank(header.affine[:3, :3]) == 3:
        return []
    size = " x ".join(f"{zoom:g}" for zoom in stored)
    if all(math.isfinite(zoom) and zoom != 0 for zoom in stored):
        lost = "holds NaN or infinite numbers" if not np.isfinite(header.affine).all() else "has dependent axes"
        message = f"the affine {lost} (voxel size {size} mm), expected three independent axes"
    else:
        message = f"the voxel size is {size} mm, expected three sizes above 0"
    return [Finding("NII003", "error", message, "set the true voxel size in the header", file=header.name)]


def _form_findings(header: ImageHeader) -> list[Finding]:
    """NII005: the two places where NIfTI stores geometry contradict each other, so programs disagree about the file."""
    if not header.sform_code or header.sform_affine is None:
        return []
    shape = header.grid_shape
    if header.qform_affine is not None:
        other, text = header.qform_affine, "sform and qform place the volume differently"
    else:
        # Without a qform, pixdim is all that remains of it, and some readers take the voxel size from there.
        lengths = np.array([abs(zoom) for zoom in header.zooms[:3]])
        other = header.sform_affine.copy()
        other[:3, :3] *= lengths / np.array(spacing_of(header.sform_affine))
        text = "sform and pixdim give different voxel sizes"
    moved = corner_displacement_voxels(header.sform_affine, other, shape) * min(spacing_of(header.sform_affine))
    edges = np.array([max(size - 1, 0) for size in (*shape[:3], 1, 1)[:3]]) * spacing_of(header.sform_affine)
    limit = CORNER_TOLERANCE_VOXELS * min(spacing_of(header.sform_affine))
    if moved <= limit + header.qform_precision_rad * float(np.linalg.norm(edges)):
        return []
    sizes = [" x ".join(f"{edge:.3g}" for edge in spacing_of(form)) for form in (header.sform_affine, other)]
    where = f"{moved:.1f} mm apart at the far corner, limit 0.1 voxel"
    message = f"{text}: {where} (voxel sizes {sizes[0]} and {sizes[1]} mm)"
    fix = "find out which one is right, then mend the header or say --geometry sform or --geometry qform"
    return [Finding("NII005", "error", message, fix, file=header.name)]


def ras_affine(
    directions: npt.NDArray[np.float64], spacing: npt.NDArray[np.float64], origin: npt.NDArray[np.float64]
) -> Affine:
    """Build a RAS+ affine from LPS parts as MetaImage and NRRD store them.

    Args:
        directions: ``(n, 3)``, one unit vector for each of up to three array axes.
        spacing: ``(n,)`` in mm.
        origin: ``(3,)`` position of the first voxel in LPS mm.
    """
    affine = np.eye(4)
    affine[:3, : len(directions)] = (directions * spacing[:, None]).T
    affine[:3, 3] = origin
    affine[:2] *= -1
    return affine
