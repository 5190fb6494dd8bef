"""Finding the cases of an inference: a prepared folder, volumes side by side, or a folder for each case."""

from __future__ import annotations

import os
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from medbundles.errors import DataError, Finding
from medbundles.io.channel_files import ChannelFiles
from medbundles.io.datalist import DATALIST_NAME, Record, read_datalist, records
from medbundles.io.grids import case_name, has_image_suffix

# The folders of a data set, not two cases of these names.
UNLISTED = ("images", "labels")
# A case's name becomes the beginning of output files, so it must be one on every system.
FORBIDDEN_IN_NAMES = frozenset('/\\:*?"<>|')
# Bytes; with what outputs append to it, and a temporary prefix, it must stay within the 255 of most file systems.
LONGEST_NAME = 200


def find_cases(
    dataset_dir: str | os.PathLike[str],
    channels: Sequence[str],
    optional: bool = False,
    aliases: Mapping[str, Sequence[str]] | None = None,
) -> list[Record]:
    """Return the cases of :func:`look_for_cases`, all of them good.

    Raises:
        DataError: nothing there (TRN011), or a case that cannot be taken; everything at once.
    """
    found, findings = look_for_cases(dataset_dir, channels, optional, aliases)
    if findings:
        raise DataError(findings=findings)
    return found


def look_for_cases(
    dataset_dir: str | os.PathLike[str],
    channels: Sequence[str],
    optional: bool = False,
    aliases: Mapping[str, Sequence[str]] | None = None,
) -> tuple[list[Record], list[Finding]]:
    """Find the cases to predict.

    A folder with a data list gives its testing records (its training records when there are none). A folder of volumes
    gives one case a file; a folder ``CASE`` gives one case of its files that end in the channels' names (``ct.nii.gz``,
    ``CASE_ct.nii.gz``; upper and lower case are the same), or of its only file when there is one channel. A single
    file is one case.

    Where channels are optional, a case is any of its files that end in the channels' names; files side by side belong
    to the case whose name stands before the channel's. Files of other names, such as masks, are left alone.

    Args:
        dataset_dir: the folder, or one volume.
        channels: the network's channel names in their order, such as ``["CT"]``.
        optional: whether a case may lack all channels but one.
        aliases: other words that a channel's file may end in, by channel: ``{"t1c": ["t1ce", "t1gd"]}``.

    Returns:
        Records sorted by case: ``{"case", "image"}`` with absolute paths, ``image`` a list where there are several
        channels in several files, with ``None`` for absent ones; records of a data list keep what else they hold. And
        an error for each case with a missing or ambiguous contrast (NII008) or a name its outputs cannot have (NII016).

    Raises:
        DataError: nothing there (TRN011).
        ConfigurationError: one alias for two channels (CFG002).
    """
    root = Path(dataset_dir)
    names = ChannelFiles(channels, optional, aliases)
    findings: list[Finding] = []
    if root.is_file() and root.suffix != ".json":
        found = [_lone_file(root.absolute(), names)]
    elif root.suffix == ".json" or (root / DATALIST_NAME).is_file():
        testing = bool(read_datalist(root)["testing"])
        found = records(root, "testing", 0, channels, optional) if testing else _training(root, channels, optional)
    else:
        found, findings = _raw_cases(root, names)
    findings += check_names(found)
    return sorted(found, key=_case_of), findings


def _training(root: Path, channels: Sequence[str], optional: bool) -> list[Record]:
    folds = {int(record.get("fold", 0)) for record in read_datalist(root)["training"]}
    return [record for fold in sorted(folds) for record in records(root, "validation", fold, channels, optional)]


def _lone_file(file: Path, names: ChannelFiles) -> Record:
    """Return the case of one file: the channel that it is named after, or all of them."""
    case = case_name(file)
    channel, before = names.split(case)
    record, _ = names.choose((before or file.parent.name) if names.may_lack_some and channel else case, [file])
    assert record is not None  # one file is never ambiguous
    return record


def _raw_cases(root: Path, names: ChannelFiles) -> tuple[list[Record], list[Finding]]:
    if not root.is_dir():
        fix = "give a folder of images, a prepared folder, or one image"
        raise DataError(findings=[Finding("TRN011", "error", f"no folder or image at {root}", fix)])
    if all((root / name).is_dir() for name in UNLISTED):
        message = f"no {DATALIST_NAME} in {root}, which has {' and '.join(f'{name}/' for name in UNLISTED)}"
        fix = f"write it as docs/how_to/own_data.md shows; to apply a bundle only, give {root / UNLISTED[0]}"
        raise DataError(findings=[Finding("TRN011", "error", message, fix)])
    files, here = _volumes(root), root.absolute().name
    if files and names.are_one_case(files):
        record, findings = names.choose(here, files)
        return ([record] if record else []), findings
    # Files side by side: one case each, or those of one name before the channels'. And a folder CASE/ for each.
    together = names.grouped(files) if names.may_lack_some else {}
    choices = [names.choose(case or here, beside) for case, beside in together.items()]
    choices += [] if together else [(_lone_file(file, names), []) for file in files]
    for folder in sorted(path for path in root.absolute().iterdir() if path.is_dir() and not _hidden(path)):
        inside = _volumes(folder)
        choices += [names.choose(folder.name, inside)] if inside else []
    if not choices:
        message = f"no case in {root}: expected CASE.nii.gz (.nii .mhd .mha .nrrd) or folders CASE/ that hold them"
        fix = "convert DICOM or other formats to NIfTI first"
        raise DataError(findings=[Finding("TRN011", "error", message, fix)])
    found = [record for record, _ in choices if record is not None]
    return found, [finding for _, wrong in choices for finding in wrong]


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
    files = [image] if isinstance(image, str) else [file for file in image if file is not None]
    path = Path((files or [_case_of(record)])[0])
    return f"{path.parent.name}/{path.name}"
