"""The readers' XML of LIDC-IDRI: who outlined what on which slice.

Source: Armato et al., Medical Physics 38, 2011, and the collection's own documentation of its XML. Up to four readers
mark nodules of 3 mm and more by an outline on every slice, smaller nodules by one point, and other things (non-nodules)
by one point. An outline runs through the first pixels OUTSIDE of the nodule.
"""

from __future__ import annotations

import math
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from medbundles.errors import DataError, Finding

XML_SUFFIX = ".xml"
SOURCE_SUFFIXES = (".dcm", XML_SUFFIX)
# The message of CT readings; the collection's X-ray readings are ``IdriReadMessage`` and have no outlines.
CT_MESSAGE = "LidcReadMessage"
MarkKind = Literal["below 3 mm", "non-nodule"]
Points = tuple[tuple[int, int], ...]
# Stands before every tag's name, whatever the namespace (it is http://www.nih.gov).
ANY = "{*}"


@dataclass(frozen=True)
class Outline:
    """One closed outline on one slice.

    Attributes:
        sop_uid: the slice.
        z_mm: the height that the reader's program noted.
        points: pixels ``(column, row)`` on it, counted from 0, in the order they were drawn.
        included: False for a hole: what it encloses is not nodule.
    """

    sop_uid: str
    z_mm: float
    points: Points
    included: bool = True


@dataclass(frozen=True)
class OutlinedNodule:
    """A nodule of 3 mm and more as one reader saw it.

    Attributes:
        name: the reader's name for it.
        outlines: on each of its slices.
        malignancy: 1 (highly unlikely) to 5 (highly suspicious); None where it was not rated.
    """

    name: str
    outlines: tuple[Outline, ...]
    malignancy: int | None


@dataclass(frozen=True)
class Mark:
    """A single point of one reader.

    Attributes:
        kind: a nodule below 3 mm, or something that is no nodule.
        sop_uid: the slice.
        point: pixel ``(column, row)``, counted from 0.
    """

    kind: MarkKind
    sop_uid: str
    point: tuple[int, int]


@dataclass(frozen=True)
class Reader:
    """What one reader found.

    Attributes:
        nodules: of 3 mm and more.
        marks: smaller nodules and non-nodules.
    """

    nodules: tuple[OutlinedNodule, ...] = ()
    marks: tuple[Mark, ...] = ()


@dataclass(frozen=True)
class Reading:
    """One XML file.

    Attributes:
        path: the file.
        series_uid: the CT series it belongs to.
        readers: one entry a reading session.
    """

    path: Path
    series_uid: str
    readers: tuple[Reader, ...]


def is_lidc(source: Path) -> bool:
    """Tell whether a folder is laid out like LIDC-IDRI: ``LIDC-IDRI-xxxx`` at most two levels down, DICOM or XML in it.

    The names alone do not tell: cases that somebody has converted to NIfTI keep them.
    """
    patterns = ("LIDC-IDRI-[0-9]*", "*/LIDC-IDRI-[0-9]*", "*/*/LIDC-IDRI-[0-9]*")
    folders = (path for pattern in patterns for path in source.glob(pattern) if path.is_dir())
    return any(path.suffix.lower() in SOURCE_SUFFIXES for folder in folders for path in folder.rglob("*"))


