"""The checks of a data list: every case whole, labels on their images, nothing shared by training and testing."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from medbundles.checks import nifti
from medbundles.checks.cases import check_images, examine, images_of, of_case
from medbundles.checks.targets import check_targets
from medbundles.checks.verdict import apply_allow, has_errors, severity
from medbundles.checks.voxels import VoxelFacts, facts_of_all
from medbundles.errors import Finding, MedbundlesError
from medbundles.io.cases import check_names
from medbundles.io.datalist import DATALIST_NAME, Part, Record, read_datalist, records
from medbundles.io.headers import Geometry

# More notes than this of one kind are said in one line with their count.
LARGEST_LIST_OF_NOTES = 3


def check_dataset(
    dataset_dir: str | os.PathLike[str],
    *,
    label_values: Collection[int] | None,
    channels: Sequence[str],
    modality: str | None = None,
    fold: int | None = None,
    allow: Collection[str] = (),
    geometry: Geometry | None = None,
    patch_size: Sequence[int] | None = None,
    image_target: bool = False,
    missing_contrasts: bool = False,
) -> list[Finding]:
    """Check a prepared folder as training will use it.

    Args:
        dataset_dir: the folder that holds ``datalist.json``.
        label_values: the values labels may have, background included; None leaves the labels unchecked.
        channels: the channel names in their order.
        modality: ``CT`` takes the values as HU, ``brain MR`` expects 0 outside of the brain.
        fold: the fold that validates; None keeps every fold apart from every other, as cross-validation needs it.
        allow: fault codes whose allowable errors become warnings.
        geometry: which NIfTI form counts where sform and qform disagree.
        patch_size: the network's window, for a note on smaller volumes.
        image_target: whether labels are images to be synthesized, inside the records' masks.
        missing_contrasts: whether cases may lack contrasts (null among their images), all but one of them.

    Returns:
        All findings, errors first.

    Raises:
        DataError: there is no data list, no record, or none to train on or to validate with for this fold (TRN011).
    """
    parts = _parts(dataset_dir, fold, channels)
    everything = [record for part in parts.values() for record in part]
    findings = check_records(
        everything,
        label_values=label_values,
        channels=channels,
        modality=modality,
        allow=allow,
        geometry=geometry,
        patch_size=patch_size,
        image_target=image_target,
        missing_contrasts=missing_contrasts,
    )
    # Contents are compared only when all files can be read; subjects are known from the list alone.
    findings += check_leaks(parts, modality, geometry, contents=not has_errors(findings)) + check_folds(parts)
    return sorted(findings, key=severity)


def check_records(
    cases: Sequence[Record],
    *,
    label_values: Collection[int] | None,
    channels: Sequence[str],
    modality: str | None = None,
    allow: Collection[str] = (),
    geometry: Geometry | None = None,
    patch_size: Sequence[int] | None = None,
    image_target: bool = False,
    missing_contrasts: bool = False,
) -> list[Finding]:
    """Check images and labels of records that a network shall be trained on or measured with.

    Args:
        cases: records with absolute paths (:func:`medbundles.io.datalist.records`).
        label_values: the values labels may have, background included; None leaves the labels unchecked.
        channels: the channel names in their order.
        modality: ``CT`` takes the values as HU, ``brain MR`` expects 0 outside of the brain.
        allow: fault codes whose allowable errors become warnings.
        geometry: which NIfTI form counts where sform and qform disagree.
        patch_size: the network's window, for a note on smaller volumes.
        image_target: whether labels are images to be synthesized, inside the records' masks.
        missing_contrasts: whether cases may lack contrasts (null among their images), all but one of them.

    Returns:
        All findings, errors first; many notes of one kind are one note with their count.
    """
    by_case = check_images(
        cases,
        channels=channels,
        modality=modality,
        geometry=geometry,
        purpose="train",
        patch_size=patch_size,
        missing_contrasts=missing_contrasts,
    )
    findings = [finding for of_one in by_case for finding in of_one] + check_names(cases)
    cases = [case for case in cases if images_of(case)]  # what a label is to lie on
    if image_target:
        findings += check_targets(cases, geometry)
    elif label_values is not None:
        findings += _check_labels(cases, label_values, geometry)
    return sorted(_summarized(apply_allow(findings, allow)), key=severity)


def check_folds(parts: Mapping[str, Sequence[Record]]) -> list[Finding]:
    """TRN011: training records of a single fold, which leave nothing to train on or nothing to validate with.

    Args:
        parts: records by the name of their part, as :func:`check_leaks` takes them.
    """
    folds = [name for name in parts if name.startswith("fold ")]
    if len(folds) != 1:
        return []
    message = f'all {len(parts[folds[0]])} records under "training" have {folds[0]}: training needs at least two folds'
    fix = 'number them by "fold", all scans of a subject alike; what is only evaluated belongs under "testing"'
    return [Finding("TRN011", "warning", message, fix, file=DATALIST_NAME)]


def check_leaks(
    parts: Mapping[str, Sequence[Record]],
    modality: str | None = None,
    geometry: Geometry | None = None,
    contents: bool = True,
) -> list[Finding]:
    """NII014: a subject or an image's content in more than one part.

    Args:
        parts: records by the name of their part: ``training``, ``validation``, ``testing``, ``fold 3`` ...
        modality: as the images were checked, so that what was measured is used again.
        geometry: as the images were checked.
        contents: whether to compare the images' contents as well as the subjects.
    """
    placed = [(name, case) for name, part in parts.items() for case in part]
    subjects: dict[str, list[tuple[str, Record]]] = defaultdict(list)
    for name, case in placed:
        subjects[str(case["subject"])].append((name, case))
    findings = _shared(subjects.values(), "the same subject")
    if not contents:
        return findings
    facts = facts_of_all((path for _, case in placed for path in images_of(case)), modality, geometry)
    images: dict[str, list[tuple[str, Record]]] = defaultdict(list)
    for name, case in placed:
        for path in images_of(case):
            measured = facts[path]
            if isinstance(measured, VoxelFacts) and measured.minimum != measured.maximum:
                images[measured.content_sha256].append((name, case))
    known = {finding.case for finding in findings}
    return findings + [finding for finding in _shared(images.values(), "the same image") if finding.case not in known]


def _shared(groups: Iterable[list[tuple[str, Record]]], what: str) -> list[Finding]:
    findings = []
    for group in groups:
        first_part, first = group[0]
        others = [(part, case) for part, case in group[1:] if part != first_part]
        if others:
            part, other = others[0]
            more = f" and {len(others) - 1} more" if len(others) > 1 else ""
            message = f"{what} is in {first_part} and in {part} (case {other['case']}{more})"
            fix = "keep each subject in one part of the data list; scores would be too good otherwise"
            file = images_of(other)[0].name
            findings.append(Finding("NII014", "error", message, fix, case=str(first["case"]), file=file))
    return findings


def _check_labels(cases: Sequence[Record], allowed: Collection[int], geometry: Geometry | None) -> list[Finding]:
    findings: list[Finding] = []
    sound: dict[Path, Record] = {}
    for case in cases:
        if not case.get("label"):
            message = "the record names no label, expected one for training and evaluation"
            findings.append(Finding("NII016", "error", message, "add it, or take the case out", case=str(case["case"])))
            continue
        label = Path(case["label"])
        wrong = _check_label_header(label, case, geometry, _shown(label, case))
        findings += of_case(wrong, case)
        if not has_errors(wrong):
            sound[label] = case
    facts = facts_of_all(sound, geometry=geometry)
    found = {value for each in facts.values() if isinstance(each, VoxelFacts) for value in each.values}
    if sound and found - {0} and (absent := sorted(set(allowed) - {0} - found)):
        message = f"no label of {len(sound)} has the value {', '.join(map(str, absent))}"
        fix = "what nobody has is scored as found; leave it out of labels and regions, or add such cases"
        findings.append(Finding("NII009", "warning", message, fix))
    empty = []
    for label, case in sound.items():
        measured = facts[label]
        if isinstance(measured, MedbundlesError):
            findings += of_case([replace(finding, file=_shown(label, case)) for finding in measured.findings], case)
            continue
        findings += of_case(nifti.check_label_values(measured, allowed, _shown(label, case)), case)
        if measured.nonzero == 0 and measured.nonfinite == 0:
            empty.append(case)
    return findings + _check_empty(empty, len(cases))


def _shown(file: Path, case: Record) -> str:
    """Name a file for a message; where image and label are both called ``anna.nii.gz``, with its folder."""
    alike = Path(case["label"]).name == images_of(case)[0].name
    return f"{file.parent.name}/{file.name}" if alike else file.name


def _check_label_header(label: Path, case: Record, geometry: Geometry | None, name: str) -> list[Finding]:
    header, findings = examine(label, geometry)
    if header is None:
        return [replace(finding, file=name) for finding in findings]
    header = replace(header, name=name)
    findings = [replace(finding, file=name) for finding in findings]
    findings += nifti.check_axes(header) + nifti.check_label_storage(header)
    reference, _ = examine(images_of(case)[0], geometry)  # its own faults were told with the images
    if reference is not None:
        reference = replace(reference, name=_shown(images_of(case)[0], case))
        findings += nifti.check_world(header, aligned=True) + nifti.check_same_grid(reference, header)
    return findings


def _check_empty(empty: Sequence[Record], cases: int) -> list[Finding]:
    """NII011 over a whole list: labels without anything labeled are counted; if all are, nothing can be learned."""
    if not empty:
        return []
    message = f"{len(empty)} of {cases} labels are empty"
    if len(empty) < cases:
        return [Finding("NII011", "note", f"{message} (negative cases)")]
    fix = "look at the labels: were they converted or resampled away?"
    first, file = str(empty[0]["case"]), _shown(Path(empty[0]["label"]), empty[0])
    return [Finding("NII011", "error", f"{message}: there is nothing to learn", fix, case=first, file=file)]


def _parts(dataset_dir: str | os.PathLike[str], fold: int | None, channels: Sequence[str]) -> dict[str, list[Record]]:
    lists = read_datalist(dataset_dir)
    folds = sorted({int(record.get("fold", 0)) for record in lists["training"]})
    parts: dict[str, list[Record]] = {}
    if fold is None:
        parts = {f"fold {number}": records(dataset_dir, "validation", number, channels) for number in folds}
    else:
        named: tuple[Part, ...] = ("training", "validation")
        parts = {name: records(dataset_dir, name, fold, channels) for name in named}
    if lists["testing"]:
        parts["testing"] = records(dataset_dir, "testing", channels=channels)
    return parts


def _summarized(findings: Sequence[Finding]) -> list[Finding]:
    """Say many notes of one kind in one line: what is true of half a data set is not news about a case."""
    notes: dict[str, list[Finding]] = defaultdict(list)
    for finding in findings:
        if finding.level == "note":
            notes[finding.code].append(finding)
    kept = [finding for finding in findings if finding.level != "note"]
    for code, same in notes.items():
        if len(same) <= LARGEST_LIST_OF_NOTES:
            kept += same
        else:
            kept.append(Finding(code, "note", f"in {len(same)} cases, for example {same[0].case}: {same[0].message}"))
    return kept
