"""Whether one image of a head lies on another, whatever their contrasts, and how to bring it there.

Numbers in comments were measured with T1w images and diffusion MRI.
"""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from medbundles.components.resampling import isotropic_grid, resample
from medbundles.io.grids import Affine, to_world
from medbundles.io.packages import require_package

Floats = npt.NDArray[np.floating[Any]]
# Iterations, smoothing in voxels and factors of coarseness, from the first to the last.
Levels = tuple[list[int], list[float], list[int]]

# Both images are brought to these voxels first: to find a head needs no detail, a minute becomes seconds.
WORKING_MM = 4.0
# From there its place is refined. Slices of 4 mm and the rim of a slab draw a coarse search 1 to 2 mm to one side.
FINE_MM = 2.0
BINS = 32
LEVELS = ([200, 100], [2.0, 0.0], [2, 1])
FINE_LEVELS = ([30], [1.0], [1])
# Shifted first, a head is found 30 mm away; where it is turned, or hardly moved, that goes astray in one of ten.
PIPELINES = (["translation", "rigid"], ["rigid"])
FINE_PIPELINE = ["translation", "rigid"]
# A search stops where one kind of movement makes up for another; begun again there, it goes on (in one of two scans).
FINE_ROUNDS = 2
# The skull and scalp, which some contrasts hardly show, are left out by staying near the brain.
AROUND_BRAIN_MM = 6.0
AROUND_BRAIN_FINE_MM = 2.0


@dataclass(frozen=True)
class Alignment:
    """How an image lies beside another one of the same head, which stays.

    Attributes:
        transform: 4x4, from the world of the one that stays to the other's, both in RAS+ mm.
        displacement_mm: how far the transform moves the brain's voxels, on average.
        covered: share of the brain that lies in the moved image's field of view.
        information_before: normalized mutual information of both inside the brain, as they were.
        information_after: the same, moved; 1 says nothing of each other, 2 the same.
    """

    transform: Affine
    displacement_mm: float
    covered: float
    information_before: float
    information_after: float


def align_rigidly(
    moving: Floats, moving_affine: Affine, static: Floats, affine: Affine, brain: npt.NDArray[np.bool_]
) -> Alignment:
    """Find the rigid movement between two images by dipy's mutual information, the better of two tries.

    Where neither betters the information, the image stays where it is.

    Args:
        moving: the image that is brought to the other, ``(X, Y, Z)``.
        moving_affine: of its voxels.
        static: the one that stays, such as the mean unweighted volume of a diffusion MRI, ``(X, Y, Z)``.
        affine: of its voxels.
        brain: on the grid of ``static``.

    Raises:
        EnvironmentFailure: dipy is not installed.
    """
    require_package("dipy", "dwi", "registration")
    pair = _Pair.of(moving, moving_affine, static, affine, brain, WORKING_MM)
    # A search that goes astray is no reason to doubt where the image lies: it must find a better place than that.
    tries = (pair.search(pipeline, np.eye(4), LEVELS, AROUND_BRAIN_MM) for pipeline in PIPELINES)
    return pair.alignment(max([np.eye(4), *tries], key=pair.information))


def refine_rigidly(
    coarse: Alignment,
    moving: Floats,
    moving_affine: Affine,
    static: Floats,
    affine: Affine,
    brain: npt.NDArray[np.bool_],
) -> Alignment:
    """Find the place of an image more exactly, from where a first search has put it.

    To bring a T1w to a diffusion MRI, a map without coil bias that is 0 outside of the brain, as one of diffusivity,
    serves better than the b0: of a real scan with slices of 4.2 mm the T1w then lay .4 mm off, not 1.4 (measured along
    the slices by correlation).

    Args:
        coarse: what :func:`align_rigidly` found; it or the place the image had comes back where nothing better is
            found.
        moving: ``(X, Y, Z)``.
        moving_affine: of its voxels.
        static: what it is brought to, ``(X, Y, Z)``.
        affine: of its voxels.
        brain: on the grid of ``static``.

    Returns:
        An alignment whose information is that of both images on finer voxels.
    """
    pair = _Pair.of(moving, moving_affine, static, affine, brain, FINE_MM)
    found = [coarse.transform]
    for _ in range(FINE_ROUNDS):
        found.append(pair.search(FINE_PIPELINE, found[-1], FINE_LEVELS, AROUND_BRAIN_FINE_MM, centered=True))
    return pair.alignment(max([np.eye(4), *found], key=pair.information))


