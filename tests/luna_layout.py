"""A tiny data set in LUNA16's layout, written by hand so that no reader of ours has a say in it."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

LUNG_HU, TISSUE_HU, AIR_HU = -860, 40, -1000
COLUMNS = ("seriesuid", "coordX", "coordY", "coordZ", "diameter_mm")
Array = npt.NDArray[np.float64]


@dataclass
class TinyScan:
    """A body with lungs in it; world coordinates are LPS mm, as in LUNA16."""

    series: str
    shape: tuple[int, int, int] = (32, 30, 14)
    spacing: tuple[float, float, float] = (1.0, 1.0, 2.0)
    origin: tuple[float, float, float] = (-40.0, 12.5, -200.0)
    directions: Array = field(default_factory=lambda: np.eye(3))  # column a: where axis a points
    nodules: list[tuple[tuple[float, float, float], float]] = field(default_factory=list)

    def to_lps(self, index: Sequence[float]) -> tuple[float, float, float]:
        point = np.array(self.origin) + self.directions @ (np.array(self.spacing) * index)
        return float(point[0]), float(point[1]), float(point[2])

    def add(self, index: Sequence[float], diameter: float) -> TinyScan:
        self.nodules.append((self.to_lps(index), diameter))
        return self

    def voxels(self) -> npt.NDArray[np.int16]:
        seed = sum(map(ord, self.series))
        noise = np.random.default_rng(seed).normal(0, 20, self.shape)
        volume = np.full(self.shape, float(LUNG_HU)) + noise
        volume[:3], volume[-3:] = AIR_HU, AIR_HU
        volume[3:6], volume[-6:-3], volume[:, :4], volume[:, -4:] = (TISSUE_HU,) * 4
        grid = np.stack(np.indices(self.shape), -1) * self.spacing
        for center, diameter in self.nodules:
            place = self.directions.T @ (np.array(center) - self.origin)
            volume[np.linalg.norm(grid - place, axis=-1) <= diameter / 2] = TISSUE_HU
        return volume.astype(np.int16)

    def write(self, folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.series}.mhd"
        write_mhd(path, self.voxels(), self.spacing, self.origin, self.directions)
        return path


def write_mhd(
    path: Path, voxels: npt.NDArray[np.int16], spacing: Sequence[float], origin: Sequence[float], directions: Array
) -> None:
    """Write header and raw file; MetaImage lists the direction of one axis after the other."""
    lines = {
        "ObjectType": "Image",
        "NDims": 3,
        "BinaryData": "True",
        "BinaryDataByteOrderMSB": "False",
        "CompressedData": "False",
        "TransformMatrix": " ".join(repr(float(value)) for value in directions.T.ravel()),
        "Offset": " ".join(map(repr, origin)),
        "CenterOfRotation": "0 0 0",
        "ElementSpacing": " ".join(map(repr, spacing)),
        "DimSize": " ".join(map(str, voxels.shape)),
        "ElementType": "MET_SHORT",
        "ElementDataFile": f"{path.stem}.raw",
    }
    path.write_text("".join(f"{key} = {value}\n" for key, value in lines.items()))
    path.with_suffix(".raw").write_bytes(voxels.astype("<i2").tobytes(order="F"))


def rows_of(scans: Iterable[TinyScan]) -> list[tuple[object, ...]]:
    return [(scan.series, *center, diameter) for scan in scans for center, diameter in scan.nodules]


def write_annotations(path: Path, rows: Iterable[Sequence[object]], columns: Sequence[str] = COLUMNS) -> None:
    with path.open("w", newline="", encoding="utf-8") as handle:
        csv.writer(handle).writerows([columns, *rows])


def write_luna(source: Path, scans: Sequence[TinyScan], subsets: int = 10) -> Path:
    """Write scans into ``subset0 ...`` in turn and their annotations beside."""
    for number, scan in enumerate(scans):
        scan.write(source / f"subset{number % subsets}")
    write_annotations(source / "annotations.csv", rows_of(scans))
    return source


def tiny_scans(count: int, prefix: str = "1.2.826.9") -> list[TinyScan]:
    """Scans with a nodule each, every third without."""
    scans = [TinyScan(f"{prefix}.{100 + number}") for number in range(count)]
    for number, scan in enumerate(scans):
        if number % 3 != 2:
            scan.add((14 + number % 4, 15.25, 6.5), 7.0)
    return scans
