"""One person, scanned: a T1w and a diffusion MRI as they come from a scanner."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from medbundles.errors import EnvironmentFailure
from medbundles.samples.head.fibers import ENTRIES, draw_fibers
from medbundles.samples.head.shape import HeadShape
from medbundles.samples.head.sites import SITES, Site, sphere
from medbundles.samples.head.template import Template, read_template
from medbundles.samples.seeding import stream

Floats = npt.NDArray[np.floating[Any]]
Affine = npt.NDArray[np.float64]

# Relaxation at 3 T in ms and proton density of white matter, gray matter and fluid (literature values, rounded).
T1_MS = {"white": 850.0, "gray": 1350.0, "fluid": 4000.0}
T2_MS = {"white": 70.0, "gray": 85.0, "fluid": 700.0}
DENSITY = {"white": 0.70, "gray": 0.82, "fluid": 1.0}
REPETITION_MS = 2300.0
# Diffusivities in um2/ms.
WHITE_MEAN, GRAY_MEAN, FLUID_MEAN = 0.74, 0.85, 3.0
# What fat suppression leaves of the scalp in echo-planar images.
FAT_LEFT = 0.15
# White matter whose fibers all run one way: its tensor's excess along them, 0 round, 1 a line.
LARGEST_EXCESS = 0.78
FIBER_STEP = 2
T1W_EXTENT_MM = (196.0, 236.0, 200.0)
# The diffusion volumes' center lies so far above the template's origin, so that the whole brain is covered.
CENTER_MM = (0.0, -18.0, 8.0)


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
    try:
        import dipy.sims.voxel  # noqa: F401  - asked for before anything takes time
    except ImportError as error:
        raise EnvironmentFailure("head samples need a package; pip install 'medbundles[dwi]'") from error
    site = site or SITES[case % len(SITES)]
    shape = HeadShape.draw(seed, case)
    t1w, t1w_affine = _t1w(seed, case, site, shape)
    moved, record = _moved(seed, case)
    dwi, dwi_affine, b_values, directions = _dwi(seed, case, site, shape, moved)
    record = {"case": case, "site": site.name, "b_value": site.b_value, "directions": site.directions, **record}
    return HeadScan(t1w, t1w_affine, dwi, dwi_affine, b_values, directions, record)


def _t1w(seed: int, case: int, site: Site, shape: HeadShape) -> tuple[npt.NDArray[np.int16], Affine]:
    """Return an inversion-recovery T1w: its contrast comes from relaxation, its detail from the template."""
    generator = stream(seed, case, "t1w")
    affine, size = grid(site.t1w_axes, site.t1w_spacing_mm, T1W_EXTENT_MM, 0.0)
    template = _template()
    maps = _sampled(template, ("t1", "gray", "white", "fluid", "outside_mm"), shape.to_template(_places(affine, size)))
    relaxation = {name: value * generator.normal(1.0, 0.04) for name, value in T1_MS.items()}
    tissue = {name: DENSITY[name] * _recovered(site.inversion_time_ms, relaxation[name]) for name in T1_MS}
    signal = sum(maps[name] * tissue[name] for name in T1_MS)
    # What the shares do not tell: deep nuclei, vessels, the brightness of single gyri.
    plain = sum(maps[name] * level for name, level in _template_levels().items())
    inside = maps["gray"] + maps["white"] + maps["fluid"]
    signal = signal + np.clip(maps["t1"] - plain, -0.3, 0.3) * inside * (tissue["white"] - tissue["gray"]) / 0.28
    ring, scalp = _around(maps["outside_mm"], inside, generator)
    signal = signal + ring * tissue["fluid"] + scalp * 0.9 * tissue["white"]
    signal = np.maximum(signal, 0) * _bias(generator, size)
    noise = tissue["white"] / site.t1w_signal_to_noise
    return _stored(_rician(signal, noise, generator).reshape(size), 600.0 / tissue["white"]), affine


def _dwi(
    seed: int, case: int, site: Site, shape: HeadShape, moved: Affine
) -> tuple[npt.NDArray[np.int16], Affine, Floats, Floats]:
    """Return a diffusion MRI: three tissues a voxel, the white one a tensor along its fibers."""
    from dipy.core.gradients import gradient_table
    from dipy.reconst.dti import tensor_prediction

    generator = stream(seed, case, "dwi")
    affine, size = grid(site.axes, site.spacing_mm, site.extent_mm, site.tilt_degrees, CENTER_MM)
    places = moved[:3, :3] @ _places(affine, size) + moved[:3, 3:]
    places = places + _distortion(places, generator)
    where = shape.to_template(places)
    maps = _sampled(_blurred(max(site.spacing_mm)), ("gray", "white", "fluid", "outside_mm"), where)
    levels = {name: DENSITY[name] * np.exp(-site.echo_time_ms / T2_MS[name]) for name in T2_MS}
    b_values = np.array([0.0] * site.unweighted + [site.b_value] * site.directions)
    world = np.vstack([np.zeros((site.unweighted, 3)), sphere(site.directions)])
    table = gradient_table(b_values, bvecs=world, b0_threshold=0)
    inside = maps["gray"] + maps["white"] + maps["fluid"]
    ring, scalp = _around(maps["outside_mm"], inside, generator)
    signal = np.zeros((len(inside), len(b_values)), np.float32)
    compartments = (
        (levels["gray"] * (maps["gray"] + FAT_LEFT * scalp), GRAY_MEAN),
        (levels["fluid"] * (maps["fluid"] + ring), FLUID_MEAN),
    )
    for amount, mean in compartments:
        signal += amount[:, None] * np.exp(-b_values / 1000 * mean)
    white = maps["white"] > 0.02
    parameters = _white_tensors(where[:, white], shape, generator)
    predicted = tensor_prediction(parameters, table, levels["white"] * maps["white"][white])
    signal[white] += predicted.astype(np.float32)
    signal *= _bias(generator, size)[:, None]
    noise = levels["white"] / site.signal_to_noise
    stored = _stored(_rician(signal, noise, generator).reshape(*size, -1), site.gain / levels["white"])
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    # What moves is where the scanner looks; by so few degrees that the fibers' directions stay what they are.
    directions = (world @ axes) * [-1.0 if np.linalg.det(axes) > 0 else 1.0, 1.0, 1.0]
    return stored, affine, b_values, directions


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
    excess = LARGEST_EXCESS * coherent
    eigenvalues = mean * np.stack([1 + 2 * excess, 1 - excess, 1 - excess], axis=1) / 1000
    return np.concatenate([eigenvalues, vectors[:, :, ::-1].reshape(-1, 9)], axis=1)


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


def _distortion(places: Floats, generator: np.random.Generator) -> Floats:
    """Return what air in the sinuses does to echo-planar images: a shift of the front, along y, by a few mm."""
    x, y, z = places
    size = generator.uniform(1.0, 4.0)
    bump = size * np.exp(-0.5 * ((x / 30) ** 2 + ((y - 50) / 25) ** 2 + ((z + 15) / 18) ** 2))
    return np.stack([np.zeros_like(bump), bump, np.zeros_like(bump)])


def _recovered(inversion_ms: float, relaxation_ms: float) -> float:
    """Return the signal of a tissue of density 1, so long after inversions that come every :data:`REPETITION_MS`."""
    before = 1 + np.exp(-REPETITION_MS / relaxation_ms)
    return float(abs(1 - 2 * np.exp(-inversion_ms / relaxation_ms) / before))


def _around(outside_mm: Floats, inside: Floats, generator: np.random.Generator) -> tuple[Floats, Floats]:
    """Return how much of each voxel is the fluid and the scalp around the brain; bone and air give no signal."""
    bone, skin = generator.uniform(5.0, 8.0), generator.uniform(4.0, 8.0)
    edges = (2.0, 2.0 + bone, 2.0 + bone + skin)
    steps = [1.0 / (1.0 + np.exp(-(outside_mm - edge) / 0.5)) for edge in edges]
    outer = np.clip(1 - inside, 0, 1) * (outside_mm > 0)
    return outer * (1 - steps[0]), outer * (steps[1] - steps[2])


def _bias(generator: np.random.Generator, size: tuple[int, int, int]) -> Floats:
    """Return the coils' uneven sensitivity, smooth, some ten percent, flat ``(voxels,)``."""
    axes = [np.linspace(-1, 1, extent, dtype=np.float32) for extent in size]
    x, y, z = axes[0][:, None, None], axes[1][None, :, None], axes[2][None, None, :]
    a, b, c, d, e = generator.normal(0, 0.07, 5)
    return np.asarray(np.exp(a * x + b * y + c * z + d * (x**2 + y**2) + e * y * z), dtype=np.float32).ravel()


