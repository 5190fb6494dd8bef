"""What can be wrong with an LIDC-IDRI folder, by DICOM headers and the readers' XML (LUN004, LUN009 to LUN011)."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from medbundles.checks.dicom import LOCALIZER_TYPES, CheckedSeries, check_one_series, check_series
from medbundles.checks.lidc_outlines import keep_placeable
from medbundles.checks.verdict import severity
from medbundles.errors import DataError, Finding
from medbundles.io.dicom import DicomFiles, SliceHeader, find_folders, scan_folder
from medbundles.io.lidc import XML_SUFFIX, find_readings, read_reading, read_series_uid

MODALITY = "CT"
# Chest X-rays that lie in many of the collection's folders, and what newer downloads add to the scans.
XRAY_MODALITIES = frozenset({"CR", "DX", "DR", "RG"})
# Calls a function with every item, in order, perhaps in other processes.
Each = Callable[[Callable[[Any], Any], Sequence[Any]], Iterable[Any]]


@dataclass(frozen=True)
class LidcCase:
    """One CT series that readers have seen.

    Attributes:
        series: its slices, sorted.
        patient_id: whose scan it is.
        xml: the readers' file.
    """

    series: CheckedSeries
    patient_id: str
    xml: Path


@dataclass(frozen=True)
class LidcSource:
    """What an LIDC-IDRI folder holds and what is wrong with it.

    Attributes:
        cases: the series that can be used, sorted by UID.
        findings: everything the checks had to say, errors first; their case is the series.
        counts: how much was left out in silence: X-ray images, other series.
    """

    cases: tuple[LidcCase, ...]
    findings: tuple[Finding, ...]
    counts: Mapping[str, int]


@dataclass(frozen=True)
class _Readings:
    """The XML files by the series they name, what is wrong with others, and how many are no readings of a CT."""

    by_series: Mapping[str, Sequence[Path]]
    damaged: tuple[tuple[Path, Finding], ...]
    others: int


def inspect_lidc(
    source: Path, annotations_dir: Path | None = None, series: Collection[str] = (), each: Each = map
) -> LidcSource:
    """Check all headers and all outlines of an LIDC-IDRI folder; pixels are read only where slices are there twice.

    Args:
        source: folder with the DICOM files, in any layout: series are told apart by their headers.
        annotations_dir: where the readers' XML lie; by default among the images.
        series: UIDs of the only series to look at; none means all that have readings.
        each: calls a function with many items, such as a pool of processes.

    Raises:
        DataError: a folder that is missing (TRN011), holds no DICOM (DCM011) or no readers' XML (LUN010). Anything
            else becomes a finding.
    """
    files = _scan(source, each)
    readings = _read_uids(annotations_dir or source)
    by_series = files.by_series()
    findings = _unknown(series, by_series)
    findings += [_located(path, finding, by_series) for path, finding in (*files.damaged, *readings.damaged)]
    if files.others:
        findings.append(Finding("DCM008", "note", f"{files.others} files that are no DICOM images were skipped"))
    findings += check_on_disk(readings.by_series, by_series)
    wanted = {uid: slices for uid, slices in by_series.items() if not series or uid in series}
    strays = {} if annotations_dir else _strays(readings.by_series, by_series)
    usable, counts, refused = _choose(wanted, readings.by_series, strays)
    findings += refused + _several_in_a_folder(by_series, usable)
    checked = list(each(_check_case, [(wanted[uid], xml) for uid, xml in usable.items()]))
    findings += [finding for _, of_case in checked for finding in of_case]
    return LidcSource(
        cases=tuple(case for case, _ in checked if case is not None),
        findings=tuple(sorted(findings, key=severity)),
        counts={
            name: number for name, number in {**counts, "XML files of other kinds": readings.others}.items() if number
        },
    )


def check_lidc(source: Path) -> list[Finding]:
    """Return the findings of :func:`inspect_lidc` (what ``medbundles check`` shows for a raw folder)."""
    return list(inspect_lidc(source).findings)


def _scan(source: Path, each: Each) -> DicomFiles:
    if not source.is_dir():
        fix = "--source is the folder that holds LIDC-IDRI-0001 and so on"
        raise DataError(findings=[Finding("TRN011", "error", f"no folder {source.name}", fix)])
    folders = find_folders(source, (XML_SUFFIX,))
    files = DicomFiles.joined(each(partial(scan_folder, ignored_suffixes=(XML_SUFFIX,)), folders))
    if not files.slices and not files.damaged:
        message = f"no DICOM file at or below {source.name} ({files.others} other files)"
        fix = "--source is the folder that holds the series as downloaded"
        raise DataError(findings=[Finding("DCM011", "error", message, fix, file=source.name)])
    return files


def _read_uids(folder: Path) -> _Readings:
    by_series: dict[str, list[Path]] = defaultdict(list)
    damaged: list[tuple[Path, Finding]] = []
    others = 0
    for path in find_readings(folder):
        try:
            uid = read_series_uid(path)
        except DataError as error:
            damaged += [(path, finding) for finding in error.findings]
            continue
        if uid is None:
            others += 1
        else:
            by_series[uid].append(path)
    if not by_series and not damaged:
        message = f"no readers' XML of a CT at or below {folder.name}"
        fix = "download the collection's annotations and say --annotations_dir"
        raise DataError(findings=[Finding("LUN010", "error", message, fix, file=folder.name)])
    return _Readings(by_series, tuple(damaged), others)


def _unknown(series: Collection[str], found: Collection[str]) -> list[Finding]:
    absent = [uid for uid in series if uid not in found]
    return [Finding("TRN011", "error", f"no file of series {uid}", "correct --series") for uid in absent]


def _located(path: Path, finding: Finding, by_series: Mapping[str, Sequence[SliceHeader]]) -> Finding:
    """Give a damaged file to the series that lies beside it, so that this case alone is bad."""
    beside = {uid for uid, slices in by_series.items() if any(item.path.parent == path.parent for item in slices)}
    return replace(finding, case=beside.pop()) if len(beside) == 1 else finding


def check_on_disk(readings: Mapping[str, Sequence[Path]], present: Collection[str]) -> list[Finding]:
    """LUN004: one warning for all XML files whose series is not there."""
    absent = [paths[0] for uid, paths in readings.items() if uid not in present]
    if not absent:
        return []
    message = f"{len(absent)} XML files of series that are not on disk were left out"
    return [Finding("LUN004", "warning", message, "copy the missing series, if they were meant", file=absent[0].name)]


def _strays(readings: Mapping[str, Sequence[Path]], present: Collection[str]) -> dict[Path, str]:
    """Return the folders that hold the XML of a series that is nowhere, with its UID."""
    return {path.parent: uid for uid, paths in readings.items() if uid not in present for path in paths}


def _choose(
    series: Mapping[str, Sequence[SliceHeader]], readings: Mapping[str, Sequence[Path]], strays: Mapping[Path, str]
) -> tuple[dict[str, Path], Counter[str], list[Finding]]:
    """Return the XML of every series that has one, what is left out in silence, and what is said about the rest."""
    usable: dict[str, Path] = {}
    counts: Counter[str] = Counter()
    findings: list[Finding] = []
    for uid, slices in series.items():
        modalities = {header.modality for header in slices}
        if uid in readings:
            different = len({path.read_bytes() for path in readings[uid]}) > 1
            findings += [_contradiction(uid, readings[uid])] if different else []
            usable |= {} if different else {uid: readings[uid][0]}
        elif modalities <= XRAY_MODALITIES:
            counts["X-ray series"] += 1
        elif MODALITY not in modalities or all(LOCALIZER_TYPES & set(header.image_type) for header in slices):
            counts["other series"] += 1
        else:
            counts["CT series without readings"] += 1
            findings.append(_without_reading(uid, slices, strays))
    return usable, counts, findings


def _contradiction(uid: str, paths: Sequence[Path]) -> Finding:
    names = ", ".join(sorted({path.name for path in paths}))
    message = f"{len(paths)} different XML files name this series: {names}"
    return Finding("LUN009", "error", message, "keep the right one", uid, paths[0].name)


def _without_reading(uid: str, slices: Sequence[SliceHeader], strays: Mapping[Path, str]) -> Finding:
    """LUN010, or LUN009 where an XML lies in the series' own folder and names one that is nowhere."""
    folder = slices[0].path.parent
    if folder in strays:
        message = f"the XML beside series {uid} names series {strays[folder]}"
        return Finding(
            "LUN009", "error", message, "put the XML of this series there, or none", uid, slices[0].path.name
        )
    message = f"no XML names this CT series of {len(slices)} slices: left out"
    return Finding("LUN010", "warning", message, "download its XML, or say --annotations_dir", uid)


