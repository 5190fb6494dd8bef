"""Tiny people with a diffusion MRI and a T1w, drawn by hand so that no reader and no sample of ours has a say in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

# Tissues' signals: unweighted, T1w; diffusivity in um2/ms. Nothing, gray, white, fluid.
B0, T1W, DIFFUSIVITY = (np.array(row) for row in ((0, 750, 500, 2400), (0, 550, 900, 150), (1, 0.85, 0.7, 3.0)))
ALONG, ACROSS = 1.5, 0.3
B_VALUE = 1000.0
WEIGHTED = np.random.default_rng(3).normal(size=(12, 3))
DIRECTIONS = np.vstack([np.zeros(3), WEIGHTED / np.linalg.norm(WEIGHTED, axis=1, keepdims=True)])
B_VALUES = np.array([0.0, *[B_VALUE] * 12])
DWI_AFFINE = np.array([[-6.0, 0, 0, 66], [0, 6.0, 0, -75], [0, 0, 6.0, -51], [0, 0, 0, 1]])
DWI_SHAPE = (23, 26, 18)
T1W_AFFINE = np.array([[4.0, 0, 0, -68], [0, 4.0, 0, -82], [0, 0, 4.0, -58], [0, 0, 0, 1]])
T1W_SHAPE = (35, 42, 30)


@dataclass(frozen=True)
class TinyHead:
    """A head of three tissues in the world's mm.

    Attributes:
        seed: of the noise and of the size.
        shift_mm: how far the T1w lies beside the diffusion images.
    """

    seed: int = 0
    shift_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def tissues(self, places: Array) -> Array:
        """Return 0 outside, 1 in gray and 2 in white matter, 3 in fluid."""
        size = 1 + 0.03 * (self.seed % 4)
        depth = np.linalg.norm(places / (np.array([46, 58, 40]) * size), axis=-1)
        tissue = np.select([depth < 0.72, depth < 1], [2, 1], 0)
        tissue[np.linalg.norm((places - [12, -6, 4]) / [9, 22, 9], axis=-1) < 1] = 3
        tissue[np.linalg.norm(places - [-20, 25, -8], axis=-1) < 10] = 1
        return tissue

    def dwi(self, affine: Array = DWI_AFFINE, shape: Sequence[int] = DWI_SHAPE) -> tuple[Array, Array]:
        """Return voxels ``(X, Y, Z, 13)`` and directions in FSL's convention."""
        places = world(affine, shape)
        tissue = self.tissues(places)
        axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
        # White matter runs from back to front on the right, upwards on the left.
        fibers = np.where(places[..., :1] > 0, [0.0, 1, 0], [0.0, 0, 1])
        along = (fibers @ DIRECTIONS.T) ** 2
        decay = np.where(tissue[..., None] == 2, ACROSS + (ALONG - ACROSS) * along, DIFFUSIVITY[tissue][..., None])
        signal = B0[tissue][..., None] * np.exp(-B_VALUES / 1000 * decay)
        mirrored = [-1.0 if np.linalg.det(axes) > 0 else 1.0, 1.0, 1.0]
        return np.rint(self._noisy(signal, 12)).astype(np.int16), (DIRECTIONS @ axes) * mirrored

    def t1w(self, affine: Array = T1W_AFFINE, shape: Sequence[int] = T1W_SHAPE) -> Array:
        """Return voxels ``(X, Y, Z)``."""
        signal = T1W[self.tissues(world(affine, shape) - np.array(self.shift_mm))]
        return np.rint(self._noisy(signal, 15)).astype(np.int16)

    def _noisy(self, signal: Array, deviation: float) -> Array:
        generator = np.random.default_rng(self.seed)
        return np.abs(signal + generator.normal(0, deviation, signal.shape))

    def write(self, dwi: Path, t1w: Path | None) -> None:
        """Write ``dwi`` (ends in ``.nii.gz``) with its gradients, and the T1w."""
        voxels, directions = self.dwi()
        write_dwi(dwi, voxels, DWI_AFFINE, directions)
        if t1w is not None:
            write_nifti(t1w, self.t1w(), T1W_AFFINE)


def world(affine: Array, shape: Sequence[int]) -> Array:
    return np.indices(shape).transpose(1, 2, 3, 0) @ affine[:3, :3].T + affine[:3, 3]


def write_dwi(path: Path, voxels: Array, affine: Array, directions: Array) -> None:
    write_nifti(path, voxels, affine)
    stem = path.name.removesuffix(".nii.gz")
    np.savetxt(path.with_name(f"{stem}.bval"), B_VALUES[None], fmt="%g")
    np.savetxt(path.with_name(f"{stem}.bvec"), directions.T, fmt="%.7f")


def write_nifti(path: Path, voxels: Array, affine: Array) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nibabel.nifti1.Nifti1Image(voxels, affine)
    image.set_sform(affine, code=1)
    image.set_qform(affine, code=1)
    image.to_filename(path)


def write_case(root: Path, name: str, head: TinyHead) -> Path:
    """Write a folder ``NAME`` with the files of one case."""
    head.write(root / name / "dwi.nii.gz", root / name / "t1w.nii.gz")
    return root / name


def write_bids(root: Path, people: int = 4) -> Path:
    """Write a BIDS data set; the first person was scanned twice."""
    for number in range(people):
        for session in ("a", "b") if number == 0 else ("a",):
            name = f"sub-{number}_ses-{session}"
            place = root / f"sub-{number}" / f"ses-{session}"
            head = TinyHead(10 * number + (session == "b"))
            head.write(place / "dwi" / f"{name}_dwi.nii.gz", place / "anat" / f"{name}_T1w.nii.gz")
    return root