def _rician(signal: Floats, noise: float, generator: np.random.Generator) -> Floats:
    from dipy.sims.voxel import add_noise

    flat = add_noise(signal.ravel(), snr=1.0 / noise, S0=1.0, noise_type="rician", rng=generator)
    return np.asarray(flat.reshape(signal.shape), dtype=np.float32)


def _stored(signal: Floats, gain: float) -> npt.NDArray[np.int16]:
    return np.asarray(np.clip(np.rint(signal * gain), 0, np.iinfo(np.int16).max), dtype=np.int16)


def grid(
    axes: str,
    spacing_mm: tuple[float, float, float],
    extent_mm: tuple[float, float, float],
    tilt_degrees: float,
    center_mm: tuple[float, float, float] = CENTER_MM,
) -> tuple[Affine, tuple[int, int, int]]:
    """Return a scan's affine and size.

    Args:
        axes: codes of the array's axes, such as ``PIR``.
        spacing_mm: voxels along the array's axes.
        extent_mm: field of view along x, y and z.
        tilt_degrees: about the x axis.
        center_mm: the middle of the field of view.
    """
    direction = np.zeros((3, 3))
    size = []
    for column, code in enumerate(axes):
        row, sign = next(
            (row, 1 if code == pair[0] else -1) for row, pair in enumerate(("RL", "AP", "SI")) if code in pair
        )
        direction[row, column] = sign
        size.append(round(extent_mm[row] / spacing_mm[column]))
    angle = np.deg2rad(tilt_degrees)
    turn = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ direction @ np.diag(spacing_mm)
    affine[:3, 3] = np.array(center_mm) - affine[:3, :3] @ ((np.array(size) - 1) / 2)
    return affine, (size[0], size[1], size[2])


