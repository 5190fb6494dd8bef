"""Whether a T1w lies on its diffusion MRI, and how to bring it there."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from medbundles.components.resampling import isotropic_grid, resample
from medbundles.io.grids import Affine, to_world
from medbundles.io.packages import require_package

Floats = npt.NDArray[np.floating[Any]]

# Both images are brought to these voxels first: a rigid movement of a head needs no detail, a minute becomes seconds.
WORKING_MM = 4.0
BINS = 32
LEVELS = ([200, 100], [2.0, 0.0], [2, 1])
# Shifted first, a head is found 30 mm away; where it is turned, or hardly moved, that goes astray in one of ten.
PIPELINES = (["translation", "rigid"], ["rigid"])
# The skull and scalp of a T1w, which diffusion images hardly show, are left out by staying near the brain.
AROUND_BRAIN_MM = 6.0


@dataclass(frozen=True)
class Alignment:
    """How a T1w lies beside its diffusion MRI.

    Attributes:
        transform: 4x4, from the diffusion MRI's world to the T1w's, both in RAS+ mm.
        displacement_mm: how far the transform moves the brain's voxels, on average.
        covered: share of the brain that lies in the T1w's field of view, moved.
        information_before: normalized mutual information of both inside the brain, as they were.
        information_after: the same, moved; 1 says nothing of each other, 2 the same.
    """

    transform: Affine
    displacement_mm: float
    covered: float
    information_before: float
    information_after: float


def align_rigidly(
    t1w: Floats, t1w_affine: Affine, b0: Floats, affine: Affine, brain: npt.NDArray[np.bool_]
) -> Alignment:
    """Find the rigid movement between a T1w and a diffusion MRI by dipy's mutual information, the better of two tries.

    Where neither betters the information, the T1w stays where it is.

    Args:
        t1w: ``(X, Y, Z)``.
        t1w_affine: of its voxels.
        b0: mean unweighted volume ``(X, Y, Z)``.
        affine: of its voxels.
        brain: on the grid of ``b0``.

    Raises:
        EnvironmentFailure: dipy is not installed.
    """
    require_package("dipy", "dwi", "registration")
    grid, size = isotropic_grid(affine, b0.shape, WORKING_MM)
    static = resample(b0, affine, grid, size)
    near = resample(brain.astype(np.float32), affine, grid, size) >= 0.5
    around = np.asarray(ndimage.binary_dilation(near, iterations=round(AROUND_BRAIN_MM / WORKING_MM)))
    t1w_grid, t1w_size = isotropic_grid(t1w_affine, t1w.shape, WORKING_MM)
    moving = resample(t1w, t1w_affine, t1w_grid, t1w_size)

    def information(movement: Affine) -> float:
        moved = resample(moving, t1w_grid, movement @ grid, size)
        return normalized_mutual_information(moved[near], static[near])

    # A search that goes astray is no reason to doubt where the T1w lies: it must find a better place than that.
    found = [np.eye(4), *(_search(moving, t1w_grid, static, grid, around, pipeline) for pipeline in PIPELINES)]
    transform = max(found, key=information)
    places = to_world(grid, np.argwhere(near))
    moved = to_world(transform, places)
    seen = resample(np.ones_like(moving), t1w_grid, transform @ grid, size)[near] > 0.5
    return Alignment(
        transform=transform,
        displacement_mm=float(np.linalg.norm(moved - places, axis=1).mean()) if len(places) else 0.0,
        covered=float(seen.mean()) if len(places) else 0.0,
        information_before=information(np.eye(4)),
        information_after=information(transform),
    )


def normalized_mutual_information(first: Floats, second: Floats, bins: int = BINS) -> float:
    """Return ``(H(a) + H(b)) / H(a, b)`` of paired values: 1 where they are independent, 2 where one tells the other.

    Source: Studholme et al., Pattern Recognition 32, 1999.
    """
    if not len(first):
        return 1.0
    joint, _, _ = np.histogram2d(first, second, bins=bins)
    together = _entropy(joint)
    return float((_entropy(joint.sum(axis=0)) + _entropy(joint.sum(axis=1))) / together) if together else 1.0


def _search(
    moving: Floats, moving_affine: Affine, static: Floats, affine: Affine, around: Floats, pipeline: list[str]
) -> Affine:
    from dipy.align import affine_registration

    with _silent():
        _, transform = affine_registration(
            moving,
            static,
            moving_affine=moving_affine,
            static_affine=affine,
            static_mask=around.astype(np.int32),
            pipeline=pipeline,
            level_iters=LEVELS[0],
            sigmas=LEVELS[1],
            factors=LEVELS[2],
            nbins=BINS,
        )
    return np.asarray(transform, dtype=np.float64)


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Keep dipy from telling each step on the standard output, where a command's own answer stands."""
    log = logging.getLogger("dipy")
    level = log.level
    log.setLevel(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        log.setLevel(level)


def _entropy(counts: Floats) -> float:
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())