def _several_in_a_folder(series: Mapping[str, Sequence[SliceHeader]], used: Collection[str]) -> list[Finding]:
    """DCM003 for every folder in which CT series lie together."""
    folders: dict[Path, dict[str, list[SliceHeader]]] = defaultdict(lambda: defaultdict(list))
    for uid, slices in series.items():
        for header in slices:
            if header.modality == MODALITY and not LOCALIZER_TYPES & set(header.image_type):
                folders[header.path.parent][uid].append(header)
    return [finding for inner in folders.values() for finding in check_one_series(inner, used)]


def _check_case(job: tuple[Sequence[SliceHeader], Path]) -> tuple[LidcCase | None, list[Finding]]:
    slices, xml = job
    checked = check_series(slices, MODALITY)
    findings = list(checked.findings)
    patients = sorted({header.patient_id for header in slices})
    if patients[0] == "" or len(patients) > 1:
        message = f"{len(patients)} different patient IDs in one series" if patients[0] else "slices have no PatientID"
        fix = "the split needs it: no patient may be in two parts"
        findings.append(Finding("DCM014", "error", message, fix, checked.series_uid, slices[0].path.name))
    if checked.slices:
        try:
            _, outline_findings = keep_placeable(read_reading(xml), checked)
        except DataError as error:
            outline_findings = list(error.findings)
        findings += [replace(finding, case=checked.series_uid) for finding in outline_findings]
    usable = bool(checked.slices) and not any(f.level == "error" and not f.allowable for f in findings)
    return (LidcCase(checked, patients[0], xml) if usable else None), findings
