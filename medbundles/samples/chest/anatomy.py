"""The large organs as signed distances in mm (negative inside) on the coarse grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from medbundles.samples.chest.fields import CoarseGrid, noise_field, normalized_distance
from medbundles.samples.chest.grid import Floats, Points
from medbundles.samples.chest.patient import Patient
from medbundles.samples.seeding import stream

COARSE_MM = 4.0
LOWEST_MM = -215.0
HIGHEST_MM = 125.0
RIB_PITCH_MM = 25.0
COSTOCHONDRAL_ANGLE = 2.45


@dataclass(frozen=True)
class Anatomy:
    """Coarse fields of one patient, each ``(z, y, x)``.

    Attributes:
        coarse: the grid of all fields.
        body: the skin.
        cavity: the inner wall of the chest.
        lung: both lungs without the great vessels.
        abdomen: what lies below the diaphragm.
        heart: the heart's surface.
        rib_phase: grows by one from rib to rib.
        rib_angle: radians around the chest, 0 at the back, pi at the front.
        oblique: distance from the oblique fissures, positive above and in front of them.
        horizontal: distance from the right lung's horizontal fissure.
        lumps: noise with a wavelength of about 14 mm.
        folds: noise with a wavelength of about 35 mm.
    """

    coarse: CoarseGrid
    body: Floats
    cavity: Floats
    lung: Floats
    abdomen: Floats
    heart: Floats
    rib_phase: Floats
    rib_angle: Floats
    oblique: Floats
    horizontal: Floats
    lumps: Floats
    folds: Floats


def smooth_max(first: Floats, second: Floats, width: float) -> Floats:
    """Return the maximum of two fields with its crease rounded over ``width`` mm."""
    return np.asarray(0.5 * (first + second + np.sqrt((first - second) ** 2 + width**2)), dtype=np.float32)


def smooth_step(values: Floats, low: float, high: float) -> Floats:
    """Return 0 below ``low``, 1 above ``high`` and a smooth rise between."""
    t = np.clip((values - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), dtype=np.float32)


def spine_y(z: Floats | float) -> Floats:
    """Return how far behind the carina the vertebral bodies' centers lie (kyphosis), in mm."""
    return np.asarray(38 - 15 * ((np.asarray(z) + 40) / 130) ** 2, dtype=np.float32)


def _oval(x: Floats, y: Floats, half_width: Floats | float, half_depth: Floats | float, power: float) -> Floats:
    radius = (np.abs(x / half_width) ** power + np.abs(y / half_depth) ** power) ** (1 / power)
    return np.asarray((radius - 1) * np.minimum(half_width, half_depth), dtype=np.float32)


def _ellipsoid(x: Floats, y: Floats, z: Floats, axes: tuple[float, float, float]) -> Floats:
    radius = np.sqrt((x / axes[0]) ** 2 + (y / axes[1]) ** 2 + (z / axes[2]) ** 2)
    return np.asarray((radius - 1) * min(axes), dtype=np.float32)


def _cavity(patient: Patient, x: Floats, y: Floats, z: Floats) -> Floats:
    below = np.clip((patient.apex - z) / 200, 0, 1)
    width = np.maximum(patient.half_width * np.sqrt(1 - (1 - below) ** 2.5), 2)
    depth = np.maximum(patient.half_depth * np.sqrt(1 - (1 - below) ** 2.2), 2)
    oval = _oval(x, y - 12 * (1 - below) ** 2, width, depth, 2.3)
    return smooth_max(oval, z - patient.apex, 8)


def _body(patient: Patient, x: Floats, y: Floats, z: Floats) -> Floats:
    shoulder = smooth_step(z, 25, 95)
    width = patient.half_width + patient.wall + 45 * shoulder
    depth = patient.half_depth + 0.75 * patient.wall + 4 - 16 * shoulder
    return _oval(x, y - 4, width, depth, 2.5)


def _abdomen(patient: Patient, x: Floats, y: Floats, z: Floats) -> Floats:
    left = smooth_step(x, -15, 25)
    center = np.where(x < 0, -0.46, 0.46) * patient.half_width
    across = (x - center) / (0.62 * patient.half_width)
    back = (y + 12) / patient.half_depth
    fall = across**2 * 34 + np.where(back > 0, 62, 26) * np.abs(back) ** 2.4
    return np.asarray(z - (patient.dome - 10 * left - fall), dtype=np.float32)


