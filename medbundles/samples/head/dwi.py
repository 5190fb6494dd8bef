"""The diffusion MRI of a head."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from medbundles.samples.head.fibers import ENTRIES, draw_fibers
from medbundles.samples.head.geometry import Affine, Floats, grid, places_of, sampled
from medbundles.samples.head.shape import HeadShape
from medbundles.samples.head.signals import DENSITY, around_brain, coil_bias, rician, stored
from medbundles.samples.head.sites import Site, sphere
from medbundles.samples.head.template import Template, read_template
from medbundles.samples.seeding import stream

# Relaxation at 3 T in ms (literature values, rounded).
T2_MS = {"white": 70.0, "gray": 85.0, "fluid": 700.0}
# Diffusivities in um2/ms.
WHITE_MEAN, GRAY_MEAN, FLUID_MEAN = 0.74, 0.81, 3.0
# What fat suppression leaves of the scalp in echo-planar images.
FAT_LEFT = 0.15
# White matter whose fibers all run one way: its tensor's excess along them, 0 round, 1 a line; by person.
LARGEST_EXCESS = (0.45, 0.75)
# People and sessions differ: the coils' sensitivity, the noise (a factor's logarithm).
COIL_BIAS = (0.05, 0.2)
NOISE_SPREAD = 0.3
FIBER_STEP = 2


def make_dwi(
    seed: int, case: int, site: Site, shape: HeadShape, moved: Affine
) -> tuple[npt.NDArray[np.int16], Affine, Floats, Floats]:
    """Return a diffusion MRI: three tissues a voxel, the white one a tensor along its fibers."""
    from dipy.core.gradients import gradient_table
    from dipy.reconst.dti import tensor_prediction

    generator = stream(seed, case, "dwi")
    affine, size = grid(site.axes, site.spacing_mm, site.extent_mm, site.tilt_degrees, site.center_mm)
    places = moved[:3, :3] @ places_of(affine, size) + moved[:3, 3:]
    places = places + _distortion(places, generator)
    where = shape.to_template(places)
    maps = sampled(
        _blurred(shape.tissues(read_template()), max(site.spacing_mm)), ("gray", "white", "fluid", "outside_mm"), where
    )
    levels = {
        name: DENSITY[name] * np.exp(-site.echo_time_ms / (T2_MS[name] * generator.normal(1.0, 0.05))) for name in T2_MS
    }
    b_values = np.array([0.0] * site.unweighted + [site.b_value] * site.directions)
    world = np.vstack([np.zeros((site.unweighted, 3)), sphere(site.directions)])
    table = gradient_table(b_values, bvecs=world, b0_threshold=0)
    inside = maps["gray"] + maps["white"] + maps["fluid"]
    ring, scalp = around_brain(maps["outside_mm"], inside, shape.layers_mm)
    signal = np.zeros((len(inside), len(b_values)), np.float32)
    compartments = (
        (levels["gray"] * (maps["gray"] + FAT_LEFT * scalp), GRAY_MEAN * generator.normal(1.0, 0.04)),
        (levels["fluid"] * (maps["fluid"] + ring), FLUID_MEAN),
    )
    for amount, mean in compartments:
        signal += amount[:, None] * np.exp(-b_values / 1000 * mean)
    white = maps["white"] > 0.02
    parameters = _white_tensors(where[:, white], shape, generator)
    predicted = tensor_prediction(parameters, table, levels["white"] * maps["white"][white])
    signal[white] += predicted.astype(np.float32)
    signal *= coil_bias(generator, size, generator.uniform(*COIL_BIAS))[:, None]
    noise = levels["white"] / site.signal_to_noise * np.exp(generator.normal(0, NOISE_SPREAD))
    volumes = stored(rician(signal, noise, generator).reshape(*size, -1), site.gain / levels["white"])
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    # What moves is where the scanner looks; by so few degrees that the fibers' directions stay what they are.
    directions = (world @ axes) * [-1.0 if np.linalg.det(axes) > 0 else 1.0, 1.0, 1.0]
    return volumes, affine, b_values, directions


def _white_tensors(where: Floats, shape: HeadShape, generator: np.random.Generator) -> Floats:
    """Return eigenvalues (mm2/s) and eigenvectors of white matter at places of the template, ``(n, 12)``."""
    dyads, affine = _fibers()
    index = np.linalg.inv(affine[:3, :3]) @ (where - affine[:3, 3:])
    full = np.zeros((where.shape[1], 3, 3))
    for part, (row, column) in zip(dyads, ENTRIES, strict=True):
        full[:, row, column] = full[:, column, row] = ndimage.map_coordinates(part, index, order=1, mode="nearest")
    # Directions of the template turn back with the head.
    back = np.linalg.inv(shape.linear)
    full = np.einsum("ij,njk,lk->nil", back, full, back)
    full /= np.trace(full, axis1=1, axis2=2)[:, None, None]
    values, vectors = np.linalg.eigh(full)
    coherent = np.clip(values[:, 2] - values[:, :2].mean(axis=1), 0, 1)
    mean = WHITE_MEAN * generator.normal(1.0, 0.03)
    excess = generator.uniform(*LARGEST_EXCESS) * coherent
    eigenvalues = mean * np.stack([1 + 2 * excess, 1 - excess, 1 - excess], axis=1) / 1000
    return np.concatenate([eigenvalues, vectors[:, :, ::-1].reshape(-1, 9)], axis=1)


def _distortion(places: Floats, generator: np.random.Generator) -> Floats:
    """Return what air in the sinuses does to echo-planar images: a shift of the front, along y, by a few mm."""
    x, y, z = places
    size = generator.uniform(1.0, 4.0)
    bump = size * np.exp(-0.5 * ((x / 30) ** 2 + ((y - 50) / 25) ** 2 + ((z + 15) / 18) ** 2))
    return np.stack([np.zeros_like(bump), bump, np.zeros_like(bump)])


def _blurred(whole: Template, width_mm: float) -> Template:
    """Return a template as voxels of this width see it."""
    sigma = width_mm * 0.42
    parts = {name: ndimage.gaussian_filter(getattr(whole, name), sigma) for name in ("gray", "white", "fluid")}
    return replace(whole, **parts)


@lru_cache(maxsize=1)
def _fibers() -> tuple[Floats, Affine]:
    coarse = read_template().coarse(FIBER_STEP)
    return draw_fibers(coarse), coarse.affine