def describe_movement(transform: Affine, center: npt.ArrayLike) -> tuple[float, tuple[float, float, float]]:
    """Return the angle of a rigid movement in degrees, and how far it takes a point along x, y and z in mm.

    Args:
        transform: 4x4, from world to world.
        center: the point, in RAS+ mm; about the far origin of a scanner's world even a small turn is a long way.
    """
    cosine = (np.trace(transform[:3, :3]) - 1) / 2
    x, y, z = to_world(transform, center) - np.asarray(center, dtype=np.float64)
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1)))), (float(x), float(y), float(z))


@dataclass(frozen=True)
class _Pair:
    """Two images on cubic voxels of one size, and the brain of the one that stays."""

    moving: Floats
    moving_affine: Affine
    static: Floats
    affine: Affine
    brain: npt.NDArray[np.bool_]
    edge_mm: float

    @classmethod
    def of(
        cls,
        moving: Floats,
        moving_affine: Affine,
        static: Floats,
        affine: Affine,
        brain: npt.NDArray[np.bool_],
        edge_mm: float,
    ) -> _Pair:
        grid, size = isotropic_grid(affine, static.shape, edge_mm)
        near = resample(brain.astype(np.float32), affine, grid, size) >= 0.5
        own_grid, own_size = isotropic_grid(moving_affine, moving.shape, edge_mm)
        moving = resample(moving, moving_affine, own_grid, own_size)
        return cls(moving, own_grid, resample(static, affine, grid, size), grid, near, edge_mm)

    def information(self, transform: Affine) -> float:
        """Return how much the images tell of each other inside the brain."""
        return normalized_mutual_information(self._moved(self.moving, transform), self.static[self.brain])

    def search(
        self, pipeline: list[str], start: Affine, levels: Levels, around_mm: float, centered: bool = False
    ) -> Affine:
        """Return dipy's best movement from a start.

        Args:
            pipeline: kinds of movement, one after the other.
            start: where to begin.
            levels: from coarse to fine.
            around_mm: how far from the brain voxels count.
            centered: whether turns are about the brain's center; about a far origin each one is a shift as well, and a
                short search gets stuck.
        """
        around = np.asarray(ndimage.binary_dilation(self.brain, iterations=round(around_mm / self.edge_mm)))
        center = np.eye(4)
        if centered:
            center[:3, 3] = to_world(self.affine, np.argwhere(around)).mean(axis=0)
        back = np.linalg.inv(center)
        pair = replace(self, affine=back @ self.affine, moving_affine=back @ self.moving_affine)
        return np.asarray(center @ _search(pair, around, pipeline, back @ start @ center, levels) @ back)

    def alignment(self, transform: Affine) -> Alignment:
        """Return what a movement means for the brain."""
        places = to_world(self.affine, np.argwhere(self.brain))
        moved = to_world(transform, places)
        seen = self._moved(np.ones_like(self.moving), transform) > 0.5
        return Alignment(
            transform=transform,
            displacement_mm=float(np.linalg.norm(moved - places, axis=1).mean()) if len(places) else 0.0,
            covered=float(seen.mean()) if len(places) else 0.0,
            information_before=self.information(np.eye(4)),
            information_after=self.information(transform),
        )

    def _moved(self, image: Floats, transform: Affine) -> Floats:
        return resample(image, self.moving_affine, transform @ self.affine, self.brain.shape)[self.brain]


def normalized_mutual_information(first: Floats, second: Floats, bins: int = BINS) -> float:
    """Return ``(H(a) + H(b)) / H(a, b)`` of paired values: 1 where they are independent, 2 where one tells the other.

    Source: Studholme et al., Pattern Recognition 32, 1999.
    """
    if not len(first):
        return 1.0
    joint, _, _ = np.histogram2d(first, second, bins=bins)
    together = _entropy(joint)
    return float((_entropy(joint.sum(axis=0)) + _entropy(joint.sum(axis=1))) / together) if together else 1.0


def _search(pair: _Pair, around: npt.NDArray[np.bool_], pipeline: list[str], start: Affine, levels: Levels) -> Affine:
    from dipy.align import affine_registration

    iterations, smoothing, factors = levels
    with _silent():
        _, transform = affine_registration(
            pair.moving,
            pair.static,
            moving_affine=pair.moving_affine,
            static_affine=pair.affine,
            static_mask=around.astype(np.int32),
            starting_affine=start,
            pipeline=pipeline,
            level_iters=iterations,
            sigmas=smoothing,
            factors=factors,
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
