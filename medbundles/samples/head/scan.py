"""One person, scanned: a T1w and a diffusion MRI as they come from a scanner."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from medbundles.io.packages import require_package
from medbundles.samples.head.dwi import make_dwi
from medbundles.samples.head.geometry import Affine, Floats
from medbundles.samples.head.shape import HeadShape
from medbundles.samples.head.sites import SITES, Site
from medbundles.samples.head.t1w import make_t1w
from medbundles.samples.seeding import stream


@dataclass(frozen=True)
class HeadScan:
    """What a scanner gives of one person.

    Attributes:
        t1w: ``(X, Y, Z)`` int16.
        t1w_affine: of its voxels, RAS+ mm.
        dwi: ``(X, Y, Z, N)`` int16.
        dwi_affine: of its voxels.
        b_values: ``(N,)``.
        directions: ``(N, 3)`` in FSL's convention.
        record: what no scanner tells: site, shape, offset between the two images.
    """

    t1w: npt.NDArray[np.int16]
    t1w_affine: Affine
    dwi: npt.NDArray[np.int16]
    dwi_affine: Affine
    b_values: Floats
    directions: Floats
    record: dict[str, Any]


def make_head(seed: int, case: int, site: Site | None = None) -> HeadScan:
    """Return one person's scans; they depend on the seed, the person's number and the site alone.

    Args:
        seed: of the data set.
        case: the person's number; without a site it also chooses that, in turn.
        site: where the person is scanned.

    Raises:
        EnvironmentFailure: the extra ``dwi`` is not installed.
    """
    require_package("dipy", "dwi", "making head samples")
    site = site or SITES[case % len(SITES)]
    shape = HeadShape.draw(seed, case)
    t1w, t1w_affine = make_t1w(seed, case, site, shape)
    moved, record = _moved(seed, case)
    dwi, dwi_affine, b_values, directions = make_dwi(seed, case, site, shape, moved)
    record = {"case": case, "site": site.name, "b_value": site.b_value, "directions": site.directions, **record}
    return HeadScan(t1w, t1w_affine, dwi, dwi_affine, b_values, directions, record)


def _moved(seed: int, case: int) -> tuple[Affine, dict[str, Any]]:
    """Return how the head moved between the two images: some degrees and millimeters."""
    generator = stream(seed, case, "movement")
    angles, shift = generator.normal(0, 0.8, 3), generator.normal(0, 0.8, 3)
    turn = np.eye(3)
    for axis, angle in enumerate(np.deg2rad(angles)):
        first, second = [other for other in range(3) if other != axis]
        step = np.eye(3)
        step[first, first] = step[second, second] = np.cos(angle)
        step[first, second], step[second, first] = -np.sin(angle), np.sin(angle)
        turn = turn @ step
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = turn, shift
    record = {"moved_degrees": np.round(angles, 3).tolist(), "moved_mm": np.round(shift, 3).tolist()}
    return affine, record
