"""The diffusion tensor of each voxel, in the axes of the world."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from medbundles.checks.gradients import Weighting
from medbundles.io.grids import Affine
from medbundles.io.packages import require_package

Floats = npt.NDArray[np.floating[Any]]

# Free water at body temperature diffuses with 3.0 um2/ms; what is faster by far is no diffusion but noise or motion.
FASTEST = 5.0
# dipy brings negative eigenvalues up to a millionth of this; nothing in a brain diffuses so slowly.
SLOWEST = 1.0e-4
MM2_S_IN_UM2_MS = 1000.0
# The tensor's six different entries, in the order in which they are kept.
ENTRIES = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))


@dataclass(frozen=True)
class DiffusionMaps:
    """What is known of each voxel after the fit.

    Attributes:
        mask: ``(X, Y, Z)`` brain with signal.
        mean_b0: ``(X, Y, Z)`` mean of the unweighted volumes, in the scanner's units.
        mean_dwi: ``(X, Y, Z)`` mean of the shell's volumes.
        tensor: ``(X, Y, Z, 6)`` in um2/ms along the world's RAS+ axes: xx, xy, xz, yy, yz, zz; 0 outside of the mask.
        silent: share of the given mask's voxels that have no signal and were left out.
        unphysical: share of the mask's voxels whose eigenvalues had to be brought into 0 to 5 um2/ms.
    """

    mask: npt.NDArray[np.bool_]
    mean_b0: Floats
    mean_dwi: Floats
    tensor: Floats
    silent: float
    unphysical: float


def world_directions(directions: Floats, affine: Affine) -> Floats:
    """Return gradient directions ``(n, 3)`` of FSL's convention along the world's RAS+ axes.

    FSL counts along the image's own axes, and mirrors the first one where the affine's determinant is positive; so the
    same file means other directions with another orientation of the image.
    """
    # The nearest axes at right angles: rounding leaves stored ones slightly skewed, and a direction has length 1.
    left, _, right = np.linalg.svd(affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0))
    axes = left @ right
    mirrored = np.array([-1.0 if np.linalg.det(axes) > 0 else 1.0, 1.0, 1.0])
    return np.asarray((directions * mirrored) @ axes.T)


def fit_tensor(volumes: Floats, affine: Affine, weighting: Weighting, mask: npt.NDArray[np.bool_]) -> DiffusionMaps:
    """Fit a tensor to each voxel of a mask, by dipy's weighted least squares.

    Args:
        volumes: ``(X, Y, Z, N)`` the scan.
        affine: of its voxels, to the world's RAS+ mm.
        weighting: which volumes count, and how they were weighted.
        mask: ``(X, Y, Z)`` where to fit.

    Raises:
        EnvironmentFailure: dipy is not installed.
    """
    require_package("dipy", "dwi", "fitting tensors")
    from dipy.core.gradients import gradient_table
    from dipy.reconst.dti import TensorModel

    b0 = volumes[..., weighting.unweighted].mean(axis=-1, dtype=np.float32)
    dwi = volumes[..., weighting.weighted].mean(axis=-1, dtype=np.float32)
    loud = mask & (b0 > 0) & (dwi > 0)
    used = weighting.unweighted | weighting.weighted
    directions = world_directions(weighting.table.directions, affine)[used]
    b_values = np.where(weighting.unweighted, 0.0, weighting.table.b_values)[used]
    gradients = gradient_table(b_values, bvecs=directions, b0_threshold=0)
    fitted = TensorModel(gradients, fit_method="WLS").fit(volumes[loud][:, used].astype(np.float64))
    values = np.asarray(fitted.evals) * MM2_S_IN_UM2_MS
    vectors = np.asarray(fitted.evecs)
    possible = np.clip(np.nan_to_num(values), 0.0, FASTEST)
    unphysical = ((possible != values) | (values < SLOWEST)).any(axis=-1)
    full = np.einsum("nij,nj,nkj->nik", vectors, possible, vectors)
    tensor = np.zeros((*mask.shape, len(ENTRIES)), np.float32)
    tensor[loud] = np.stack([full[:, row, column] for row, column in ENTRIES], axis=1)
    voxels = max(int(mask.sum()), 1)
    return DiffusionMaps(
        mask=loud,
        mean_b0=np.where(loud, b0, 0.0).astype(np.float32),
        mean_dwi=np.where(loud, dwi, 0.0).astype(np.float32),
        tensor=tensor,
        silent=float((mask & ~loud).sum() / voxels),
        unphysical=float(unphysical.sum() / voxels),
    )