def _heart(patient: Patient, x: Floats, y: Floats, z: Floats) -> Floats:
    dx, dy, dz = x - 17, y + 32, z + 72 * patient.heart
    # The long axis points to the left, to the front and down.
    along = 0.68 * dx - 0.42 * dy - 0.60 * dz
    across = 0.53 * dx + 0.85 * dy
    upward = 0.51 * dx - 0.32 * dy + 0.80 * dz
    size = patient.heart
    return _ellipsoid(along, across, upward, (62 * size, 42 * size, 46 * size))


def _mediastinum(patient: Patient, x: Floats, y: Floats, z: Floats) -> Floats:
    width = 5 + patient.mediastinum * np.exp(-(((y - 2) / 33) ** 2)) - 8 * smooth_step(z, 35, 80)
    middle = 3 + 4 * smooth_step(-z, 0, 60)
    between = np.abs(x - middle) - width
    hila = [_ellipsoid(x - side, y - 3, z + 20, (13, 15, 22)) for side in (-33, 36)]
    tube = np.sqrt((x - 24) ** 2 + (y - spine_y(z) + 4) ** 2) - 14.5
    aorta = smooth_max(tube, z - 40, 6)
    arch = _ellipsoid(x - 16, y - 5, z - 36, (20, 38, 15))
    spine = _oval(x, y - spine_y(z) - 22, 24.0, 42.0, 2.2)
    merged: Floats = between
    for part in (*hila, aorta, arch, spine):
        merged = -smooth_max(-merged, -np.asarray(part), 6)
    return merged


def _rib_bumps(patient: Patient, rib_phase: Floats, angle: Floats) -> Floats:
    """Return by how many mm the ribs, most of all where their cartilage begins, bulge into the cavity."""
    at_rib = np.maximum(-np.cos(2 * np.pi * rib_phase), 0) ** 2
    where = 1 + 1.4 * np.exp(-(((angle - COSTOCHONDRAL_ANGLE) / 0.12) ** 2))
    return np.asarray(patient.rib_bumps * at_rib * where, dtype=np.float32)


def build_anatomy(patient: Patient, seed: int, case: int, half_field_mm: float) -> Anatomy:
    """Compute the coarse fields of a patient.

    Args:
        patient: sizes.
        seed: the data set's seed.
        case: the scan's number.
        half_field_mm: half the width of the field of view; the grid reaches a little farther.
    """
    reach = half_field_mm + 15
    lower: Points = np.array([LOWEST_MM, -reach, -reach])
    coarse = CoarseGrid.covering(lower, np.array([HIGHEST_MM, reach, reach]), COARSE_MM)
    generator = stream(seed, case, "anatomy")
    warps = [noise_field(generator, coarse, length) * size for length, size in ((150, 6.0), (150, 5.0), (120, 6.0))]
    small = noise_field(generator, coarse, 45)
    lumps, folds = noise_field(generator, coarse, 14), noise_field(generator, coarse, 35)
    plain = coarse.coordinates()
    x, y, z = (np.asarray(axis + warp, dtype=np.float32) for axis, warp in zip(plain, warps, strict=True))
    angle = np.arctan2(np.abs(plain[0]), plain[1] - 2) + 0 * z
    descent = 30 * np.minimum(angle, 2.2) - 18 * np.maximum(angle - 2.2, 0)
    rib_phase = np.asarray((plain[2] + descent) / RIB_PITCH_MM, dtype=np.float32)
    bumps = _rib_bumps(patient, rib_phase, angle) * np.clip(1 + 0.6 * small, 0, 2)
    cavity = normalized_distance(_cavity(patient, x, y, z) + 0.6 * small, COARSE_MM) + bumps
    heart = normalized_distance(_heart(patient, x, y, z), COARSE_MM)
    abdomen = normalized_distance(_abdomen(patient, x, y, z) + small, COARSE_MM)
    middle = _mediastinum(patient, x, y, plain[2] + 0 * z) + 1.5 * small
    lung = cavity
    for organ in (middle, heart - 4, abdomen - 1.5):
        lung = smooth_max(lung, -organ, 5)
    return Anatomy(
        coarse=coarse,
        body=normalized_distance(_body(patient, x, y, z) + 0.5 * small, COARSE_MM),
        cavity=cavity,
        lung=normalized_distance(lung, COARSE_MM),
        abdomen=abdomen,
        heart=heart,
        rib_phase=rib_phase,
        rib_angle=np.asarray(angle, dtype=np.float32),
        oblique=np.asarray((z - 35 + 1.19 * (70 - y)) / 1.55 + small, dtype=np.float32),
        horizontal=np.asarray(z + 32 - 0.15 * y + small, dtype=np.float32),
        lumps=lumps,
        folds=folds,
    )
