"""The layout of nnU-Net's raw data: ``DatasetXXX_Name/{imagesTr,labelsTr,imagesTs,labelsTs,dataset.json}``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medbundles.errors import DataError, Finding
from medbundles.io.dataset_json import DATASET_FILE, faulty_dataset, read_dataset_json
from medbundles.io.grids import IMAGE_SUFFIXES
from medbundles.io.raw_dataset import RawCase, RawDataset

CHANNEL_DIGITS = 4


def read_raw_dataset(source: Path) -> tuple[RawDataset, list[Finding]]:
    """Read the layout of an nnU-Net raw folder (versions 1 and 2 of ``dataset.json``); no image is opened.

    Returns:
        The data set, and a finding for each missing channel (NII008) or label (NII016) and each case that
        ``dataset.json`` counts and the folder lacks.

    Raises:
        DataError: ``dataset.json`` is missing or lacks channels, labels or the files' ending (NII016).
    """
    content = read_dataset_json(source / DATASET_FILE)
    try:
        names = content.get("channel_names") or content["modality"]
        channels = tuple(str(names[key]) for key in sorted(names, key=int))
        labels = _labels(content["labels"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        message = f"channel_names and labels are expected; {error!s} is missing or damaged"
        raise DataError(findings=[faulty_dataset(message, "write it as nnU-Net's documentation says")]) from error
    ending = str(content.get("file_ending", ".nii.gz"))
    if ending not in IMAGE_SUFFIXES:
        message = f"file_ending {ending} is not read, expected one of {', '.join(IMAGE_SUFFIXES)}"
        raise DataError(findings=[faulty_dataset(message, "convert the images")])
    cases, findings = _find_cases(source, len(channels), ending)
    counted, found = content.get("numTraining"), sum(not case.testing for case in cases)
    if counted is not None and counted != found:
        message = f"numTraining is {counted}, imagesTr holds {found} cases"
        findings.append(Finding("NII016", "warning", message, "correct the number", file=DATASET_FILE))
    if not found:
        fix = "--source is the folder that holds imagesTr, labelsTr and dataset.json"
        findings.append(Finding("TRN011", "error", f"no *_0000{ending} in imagesTr", fix))
    name = str(content.get("name") or source.name)
    return RawDataset(name, channels, labels, tuple(cases)), findings


def _find_cases(source: Path, channels: int, ending: str) -> tuple[list[RawCase], list[Finding]]:
    cases: list[RawCase] = []
    findings: list[Finding] = []
    for images, labels, testing in (("imagesTr", "labelsTr", False), ("imagesTs", "labelsTs", True)):
        tail = len(ending) + CHANNEL_DIGITS + 1
        files = [path for path in (source / images).glob(f"*{ending}") if _has_channel(path.name, ending)]
        for name in sorted({path.name[:-tail] for path in files}):
            numbered = [source / images / f"{name}_{n:0{CHANNEL_DIGITS}d}{ending}" for n in range(channels)]
            label = source / labels / f"{name}{ending}"
            findings += _missing(name, numbered, label, testing)
            cases.append(RawCase(name, tuple(numbered), label if label.is_file() else None, testing))
    twice = {case.name for case in cases if not case.testing} & {case.name for case in cases if case.testing}
    for name in sorted(twice):
        message = "the case lies in imagesTr and in imagesTs"
        findings.append(Finding("NII014", "error", message, "rename one or delete it", name, f"{name}{ending}"))
    return cases, findings


def _missing(name: str, images: Sequence[Path], label: Path, testing: bool) -> list[Finding]:
    findings = [
        Finding("NII008", "error", "the channel's file is missing", f"copy it into {path.parent.name}", name, path.name)
        for path in images
        if not path.is_file()
    ]
    if not testing and not label.is_file():
        findings.append(Finding("NII016", "error", "the label is missing", "copy it into labelsTr", name, label.name))
    return findings


def _has_channel(name: str, ending: str) -> bool:
    number = name[: -len(ending)][-CHANNEL_DIGITS - 1 :]
    return len(number) == CHANNEL_DIGITS + 1 and number[0] == "_" and number[1:].isdigit()


def _labels(entries: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Version 2 maps names to values (several for a region), version 1 values to names."""
    if all(key.isdigit() for key in entries):
        return {str(name): (int(value),) for value, name in entries.items()}
    return {
        name: tuple(map(int, value)) if isinstance(value, list) else (int(value),) for name, value in entries.items()
    }
