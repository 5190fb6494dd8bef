"""Densities in HU of the large organs on one fine slice after the other."""

from __future__ import annotations

import numpy as np

from medbundles.samples.chest import skeleton
from medbundles.samples.chest.anatomy import Anatomy
from medbundles.samples.chest.fields import CoarseGrid, FieldReader
from medbundles.samples.chest.grid import Floats, ScanGrid
from medbundles.samples.chest.parenchyma import Disease, parenchyma
from medbundles.samples.chest.patient import Patient

AIR, FAT, MUSCLE, SKIN, LIVER = -1000.0, -105.0, 55.0, 15.0, 58.0
TEXTURE_MM = 2.4
# Bullae keep thin walls; only the air outside and in the bronchi is darker.
DARKEST_LUNG_HU = -985.0


def _inside(distance: Floats, blur: float) -> Floats:
    """Return the share of a voxel that lies inside a surface."""
    return np.asarray(np.clip(0.5 - distance / blur, 0, 1), dtype=np.float32)


def _blend(slice_hu: Floats, share: Floats, hu: Floats | float) -> None:
    slice_hu += share * (hu - slice_hu)


class TissuePainter:
    """Paints slices of one patient.

    Args:
        patient: densities and sizes.
        anatomy: the organs' distances.
        grid: the scan.
        disease: what ails the parenchyma.
        generator: random numbers of the lungs' texture.
    """

    def __init__(
        self, patient: Patient, anatomy: Anatomy, grid: ScanGrid, disease: Disease, generator: np.random.Generator
    ) -> None:
        self._patient, self._grid = patient, grid
        names = ("body", "cavity", "lung", "abdomen", "heart", "rib_phase", "rib_angle", "oblique", "horizontal")
        self._readers = {
            name: FieldReader(getattr(anatomy, name), anatomy.coarse, grid) for name in (*names, "lumps", "folds")
        }
        z, y, x = grid.axes
        ends = [np.array([axis[end] for axis in (z, y, x)]) for end in (0, -1)]
        fine = CoarseGrid.covering(ends[0], ends[1], TEXTURE_MM)
        texture = parenchyma(generator, fine, anatomy, patient, disease)
        self._readers["texture"] = FieldReader(texture, fine, grid)
        self._x, self._y = x.astype(np.float32)[None, :], y.astype(np.float32)[:, None]
        self._z = z
        self._table_mm = patient.half_depth + 0.75 * patient.wall + 12

    def paint(self, number: int) -> Floats:
        """Return one fine slice ``(y, x)`` in HU."""
        fields = {name: reader.slice(number) for name, reader in self._readers.items()}
        blur, z = self._grid.blur_mm, float(self._z[number])
        hu = np.full(fields["body"].shape, AIR, dtype=np.float32)
        _blend(hu, self._table(), -250.0)
        _blend(hu, _inside(fields["body"], blur), self._wall(fields))
        cavity = _inside(fields["cavity"], blur)
        _blend(hu, cavity, FAT + 35 * np.clip(fields["folds"] + 0.5, 0, 2) + 45 * np.clip(fields["lumps"], 0, 2))
        skeleton.paint_cage(hu, fields, self._x, z, blur)
        self._paint_abdomen(hu, fields, blur)
        self._paint_heart(hu, fields, blur)
        skeleton.paint_spine(hu, fields, self._x, self._y, z, blur)
        _blend(hu, _inside(fields["lung"], blur), self._lung(fields, blur))
        return hu

    def _table(self) -> Floats:
        bottom = self._table_mm - (self._x / 62) ** 2
        return _inside(np.abs(self._y - bottom) - 0.9, 1.0)

    def _wall(self, fields: dict[str, Floats]) -> Floats:
        outside, depth = fields["cavity"], -fields["body"]
        hu = FAT + 8 * fields["lumps"]
        limit = self._patient.muscle * (1 + 0.2 * fields["folds"]) + 10 * np.exp(-((fields["rib_angle"] / 0.5) ** 2))
        _blend(hu, _inside(outside - limit, 2.0), MUSCLE + 0 * hu)
        gap = np.abs(outside - 0.62 * limit) - 1.2 + fields["lumps"]
        _blend(hu, 0.8 * _inside(gap, 2.0), FAT + 0 * hu)
        _blend(hu, _inside(depth - 1.6, 1.0), SKIN + 0 * hu)
        return hu

    def _paint_abdomen(self, hu: Floats, fields: dict[str, Floats], blur: float) -> None:
        below = np.maximum(fields["abdomen"], fields["cavity"])
        organ = np.clip(6 * (fields["folds"] + 1.1 - 0.012 * (self._x + 10)), 0, 1)
        enhanced = LIVER + 0.18 * self._patient.contrast_hu
        _blend(hu, _inside(below, blur), FAT + organ * (enhanced - FAT))
        _blend(hu, _inside(np.abs(below + 1.2) - 1.6, blur), MUSCLE)

    def _paint_heart(self, hu: Floats, fields: dict[str, Floats], blur: float) -> None:
        heart = np.maximum(fields["heart"], -fields["abdomen"])
        _blend(hu, _inside(heart, blur), 48.0 + 0.25 * self._patient.contrast_hu)
        septum = np.abs(0.75 * (self._x - 14) + 0.66 * (self._y + 34)) - 4 + 3 * fields["folds"]
        chamber = np.maximum(heart + 8 + fields["lumps"], -septum)
        _blend(hu, _inside(chamber, 4.0), self._patient.blood_hu)

    def _lung(self, fields: dict[str, Floats], blur: float) -> Floats:
        patient = self._patient
        back = self._y / (2 * patient.half_depth)
        hu = patient.lung_hu + patient.gradient_hu * back + fields["texture"]
        hu += 9 * fields["folds"] + 7 * fields["lumps"]
        if patient.dependent_hu:
            layer = np.exp(np.minimum(fields["lung"], 0) / 6) * np.clip(3 * back - 0.55, 0, 1)
            hu += patient.dependent_hu * layer * np.clip(1 + 0.5 * fields["lumps"], 0, 2)
        horizontal = np.where((self._x < 0) & (fields["oblique"] > 0), np.abs(fields["horizontal"]), np.float32(99))
        nearest = np.minimum(np.abs(fields["oblique"]), horizontal)
        np.maximum(hu, np.float32(DARKEST_LUNG_HU), out=hu)
        half, full = patient.fissure_mm / 2, min(patient.fissure_mm / blur, 1.0)
        share = np.minimum(_inside(nearest - half, blur), full)
        _blend(hu, share * np.clip(1.1 + 0.5 * fields["folds"], 0, 1.4), 0.0)
        return hu
