"""Finding the cases of an inference: a prepared folder, volumes side by side, or a folder for each case."""

from __future__ import annotations

import os
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from medbundles.errors import DataError, Finding
from medbundles.io.datalist import DATALIST_NAME, Record, read_datalist, records
from medbundles.io.grids import case_name, has_image_suffix

# What may stand between a case's and a channel's name: CASE_t1.nii.gz, CASE-t1.nii.gz, CASE t1.nii.gz.
SEPARATORS = ("_", "-", ".", " ")
# The folders of a data set, not two cases of these names.
UNLISTED = ("images", "labels")
# A case's name becomes the beginning of output files, so it must be one on every system.
FORBIDDEN_IN_NAMES = frozenset('/\\:*?"<>|')
# Bytes; with what outputs append to it, and a temporary prefix, it must stay within the 255 of most file systems.
LONGEST_NAME = 200


def find_cases(dataset_dir: str | os.PathLike[str], channels: Sequence[str]) -> list[Record]:
    """Return the cases of :func:`look_for_cases`, all of them good.

    Raises:
        DataError: nothing there (TRN011), or a case that cannot be taken; everything at once.
    """
    found, findings = look_for_cases(dataset_dir, channels)
    if findings:
        raise DataError(findings=findings)
    return found


def look_for_cases(dataset_dir: str | os.PathLike[str], channels: Sequence[str]) -> tuple[list[Record], list[Finding]]:
    """Find the cases to predict.

    A folder with a data list gives its testing records (its training records when there are none). A folder of volumes
    gives one case a file; a folder ``CASE`` gives one case of its files that end in the channels' names (``ct.nii.gz``,
    ``CASE_ct.nii.gz``; upper and lower case are the same), or of its only file when there is one channel. A single
    file is one case.

    Args:
        dataset_dir: the folder, or one volume.
        channels: the network's channel names in their order, such as ``["CT"]``.

    Returns:
        Records sorted by case: ``{"case", "image"}`` with absolute paths, ``image`` a list where there are several
        channels in several files; records of a data list keep what else they hold. And an error for each case with a
        missing or ambiguous contrast (NII008) or a name its outputs cannot have (NII016).

    Raises:
        DataError: nothing there (TRN011).
    """
    root = Path(dataset_dir)
    if root.is_file() and root.suffix != ".json":
        return [{"case": case_name(root), "image": str(root.absolute())}], []
    if root.suffix == ".json" or (root / DATALIST_NAME).is_file():
        listed = read_datalist(root)
        found = records(root, "testing", channels=channels) if listed["testing"] else _training(root, channels)
        findings: list[Finding] = []
    else:
        found, findings = _raw_cases(root, channels)
    findings += check_names(found)
    return sorted(found, key=_case_of), findings


def _training(root: Path, channels: Sequence[str]) -> list[Record]:
    folds = {int(record.get("fold", 0)) for record in read_datalist(root)["training"]}
    return [record for fold in sorted(folds) for record in records(root, "validation", fold, channels)]


def _raw_cases(root: Path, channels: Sequence[str]) -> tuple[list[Record], list[Finding]]:
    if not root.is_dir():
        fix = "give a folder of images, a prepared folder, or one image"
        raise DataError(findings=[Finding("TRN011", "error", f"no folder or image at {root}", fix)])
    if all((root / name).is_dir() for name in UNLISTED):
        message = f"no {DATALIST_NAME} in {root}, which has {' and '.join(f'{name}/' for name in UNLISTED)}"
        fix = f"write it as docs/how_to/own_data.md shows; to apply a bundle only, give {root / UNLISTED[0]}"
        raise DataError(findings=[Finding("TRN011", "error", message, fix)])
    files = _volumes(root)
    if files and _is_one_case(files, channels):
        record, findings = _folder_case(root, files, channels)
        return ([record] if record else []), findings
    found: list[Record] = [{"case": case_name(file), "image": str(file)} for file in files]
    findings = []
    for folder in sorted(path for path in root.absolute().iterdir() if path.is_dir() and not _hidden(path)):
        inside = _volumes(folder)
        if not inside:
            continue
        record, wrong = _folder_case(folder, inside, channels)
        findings += wrong
        if record:
            found.append(record)
    if not found and not findings:
        message = f"no case in {root}: expected CASE.nii.gz (.nii .mhd .mha .nrrd) or folders CASE/ that hold them"
        fix = "convert DICOM or other formats to NIfTI first"
        raise DataError(findings=[Finding("TRN011", "error", message, fix)])
    return found, findings


