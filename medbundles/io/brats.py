"""The layouts of brain tumor data: the names of BraTS since 2015, the Decathlon's Task01, and a user's own pattern."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from medbundles.errors import DataError, Finding
from medbundles.io.brats_decathlon import is_decathlon_brain, read_decathlon_brain
from medbundles.io.contrasts import CONTRASTS, ContrastCase, ContrastSource, Layout, volume_files
from medbundles.io.grids import case_name
from medbundles.io.name_pattern import Key, NamePattern

LABEL = "seg"
# What stands after the case's name, and our name for it.
NAMES: Mapping[Layout, Mapping[str, str]] = {
    "BraTS 2015-2021": {
        **{"t1": "t1n", "t1ce": "t1c", "t1c": "t1c", "t1gd": "t1c", "t2": "t2w", "flair": "t2f"},
        LABEL: LABEL,
    },
    "BraTS 2023": {**{name: name for name in CONTRASTS}, LABEL: LABEL},
}
SEPARATORS: Mapping[Layout, str] = {"BraTS 2015-2021": "_", "BraTS 2023": "-"}
# BraTS-GLI-00002-001 is the second time point of the patient BraTS-GLI-00002; until 2019 Brats18_TCIA08_105_1 was.
TIME_POINTS = (
    re.compile(r"(brats-\w+-\d+)-\d{3}", re.IGNORECASE),
    re.compile(r"(brats1[3-9]_.+_.+)_\d{1,2}", re.IGNORECASE),
)
# A lone file with one of these in its name is no tumor's mask.
OTHER_MASKS = ("brain", "bet", "skull")

# The files of a case by what they are: a contrast or the label.
Files = dict[str, list[Path]]


def find_contrasts(
    source: Path,
    contrasts: Sequence[str] = CONTRASTS,
    pattern: NamePattern | None = None,
    words: Mapping[str, str] | None = None,
    label: NamePattern | str = LABEL,
    mask: NamePattern | str | None = None,
) -> tuple[ContrastSource, list[Finding]]:
    """Find the cases of a data set; no image is opened.

    Args:
        source: the data set's folder.
        contrasts: those that are wanted, in order.
        pattern: how its files are named; None looks for BraTS' names and for the Decathlon's task.
        words: what stands for each contrast in a pattern; by default its name.
        label: a pattern of the label files, or what stands in ``pattern`` where contrasts do.
        mask: the same for masks of the brain; None looks for none.

    Returns:
        The data set, and findings: contrasts that are absent (NII008; it can be allowed) or there twice (NII008),
        labels that are absent (NII016) or have a name of their own.

    Raises:
        DataError: no case at all (TRN011), or names of two years' conventions (NII010).
    """
    if not source.is_dir():
        fix = "--source is the folder of the data set"
        raise DataError(findings=[Finding("TRN011", "error", f"no folder at {source}", fix)])
    if pattern is not None:
        return _find_by_pattern(source, contrasts, pattern, words or {}, label, mask)
    if is_decathlon_brain(source):
        return read_decathlon_brain(source, contrasts)
    return _find_brats(source, contrasts)


def is_tumor_source(source: Path) -> bool:
    """Tell whether a folder holds labeled cases with BraTS' names, or the Decathlon's task."""
    if not source.is_dir() or (source / "datalist.json").exists():
        return False
    if is_decathlon_brain(source):
        return True
    kinds = {named[2] for named in map(_read_name, volume_files(source)) if named}
    return LABEL in kinds and len(kinds) > 1


def _find_brats(source: Path, contrasts: Sequence[str]) -> tuple[ContrastSource, list[Finding]]:
    files = volume_files(source)
    cases: dict[tuple[Path, str], Files] = defaultdict(lambda: defaultdict(list))
    layouts: dict[Layout, Path] = {}
    unnamed: dict[Path, list[Path]] = defaultdict(list)
    for path in files:
        named = _read_name(path)
        if named is None:
            unnamed[path.parent].append(path)
            continue
        layout, case, kind = named
        layouts.setdefault(layout, path)
        cases[path.parent, case][kind].append(path)
    _refuse_wrong_layouts(layouts)
    per_folder: dict[Path, int] = defaultdict(int)
    for folder, _ in cases:
        per_folder[folder] += 1
    found: list[ContrastCase] = []
    findings: list[Finding] = []
    for (folder, case), own in sorted(cases.items(), key=lambda item: (item[0][1], str(item[0][0]))):
        lone = LABEL not in own and per_folder[folder] == 1
        left = [path for path in unnamed[folder] if not any(word in path.name.lower() for word in OTHER_MASKS)]
        if lone and len(left) == 1:
            own[LABEL] = left
        made, wrong = make_case((case, _patient(case)), own, contrasts, lone=lone)
        found.append(made)
        findings += wrong
    findings += _left_out({folder: paths for folder, paths in unnamed.items() if folder not in per_folder})
    return ContrastSource(next(iter(layouts)), tuple(contrasts), tuple(found)), findings


def _left_out(folders: Mapping[Path, Sequence[Path]]) -> list[Finding]:
    """Warn of folders with images of which none has a name that is known."""
    if not folders:
        return []
    first = min(folders)
    example = f"{first.name}/{folders[first][0].name}"
    message = f"{len(folders)} folders whose images have other names are left out: {example} for instance"
    return [Finding("NII016", "warning", message, "rename them, or say how all files are named, --pattern")]


def _find_by_pattern(
    source: Path,
    contrasts: Sequence[str],
    pattern: NamePattern,
    words: Mapping[str, str],
    label: NamePattern | str,
    mask: NamePattern | str | None,
) -> tuple[ContrastSource, list[Finding]]:
    files = volume_files(source)
    cases: dict[Key, Files] = defaultdict(lambda: defaultdict(list))
    for contrast in contrasts:
        for key, paths in pattern.find(source, files, words.get(contrast, contrast)).items():
            cases[key][contrast] += paths
    if not cases:
        message = f"no file fits {pattern.text} with {', '.join(words.get(name, name) for name in contrasts)}"
        raise DataError(findings=[Finding("TRN011", "error", message, "correct --pattern or --contrasts")])
    masks: dict[Key, list[Path]] = {}
    for kind, which in ((LABEL, label), ("mask", mask)):
        if which is not None:
            own, word = (which, "") if isinstance(which, NamePattern) else (pattern, which)
            for (name, subject), paths in own.find(source, files, word).items():
                # A pattern of labels need not name the person.
                key = next((key for key in cases if key[0] == name), (name, subject))
                if kind == "mask":
                    masks[key] = paths
                elif key in cases:
                    cases[key][LABEL] += paths
    found: list[ContrastCase] = []
    findings: list[Finding] = []
    for key in sorted(cases):
        made, wrong = make_case(key, cases[key], contrasts, masks=None if mask is None else masks.get(key, []))
        found.append(made)
        findings += wrong
    return ContrastSource("pattern", tuple(contrasts), tuple(found)), findings


def make_case(
    key: Key, own: Files, contrasts: Sequence[str], lone: bool = False, masks: Sequence[Path] | None = None
) -> tuple[ContrastCase, list[Finding]]:
    """Return a case of the files that were found for it, and what is wrong with them.

    Args:
        key: names of the case and of the person.
        own: files by contrast, and the label's.
        contrasts: those that are wanted, in order.
        lone: whether a label would be one with a name of its own.
        masks: files of the brain's mask; None where none is wanted.
    """
    name = key[0]
    findings = [_twice(name, kind, own[kind]) for kind in (*contrasts, LABEL) if len(own[kind]) > 1]
    absent = [contrast for contrast in contrasts if not own[contrast]]
    if absent:
        findings.append(_absent(name, absent, contrasts))
    if not own[LABEL]:
        fix = "put it beside the images, give the folder of the labeled cases alone, or pass --skip_bad_cases true"
        findings.append(Finding("NII016", "error", "the label is missing", fix, case=name))
    elif lone:
        message = f"no file ends in {LABEL}: the only other file in the folder was taken for the label"
        findings.append(Finding("NII016", "warning", message, "look at it", case=name, file=own[LABEL][0].name))
    if masks is not None and len(masks) != 1:
        what = _twice(name, "mask", masks).message if masks else "the brain's mask is missing"
        findings.append(Finding("NII016", "error", what, "correct --mask_name, or leave it out", case=name))
    images = tuple(own[contrast][0] if own[contrast] else None for contrast in contrasts)
    label = own[LABEL][0] if own[LABEL] else None
    return ContrastCase(*key, images, label, masks[0] if masks else None, lone and label is not None), findings


def _read_name(path: Path) -> tuple[Layout, str, str] | None:
    """Return layout, case and what a file is, by its name."""
    for layout, names in NAMES.items():
        case, separator, kind = case_name(path).rpartition(SEPARATORS[layout])
        if separator and case and kind.lower() in names:
            return layout, case, names[kind.lower()]
    return None


def _patient(case: str) -> str:
    """Return a case's name without the number of its time point."""
    matches = (expression.fullmatch(case) for expression in TIME_POINTS)
    return next((match[1] for match in matches if match), case)


