"""DICOM files by their headers: which slices belong to which series, and what each slice says about itself.

Positions and directions are LPS mm, as DICOM has them. Pixels are read by :mod:`medbundles.io.dicom_volume`; what is
wrong with a series is for :mod:`medbundles.checks.dicom` to say.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medbundles.errors import DataError, Finding

# A DICOM file has 128 bytes for anybody's use, then these letters.
PREAMBLE_BYTES = 128
MAGIC = b"DICM"
# DICOMDIR is a table of contents in DICOM's own form.
DIRECTORY_CLASS = "1.2.840.10008.1.3.10"
# Values longer than this stay in the file: of the pixels only place and length are wanted here.
DEFERRED_BYTES = 1024
# How DICOM writes "until a delimiter follows" (compressed pixels).
UNDEFINED_LENGTH = 0xFFFFFFFF
TAGS = [
    "SOPClassUID",
    "SOPInstanceUID",
    "SeriesInstanceUID",
    "StudyInstanceUID",
    "PatientID",
    "Modality",
    "ImageType",
    "Rows",
    "Columns",
    "NumberOfFrames",
    "BitsAllocated",
    "SamplesPerPixel",
    "PixelRepresentation",
    "PhotometricInterpretation",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "RescaleSlope",
    "RescaleIntercept",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
    "PixelData",
]


@dataclass(frozen=True, slots=True)
class SliceHeader:
    """What one DICOM file says about itself; what it does not say is None, empty or 0.

    Attributes:
        path: the file.
        sop_uid: its own UID.
        series_uid: of its series.
        study_uid: of its study.
        patient_id: as written, without blanks around it.
        modality: ``CT``, ``MR``, ``DX`` ...
        image_type: such as ``("ORIGINAL", "PRIMARY", "AXIAL")``.
        shape: columns and rows.
        frames: more than 1 in an enhanced multi-frame file.
        position_lps_mm: center of the first pixel.
        directions: unit vectors in LPS along a row (growing column) and along a column (growing row).
        pixel_spacing_mm: distance between rows, distance between columns, in DICOM's order.
        slope: what a stored number is multiplied with.
        intercept: what is added then.
        padding: lowest and highest stored number that stand for "not measured".
        photometric: ``MONOCHROME2`` or ``MONOCHROME1`` for single numbers.
        transfer_syntax: UID of how the pixels are stored.
        expected_bytes: how many bytes of pixels the header promises; 0 where they are compressed or absent.
        found_bytes: how many of them the file holds.
    """

    path: Path
    sop_uid: str
    series_uid: str
    study_uid: str = ""
    patient_id: str = ""
    modality: str = ""
    image_type: tuple[str, ...] = ()
    shape: tuple[int, int] = (0, 0)
    frames: int = 1
    position_lps_mm: tuple[float, ...] | None = None
    directions: tuple[float, ...] | None = None
    pixel_spacing_mm: tuple[float, ...] | None = None
    slope: float | None = None
    intercept: float | None = None
    padding: tuple[int, int] | None = None
    photometric: str = ""
    transfer_syntax: str = ""
    expected_bytes: int = 0
    found_bytes: int = 0


@dataclass(frozen=True)
class DicomFiles:
    """What was found in a set of files.

    Attributes:
        slices: the DICOM files that belong to a series, in the files' order.
        others: how many files are no DICOM, or a DICOMDIR.
        damaged: DICOM files that cannot be read, with what is wrong.
    """

    slices: tuple[SliceHeader, ...] = ()
    others: int = 0
    damaged: tuple[tuple[Path, Finding], ...] = ()

    def by_series(self) -> dict[str, list[SliceHeader]]:
        """Return the slices by series UID, sorted by it."""
        series: dict[str, list[SliceHeader]] = defaultdict(list)
        for header in self.slices:
            series[header.series_uid].append(header)
        return dict(sorted(series.items()))

    @classmethod
    def joined(cls, parts: Iterable[DicomFiles]) -> DicomFiles:
        """Return what was found in several sets of files."""
        kept = list(parts)
        return cls(
            slices=tuple(header for part in kept for header in part.slices),
            others=sum(part.others for part in kept),
            damaged=tuple(pair for part in kept for pair in part.damaged),
        )


def find_folders(source: Path, ignored_suffixes: tuple[str, ...] = ()) -> list[Path]:
    """Return ``source`` and the folders below it that hold files, sorted; hidden ones are left alone.

    Args:
        source: where to start.
        ignored_suffixes: files whose names end so (lower case) are not counted as files.
    """
    found = []
    for folder, inner, files in os.walk(source):
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        if any(not name.lower().endswith(ignored_suffixes or ("\0",)) for name in files):
            found.append(Path(folder))
    return sorted(found)


def scan_folder(folder: Path, ignored_suffixes: tuple[str, ...] = ()) -> DicomFiles:
    """Read the headers of all files in one folder, not of those below it.

    Args:
        folder: where the files lie.
        ignored_suffixes: files whose names end so (lower case) are neither read nor counted.
    """
    slices, damaged, others = [], [], 0
    for path in _files(folder, ignored_suffixes):
        try:
            header = read_slice_header(path)
        except DataError as error:
            damaged += [(path, finding) for finding in error.findings]
            continue
        if header is None:
            others += 1
        else:
            slices.append(header)
    return DicomFiles(tuple(slices), others, tuple(damaged))


def _files(folder: Path, ignored_suffixes: tuple[str, ...]) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        hidden = path.name.startswith(".")
        if not hidden and path.is_file() and not path.name.lower().endswith(ignored_suffixes or ("\0",)):
            yield path


def read_slice_header(path: Path) -> SliceHeader | None:
    """Read what a DICOM file says about itself, without its pixels.

    Returns:
        The header; None for what is no DICOM file, and for a DICOMDIR.

    Raises:
        DataError: a DICOM file that cannot be read or does not say to which series it belongs (DCM007).
    """
    import pydicom

    size = path.stat().st_size
    with path.open("rb") as stream:
        if stream.read(PREAMBLE_BYTES + len(MAGIC))[PREAMBLE_BYTES:] != MAGIC:
            return None
    try:
        data = pydicom.dcmread(path, specific_tags=TAGS, defer_size=DEFERRED_BYTES)
        if str(data.get("SOPClassUID", data.file_meta.get("MediaStorageSOPClassUID", ""))) == DIRECTORY_CLASS:
            return None
        header = _header(path, data, size)
    except MemoryError:
        raise  # of the machine, not of the file
    except Exception as error:  # damaged bytes surface as almost any exception in pydicom
        raise _damaged(path, size, str(error) or type(error).__name__) from error
    if not header.series_uid or not header.sop_uid:
        raise _damaged(path, size, "it ends before it says to which series it belongs")
    return header


def _header(path: Path, data: Any, size: int) -> SliceHeader:
    samples = int(data.get("SamplesPerPixel", 1) or 1)
    frames = int(data.get("NumberOfFrames", 1) or 1)
    columns, rows = int(data.get("Columns", 0) or 0), int(data.get("Rows", 0) or 0)
    expected, found = columns * rows * frames * samples * int(data.get("BitsAllocated", 0) or 0) // 8, 0
    if "PixelData" in data:
        pixels = data.get_item("PixelData", keep_deferred=True)
        length = getattr(pixels, "length", None)
        if length is None or length == UNDEFINED_LENGTH:
            expected = 0
        else:
            found = max(0, min(length, size - pixels.value_tell))
    elif not columns * rows:
        expected = 0
    return SliceHeader(
        path=path,
        sop_uid=_text(data, "SOPInstanceUID"),
        series_uid=_text(data, "SeriesInstanceUID"),
        study_uid=_text(data, "StudyInstanceUID"),
        patient_id=_text(data, "PatientID"),
        modality=_text(data, "Modality"),
        image_type=tuple(str(part).upper() for part in _several(data.get("ImageType"))),
        shape=(columns, rows),
        frames=frames,
        position_lps_mm=_numbers(data, "ImagePositionPatient", 3),
        directions=_numbers(data, "ImageOrientationPatient", 6),
        pixel_spacing_mm=_numbers(data, "PixelSpacing", 2),
        slope=_number(data, "RescaleSlope"),
        intercept=_number(data, "RescaleIntercept"),
        padding=_padding(data),
        photometric=_text(data, "PhotometricInterpretation"),
        transfer_syntax=str(data.file_meta.get("TransferSyntaxUID", "")),
        expected_bytes=expected,
        found_bytes=found,
    )


def _padding(data: Any) -> tuple[int, int] | None:
    """Return the range of padding; some scanners write a negative number as the unsigned one with the same bits."""
    ends = [_number(data, tag) for tag in ("PixelPaddingValue", "PixelPaddingRangeLimit")]
    bits, signed = int(data.get("BitsAllocated", 16) or 16), bool(data.get("PixelRepresentation", 0))
    stored = [int(end) - (1 << bits) * (signed and end >= 1 << (bits - 1)) for end in ends if end is not None]
    return (min(stored), max(stored)) if ends[0] is not None else None


def _text(data: Any, tag: str) -> str:
    return str(data.get(tag, "") or "").strip()


def _several(value: Any) -> list[Any]:
    if value is None or value == "":
        return []
    return [value] if isinstance(value, str) else list(value)


def _number(data: Any, tag: str) -> float | None:
    value = data.get(tag)
    return None if value is None or value == "" else float(value)


def _numbers(data: Any, tag: str, count: int) -> tuple[float, ...] | None:
    values = tuple(float(value) for value in _several(data.get(tag)))
    return values if len(values) == count else None


def _damaged(path: Path, size: int, why: str) -> DataError:
    message = f"a DICOM file that cannot be read ({size} bytes): {why}"
    return DataError(
        findings=[Finding("DCM007", "error", message, "copy the file again from its source", None, path.name)]
    )