def _is_one_case(files: Sequence[Path], channels: Sequence[str]) -> bool:
    """Tell whether a folder of volumes is itself a case: its files are named after the channels alone."""
    names = [case_name(file).casefold() for file in files]
    if len(channels) == 1:
        return channels[0].casefold() in names
    return all(sum(_ends_in(name, channel) for name in names) == 1 for channel in channels)


def _folder_case(folder: Path, files: Sequence[Path], channels: Sequence[str]) -> tuple[Record | None, list[Finding]]:
    case = folder.absolute().name
    if len(files) == 1:
        # The only file is the only channel, or a 4D file with all of them (what it holds is for the checks to say).
        return {"case": case, "image": str(files[0])}, []
    findings: list[Finding] = []
    chosen: list[str] = []
    for channel in channels:
        matches = _matches(files, channel)
        if len(matches) == 1:
            chosen.append(str(matches[0]))
            continue
        there = ", ".join(file.name for file in matches or files)
        what = f"several files for channel {channel}" if matches else f"no file for channel {channel}"
        message = f"{what}: {there}; expected one file ending in each of {', '.join(channels)}, in this order"
        findings.append(Finding("NII008", "error", message, f"name it {case}_{channel}.nii.gz", case=case))
    if findings:
        return None, findings
    return {"case": case, "image": chosen[0] if len(channels) == 1 else chosen}, []


def _matches(files: Sequence[Path], channel: str) -> list[Path]:
    exact = [file for file in files if case_name(file).casefold() == channel.casefold()]
    return exact or [file for file in files if _ends_in(case_name(file), channel)]


def _ends_in(name: str, channel: str) -> bool:
    name, channel = name.casefold(), channel.casefold()
    return name == channel or any(name.endswith(f"{separator}{channel}") for separator in SEPARATORS)


def _volumes(folder: Path) -> list[Path]:
    return sorted(path for path in folder.absolute().iterdir() if has_image_suffix(path) and not _hidden(path))


def _hidden(path: Path) -> bool:
    return path.name.startswith(".")  # among them the ._ files that macOS leaves on other systems' disks


def check_names(found: Iterable[Record]) -> list[Finding]:
    """NII016: cases whose outputs would overwrite each other, and names that no file can have.

    Args:
        found: records with ``case`` and ``image``.
    """
    findings = []
    taken: dict[str, list[Record]] = defaultdict(list)
    for record in found:
        case = _case_of(record)
        # The same name to a file system that ignores case or stores accents in another form.
        taken[unicodedata.normalize("NFC", case).casefold()].append(record)
        if FORBIDDEN_IN_NAMES & set(case) or case.strip(" .") != case or not case:
            message = f"{case!r} cannot be the beginning of a file's name"
            findings.append(Finding("NII016", "error", message, "rename the case", case=case))
        elif len(case.encode()) > LONGEST_NAME:
            message = f"a name of {len(case.encode())} bytes, expected at most {LONGEST_NAME}: outputs append to it"
            findings.append(Finding("NII016", "error", message, "rename the case", case=case))
    for same in taken.values():
        if len(same) > 1:
            files = ", ".join(_first_file(record) for record in same)
            message = f"{len(same)} cases share a name, their outputs and cached data would, too: {files}"
            fix = "rename all but one, or put them into folders of their own"
            findings.append(Finding("NII016", "error", message, fix, case=_case_of(same[0])))
    return findings


def _case_of(record: Record) -> str:
    return str(record["case"])


def _first_file(record: Record) -> str:
    image = record["image"]
    path = Path(image if isinstance(image, str) else image[0])
    return f"{path.parent.name}/{path.name}"
