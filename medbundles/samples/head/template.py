"""The ICBM152 template (nonlinear, symmetric, 2009) as nilearn's wheel carries it.

Copyright (C) 1993-2009 Louis Collins, McConnell Brain Imaging Centre, Montreal Neurological Institute, McGill
University; permission to use, copy, modify and distribute is granted with this notice. Nothing of it is stored here.
"""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from medbundles.errors import EnvironmentFailure

Floats = npt.NDArray[np.floating[Any]]

FILES = {name: f"mni_icbm152_{name}_tal_nlin_sym_09a_converted.nii.gz" for name in ("t1", "gm", "wm")}
# Farther out than the scalp nothing is drawn.
FARTHEST_MM = 40.0
# Around the template, so that a head that is turned or enlarged keeps its scalp.
MARGIN = 24


@dataclass(frozen=True)
class Template:
    """The template's maps ``(X, Y, Z)``, 1 mm, RAS+.

    Attributes:
        t1: T1w intensity, the mean of white matter is 1.
        gray: share of gray matter.
        white: share of white matter.
        fluid: share of cerebrospinal fluid.
        outside_mm: distance to the brain's surface, 0 inside.
        affine: to the world's mm.
    """

    t1: Floats
    gray: Floats
    white: Floats
    fluid: Floats
    outside_mm: Floats
    affine: npt.NDArray[np.float64]

    def coarse(self, factor: int) -> Template:
        """Return every so many-th voxel of the blurred maps."""

        def thinned(volume: Floats) -> Floats:
            blurred = ndimage.gaussian_filter(volume, factor / 2)
            return np.asarray(blurred[::factor, ::factor, ::factor])

        return Template(
            t1=thinned(self.t1),
            gray=thinned(self.gray),
            white=thinned(self.white),
            fluid=thinned(self.fluid),
            outside_mm=thinned(self.outside_mm),
            affine=self.affine @ np.diag([factor, factor, factor, 1.0]),
        )


@lru_cache(maxsize=1)
def read_template() -> Template:
    """Read the template's maps, without importing nilearn, which takes seconds.

    Raises:
        EnvironmentFailure: nilearn is not installed, or its wheel has no such files any more.
    """
    from medbundles.io.images import read_volume

    volumes = {name: read_volume(path) for name, path in _locate().items()}
    arrays = {name: np.pad(np.asarray(volume.array, np.float32) / 255.0, MARGIN) for name, volume in volumes.items()}
    affine = np.array(volumes["t1"].affine, dtype=np.float64)
    affine[:3, 3] -= affine[:3, :3] @ np.full(3, MARGIN)
    brain = ndimage.binary_fill_holes((arrays["t1"] > 0.05) | (arrays["gm"] > 0.1))
    brain = ndimage.binary_opening(brain, iterations=2)
    gray, white = (np.where(brain, arrays[name], 0.0) for name in ("gm", "wm"))
    total = np.maximum(gray + white, 1.0)
    gray, white = gray / total, white / total
    fluid = np.where(brain, 1.0 - gray - white, 0.0)
    t1 = np.where(brain, arrays["t1"] / float(arrays["t1"][white > 0.95].mean()), 0.0)
    outside = np.minimum(ndimage.distance_transform_edt(~brain), FARTHEST_MM)
    t1, gray, white, fluid, outside = (part.astype(np.float32) for part in (t1, gray, white, fluid, outside))
    return Template(t1, gray, white, fluid, outside, affine)


def _locate() -> dict[str, Path]:
    try:
        distribution = importlib.metadata.distribution("nilearn")
    except importlib.metadata.PackageNotFoundError as error:
        message = "the head samples are made from a template that comes with nilearn; pip install 'medbundles[dwi]'"
        raise EnvironmentFailure(message) from error
    known = {file.name: Path(str(distribution.locate_file(file))) for file in distribution.files or []}
    if absent := [file for file in FILES.values() if file not in known]:
        message = f"nilearn {distribution.version} has no {absent[0]}; install the version of constraints.txt"
        raise EnvironmentFailure(message)
    return {name: known[file] for name, file in FILES.items()}
