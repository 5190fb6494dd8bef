"""A tiny data set in LIDC-IDRI's layout: DICOM series and readers' XML, written without any reader of ours."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

LUNG_HU, TISSUE_HU, AIR_HU = -860, 40, -1000
INTERCEPT = -1024
Point = tuple[int, int]
# Changes one slice's data before it is written; the number is the slice's place from below.
Edit = Callable[[Dataset, int], None]


@dataclass
class TinySeries:
    """A CT of a body with lungs; the position is that of the first pixel of the lowest slice, LPS mm."""

    uid: str
    patient: str = "LIDC-IDRI-0001"
    shape: tuple[int, int, int] = (32, 30, 8)  # columns, rows, slices
    spacing: tuple[float, float, float] = (0.8, 0.7, 2.5)  # between columns, rows, slices
    position: tuple[float, float, float] = (-12.0, -10.0, -120.0)
    directions: tuple[float, ...] = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
    modality: str = "CT"
    edit: Edit | None = None
    study: str = "1.2.826.10.1"

    def sop(self, number: int) -> str:
        return f"{self.uid}.{number + 1}"

    def height(self, number: int) -> float:
        return self.place(number)[2]

    def place(self, number: int) -> tuple[float, float, float]:
        normal = np.cross(self.directions[:3], self.directions[3:])
        point = np.array(self.position) + normal * number * self.spacing[2]
        return float(point[0]), float(point[1]), float(point[2])

    def hounsfield(self) -> npt.NDArray[np.int16]:
        """HU as ``(column, row, slice)``."""
        noise = np.random.default_rng(sum(map(ord, self.uid))).normal(0, 20, self.shape)
        volume = np.full(self.shape, float(LUNG_HU)) + noise
        volume[:3], volume[-3:] = AIR_HU, AIR_HU
        volume[3:6], volume[-6:-3], volume[:, :4], volume[:, -4:] = (TISSUE_HU,) * 4
        volume[12:18, 12:18, 2:5] = TISSUE_HU
        return volume.astype(np.int16)

    def slice_data(self, number: int, hounsfield: npt.NDArray[np.int16]) -> Dataset:
        data = Dataset()
        data.file_meta = FileMetaDataset()
        data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = CTImageStorage
        data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = self.sop(number)
        data.SeriesInstanceUID, data.StudyInstanceUID = self.uid, self.study
        data.PatientID, data.PatientName, data.Modality = self.patient, "", self.modality
        data.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        data.ImagePositionPatient = [f"{value:.6f}" for value in self.place(number)]
        data.ImageOrientationPatient = [f"{value:.6f}" for value in self.directions]
        data.PixelSpacing = [self.spacing[1], self.spacing[0]]
        # Neither follows the patient's axis: nothing may depend on them.
        data.InstanceNumber, data.SliceLocation = (number * 5) % self.shape[2] + 1, -self.height(number)
        data.RescaleSlope, data.RescaleIntercept = 1, INTERCEPT
        data.Columns, data.Rows = self.shape[:2]
        data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
        data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 1
        data.PixelData = (hounsfield[..., number].T.astype(np.int32) - INTERCEPT).astype("<i2").tobytes()
        return data

    def write(self, folder: Path, numbers: Iterable[int] | None = None) -> list[Path]:
        """Write the slices, return the files from below."""
        folder.mkdir(parents=True, exist_ok=True)
        hounsfield = self.hounsfield()
        files = []
        for number in range(self.shape[2]) if numbers is None else numbers:
            data = self.slice_data(number, hounsfield)
            if self.edit is not None:
                self.edit(data, number)
            files.append(folder / file_name(number, self.shape[2]))
            data.save_as(files[-1], enforce_file_format=True)
        return files


def file_name(number: int, count: int = 8) -> str:
    """The name of a slice's file: every other slice comes first, so that names do not sort in the slices' order."""
    return f"1-{number // 2 + (number % 2) * ((count + 1) // 2):03d}.dcm"


def square(low: Point, high: Point) -> list[Point]:
    """The outline around the pixels from ``low`` to ``high``: the first pixels outside of them."""
    (left, top), (right, bottom) = (low[0] - 1, low[1] - 1), (high[0] + 1, high[1] + 1)
    upper = [(x, top) for x in range(left, right)] + [(right, y) for y in range(top, bottom)]
    return upper + [(x, bottom) for x in range(right, left, -1)] + [(left, y) for y in range(bottom, top, -1)]


@dataclass
class TinyNodule:
    """Outlines ``{slice number: points}`` of one reader; ``holes`` likewise."""

    outlines: dict[int, Sequence[Point]]
    malignancy: int | None = 3
    holes: dict[int, Sequence[Point]] = field(default_factory=dict)


@dataclass
class TinyReader:
    """Nodules, and single points ``(slice number, point)`` of small nodules and of non-nodules."""

    nodules: list[TinyNodule] = field(default_factory=list)
    small: list[tuple[int, Point]] = field(default_factory=list)
    others: list[tuple[int, Point]] = field(default_factory=list)


def cube(low: Point, high: Point, slices: Iterable[int], malignancy: int | None = 3) -> TinyNodule:
    return TinyNodule({number: square(low, high) for number in slices}, malignancy)


def write_xml(
    path: Path,
    series: TinySeries,
    readers: Sequence[TinyReader],
    *,
    uid: str | None = None,
    root: str = "LidcReadMessage",
    height: Callable[[float], Any] = float,
) -> Path:
    """Write the readers' XML of a series; ``uid`` names another series, ``height`` changes what is noted as z."""

    def roi(number: int, points: Sequence[Point], included: bool = True) -> str:
        edges = "".join(f"<edgeMap><xCoord>{x}</xCoord><yCoord>{y}</yCoord></edgeMap>" for x, y in points)
        z = f"<imageZposition>{height(series.height(number))} </imageZposition>"
        sop = f"<imageSOP_UID>{series.sop(number)}</imageSOP_UID>"
        return f"<roi>{z}{sop}<inclusion>{str(included).upper()}</inclusion>{edges}</roi>"

    def nodule(name: str, item: TinyNodule) -> str:
        rating = "" if item.malignancy is None else f"<malignancy>{item.malignancy}</malignancy>"
        rois = [roi(number, points) for number, points in item.outlines.items()]
        rois += [roi(number, points, False) for number, points in item.holes.items()]
        head = f"<noduleID>{name}</noduleID><characteristics><subtlety>5</subtlety>{rating}</characteristics>"
        return f"<unblindedReadNodule>{head}{''.join(rois)}</unblindedReadNodule>"

    def small(number: int, point: Point) -> str:
        return f"<unblindedReadNodule><noduleID>s</noduleID>{roi(number, [point])}</unblindedReadNodule>"

    def other(number: int, point: Point) -> str:
        locus = f"<locus><xCoord>{point[0]}</xCoord><yCoord>{point[1]}</yCoord></locus>"
        sop = f"<imageSOP_UID>{series.sop(number)}</imageSOP_UID>"
        return f"<nonNodule><nonNoduleID>n</nonNoduleID>{sop}{locus}</nonNodule>"

    sessions = ""
    for reader in readers:
        parts = [nodule(f"Nodule {place}", item) for place, item in enumerate(reader.nodules)]
        parts += [small(*mark) for mark in reader.small] + [other(*mark) for mark in reader.others]
        sessions += f"<readingSession>{''.join(parts)}</readingSession>"
    header = f"<ResponseHeader><SeriesInstanceUid>{uid or series.uid}</SeriesInstanceUid></ResponseHeader>"
    path.parent.mkdir(parents=True, exist_ok=True)
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n<{root} xmlns="http://www.nih.gov">{header}{sessions}</{root}>\n'
    path.write_text(text)
    return path


def write_case(source: Path, series: TinySeries, readers: Sequence[TinyReader] | None = None) -> Path:
    """Write a series with its XML as the collection has them; return the series' folder."""
    folder = source / series.patient / series.study / series.uid
    series.write(folder)
    write_xml(folder / "069.xml", series, two_readers() if readers is None else readers)
    return folder


def two_readers() -> list[TinyReader]:
    """Two readers who outline the block of tissue in a tiny series, one a little wider."""
    first, second = cube((12, 12), (17, 17), (2, 3, 4), 4), cube((12, 12), (18, 17), (2, 3, 4), 5)
    return [TinyReader([first]), TinyReader([second])]


def tiny_collection(source: Path, count: int = 3) -> Path:
    """Write one series each of several patients."""
    for number in range(count):
        series = TinySeries(f"1.2.826.10.9.{number + 1}", patient=f"LIDC-IDRI-{number + 1:04d}")
        write_case(source, series)
    return source
