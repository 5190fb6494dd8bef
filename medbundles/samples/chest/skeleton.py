"""Ribs, sternum, shoulder blades and spine, painted straight onto fine slices."""

from __future__ import annotations

import numpy as np

from medbundles.samples.chest.anatomy import COSTOCHONDRAL_ANGLE, RIB_PITCH_MM, spine_y
from medbundles.samples.chest.grid import Floats

CORTEX_HU, MARROW_HU, CARTILAGE_HU, DISC_HU, CORD_HU = 620.0, 210.0, 105.0, 75.0, 25.0
VERTEBRA_MM, DISC_MM = 25.0, 4.5


def _paint_bone(hu: Floats, distance: Floats, blur: float, marrow: Floats | float, cortex_mm: float = 1.5) -> None:
    hu += np.clip(0.5 - distance / blur, 0, 1) * (CORTEX_HU - hu)
    hu += np.clip(0.5 - (distance + cortex_mm) / blur, 0, 1) * (marrow - hu)


def paint_cage(hu: Floats, fields: dict[str, Floats], x: Floats, z: float, blur: float) -> None:
    """Paint ribs, sternum and shoulder blades.

    Args:
        hu: the slice ``(y, x)``, changed in place.
        fields: the anatomy's fields on this slice.
        x: ``(1, x)`` mm.
        z: height of the slice in mm.
        blur: width of an edge in mm.
    """
    outside, angle = fields["cavity"], fields["rib_angle"]
    marrow = MARROW_HU + 45 * fields["lumps"]
    from_middle = (fields["rib_phase"] - np.floor(fields["rib_phase"]) - 0.5) * RIB_PITCH_MM
    rib = (np.sqrt(((outside - 6.5) / 4.0) ** 2 + (from_middle / 6.5) ** 2) - 1) * 4.5
    cartilage = angle > COSTOCHONDRAL_ANGLE
    _paint_bone(hu, np.where(cartilage, np.float32(99), rib), blur, marrow)
    hu += np.where(cartilage, np.clip(0.5 - rib / blur, 0, 1), 0) * (CARTILAGE_HU - hu)
    if -85 < z < 45:
        plate = np.maximum(np.abs(outside - 9) - 5.5, np.abs(x) - 17 + 2 * fields["folds"])
        _paint_bone(hu, np.where(angle > 2.2, plate, np.float32(99)), blur, marrow)
    if z > -70:
        blade = np.maximum(np.abs(outside - 22 - 3 * fields["folds"]) - 2.2, np.abs(angle - 0.95) * 75 - 34)
        _paint_bone(hu, np.maximum(blade, fields["body"] + 8), blur, marrow, 1.0)


def paint_spine(hu: Floats, fields: dict[str, Floats], x: Floats, y: Floats, z: float, blur: float) -> None:
    """Paint a vertebra or a disc, the canal, the arch and the processes (arguments as in :func:`paint_cage`)."""
    part = (z / VERTEBRA_MM) % 1.0
    columns = np.flatnonzero(np.abs(x[0]) < 42)
    rows = np.flatnonzero(np.abs(y[:, 0] - float(spine_y(z)) - 18) < 48)
    if not len(columns) or not len(rows):
        return
    area = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    view, dx = hu[area], x[:, area[1]]
    dy = y[area[0]] - float(spine_y(z))
    lumps = fields["lumps"][area]
    waist = 1 - 0.1 * np.sin(np.pi * part)
    body = (np.sqrt((dx / (17 * waist)) ** 2 + (dy / (14.5 * waist)) ** 2) - 1) * 14
    if part * VERTEBRA_MM < DISC_MM:
        view += np.clip(0.5 - body / blur, 0, 1) * (DISC_HU - view)
    else:
        endplate = part * VERTEBRA_MM < DISC_MM + 1.3 or part * VERTEBRA_MM > VERTEBRA_MM - 1.3
        _paint_bone(view, body, blur, 480.0 if endplate else MARROW_HU - 30 + 35 * lumps, 1.2)
    canal = np.sqrt(dx**2 + (dy - 22) ** 2) - 8.5
    if 0.25 < part < 0.95:
        arch = canal - 5.0
        spinous = np.maximum(np.abs(dx) - 3.4, np.abs(dy - 40) - 12)
        transverse = np.maximum(np.abs(dx) - 31, np.abs(dy - 21 - 0.12 * np.abs(dx)) - 5)
        distance = np.minimum(arch, spinous)
        if part < 0.6:
            distance = np.minimum(distance, transverse)
        _paint_bone(view, distance, blur, MARROW_HU + 60 + 40 * lumps)
    view += np.clip(0.5 - canal / blur, 0, 1) * (CORD_HU - view)