def find_readings(folder: Path) -> list[Path]:
    """Return all XML files at or below a folder, sorted."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() == XML_SUFFIX and path.is_file())


def read_series_uid(path: Path) -> str | None:
    """Read which CT series an XML belongs to, without reading all of it.

    Returns:
        The series UID; None for the readings of X-ray images and for XML of other kinds.

    Raises:
        DataError: the file is cut short or damaged, or names no series (LUN011).
    """
    try:
        events = ElementTree.iterparse(path, events=("start", "end"))
        if next(events)[1].tag.rpartition("}")[2] != CT_MESSAGE:
            return None
        for event, element in events:
            name = element.tag.rpartition("}")[2]
            if event == "end" and name.lower() == "seriesinstanceuid" and (element.text or "").strip():
                return str(element.text).strip()
            if name == "readingSession":
                break
    except (ElementTree.ParseError, UnicodeDecodeError, ValueError, StopIteration) as error:
        raise _damaged(path, f"not well-formed: {error}") from error
    raise _damaged(path, "its ResponseHeader names no SeriesInstanceUid")


def read_reading(path: Path) -> Reading:
    """Read the outlines and marks of all readers.

    Raises:
        DataError: the file is no readers' XML, or a value in it is missing or no number (LUN011).
    """
    series = read_series_uid(path)
    if series is None:
        raise _damaged(path, f"its root is no {CT_MESSAGE}, as the readings of a CT have it")
    try:
        root = ElementTree.parse(path).getroot()
    except (ElementTree.ParseError, UnicodeDecodeError, ValueError) as error:
        raise _damaged(path, f"not well-formed: {error}") from error
    sessions = root.findall(f"{ANY}readingSession")
    return Reading(path, series, tuple(_reader(session, path) for session in sessions))


def _reader(session: ElementTree.Element, path: Path) -> Reader:
    nodules, marks = [], []
    for element in session.findall(f"{ANY}unblindedReadNodule"):
        name = (element.findtext(f"{ANY}noduleID") or "without a name").strip()
        outlines = tuple(_outlines(element, path, name))
        # A nodule below 3 mm is one point in all; a single point on one slice of a larger one encloses nothing.
        if max((len(outline.points) for outline in outlines), default=0) > 1:
            nodules.append(OutlinedNodule(name, outlines, _malignancy(element, path, name)))
        else:
            marks += [Mark("below 3 mm", outline.sop_uid, outline.points[0]) for outline in outlines]
    for element in session.findall(f"{ANY}nonNodule"):
        name = (element.findtext(f"{ANY}nonNoduleID") or "without a name").strip()
        slice_uid = _needed(element, "imageSOP_UID", path, name)
        marks += [Mark("non-nodule", slice_uid, point) for point in _points(element, "locus", path, name)[:1]]
    return Reader(tuple(nodules), tuple(marks))


def _outlines(nodule: ElementTree.Element, path: Path, name: str) -> Iterator[Outline]:
    for roi in nodule.findall(f"{ANY}roi"):
        points = _points(roi, "edgeMap", path, name)
        if points:
            yield Outline(
                sop_uid=_needed(roi, "imageSOP_UID", path, name),
                z_mm=_number(roi, "imageZposition", path, name),
                points=points,
                included=(roi.findtext(f"{ANY}inclusion") or "TRUE").strip().upper() != "FALSE",
            )


def _points(element: ElementTree.Element, tag: str, path: Path, name: str) -> Points:
    return tuple(
        (int(_number(point, "xCoord", path, name)), int(_number(point, "yCoord", path, name)))
        for point in element.findall(f"{ANY}{tag}")
    )


def _malignancy(nodule: ElementTree.Element, path: Path, name: str) -> int | None:
    characteristics = nodule.find(f"{ANY}characteristics")
    if characteristics is None or not (characteristics.findtext(f"{ANY}malignancy") or "").strip():
        return None
    rating = int(_number(characteristics, "malignancy", path, name))
    # Unrated characteristics are 0 in some of the files.
    return rating if 1 <= rating <= 5 else None


def _needed(element: ElementTree.Element, tag: str, path: Path, name: str) -> str:
    text = (element.findtext(f"{ANY}{tag}") or "").strip()
    if not text:
        raise _damaged(path, f"nodule {name}: {tag} is missing")
    return text


def _number(element: ElementTree.Element, tag: str, path: Path, name: str) -> float:
    text = _needed(element, tag, path, name)
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise _damaged(path, f"nodule {name}: {tag} is {text!r}, expected a number")
    return value


def _damaged(path: Path, why: str) -> DataError:
    fix = "copy the XML again from its source"
    return DataError(findings=[Finding("LUN011", "error", why, fix, file=path.name)])
