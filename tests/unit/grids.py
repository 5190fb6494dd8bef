"""Strategies for grids as scanners and converters produce them: oblique, flipped, permuted, anisotropic."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from medbundles.io.grids import Affine


@st.composite
def affines(draw: st.DrawFn, sheared: bool = False) -> Affine:
    """A rotation by any angles, axes permuted and flipped, voxel edges of 0.3 to 6 mm, anywhere within a meter."""
    angles = [draw(st.floats(-np.pi, np.pi)) for _ in range(3)]
    rotation = np.eye(3)
    for axis, angle in enumerate(angles):
        turn = np.eye(3)
        first, second = (axis + 1) % 3, (axis + 2) % 3
        turn[first, first] = turn[second, second] = np.cos(angle)
        turn[first, second], turn[second, first] = -np.sin(angle), np.sin(angle)
        rotation = rotation @ turn
    rotation = rotation[:, draw(st.permutations(range(3)))] * [draw(st.sampled_from([-1, 1])) for _ in range(3)]
    if sheared:
        rotation[:, 2] += draw(st.floats(0.1, 0.4)) * rotation[:, 1]
    affine = np.eye(4)
    affine[:3, :3] = rotation * [draw(st.floats(0.3, 6.0)) for _ in range(3)]
    affine[:3, 3] = [draw(st.floats(-1000, 1000)) for _ in range(3)]
    return affine