def _places(affine: Affine, size: tuple[int, int, int]) -> Floats:
    index = np.indices(size, dtype=np.float32).reshape(3, -1)
    return np.asarray(affine[:3, :3].astype(np.float32) @ index + affine[:3, 3:].astype(np.float32))


def _sampled(template: Template, names: tuple[str, ...], where: Floats) -> dict[str, Floats]:
    """Return a template's maps at places of its world ``(3, n)``."""
    inverse = np.linalg.inv(template.affine)
    index = (inverse[:3, :3] @ where + inverse[:3, 3:]).astype(np.float32)
    fill = {"outside_mm": float(template.outside_mm.max())}
    return {
        name: ndimage.map_coordinates(getattr(template, name), index, order=1, cval=fill.get(name, 0.0))
        for name in names
    }


def _template() -> Template:
    return read_template()


@lru_cache(maxsize=len(SITES))
def _blurred(width_mm: float) -> Template:
    """Return the template as voxels of this width see it."""
    whole = read_template()
    sigma = width_mm * 0.42
    parts = {name: ndimage.gaussian_filter(getattr(whole, name), sigma) for name in ("gray", "white", "fluid")}
    return Template(whole.t1, **parts, outside_mm=whole.outside_mm, affine=whole.affine)


@lru_cache(maxsize=1)
def _fibers() -> tuple[Floats, Affine]:
    coarse = read_template().coarse(FIBER_STEP)
    return draw_fibers(coarse), coarse.affine


@lru_cache(maxsize=1)
def _template_levels() -> dict[str, float]:
    """Return the brightness of each tissue in the template's T1w, by least squares."""
    template = read_template()
    brain = (template.gray + template.white + template.fluid) > 0.99
    shares = np.stack([getattr(template, name)[brain] for name in T1_MS], axis=1).astype(np.float64)
    levels = np.linalg.lstsq(shares[::50], template.t1[brain][::50].astype(np.float64), rcond=None)[0]
    return {name: float(level) for name, level in zip(T1_MS, levels, strict=True)}