def _refuse_wrong_layouts(layouts: Mapping[Layout, Path]) -> None:
    if not layouts:
        endings = (f"CASE{SEPARATORS[layout]}{{{','.join(names)}}}" for layout, names in NAMES.items())
        message = f"no file named as {' or '.join(endings)}.nii[.gz], and no dataset.json of the Decathlon's Task01"
        fix = 'say how the files are named, --pattern "{case}/{case}_{contrast}.nii.gz" for instance'
        raise DataError(findings=[Finding("TRN011", "error", message, fix)])
    if len(layouts) > 1:
        examples = " and ".join(path.name for path in layouts.values())
        message = f"names of {' and '.join(layouts)} ({examples}), whose labels are numbered differently"
        raise DataError(findings=[Finding("NII010", "error", message, "prepare each on its own")])


def _twice(case: str, kind: str, files: Sequence[Path]) -> Finding:
    there = ", ".join(f"{path.parent.name}/{path.name}" for path in files)
    return Finding("NII008", "error", f"several files for {kind}: {there}", "keep one of them", case=case)


def _absent(case: str, absent: Sequence[str], contrasts: Sequence[str]) -> Finding:
    message = f"no file for {', '.join(absent)}; expected {', '.join(contrasts)} in this order"
    if len(absent) == len(contrasts):
        return Finding("NII008", "error", message, "copy the images there", case=case)
    fix = "copy it there, prepare fewer --contrasts, or --allow \"['NII008']\" for a network that can go without"
    return Finding("NII008", "error", message, fix, case=case, allowable=True)
