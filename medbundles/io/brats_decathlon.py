"""The brain tumor task of the Medical Segmentation Decathlon: 4D images, and ``dataset.json`` says what is in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medbundles.errors import DataError, Finding
from medbundles.io.contrasts import ContrastCase, ContrastSource
from medbundles.io.dataset_json import DATASET_FILE, faulty_dataset, read_dataset_json
from medbundles.io.grids import NIFTI_SUFFIXES, case_name

IMAGES, LABELS, TESTS = "imagesTr", "labelsTr", "imagesTs"
# What dataset.json calls the contrasts, in lower case, and our names.
MODALITIES = {
    **{"flair": "t2f", "t2w": "t2w", "t2": "t2w"},
    **{"t1w": "t1n", "t1": "t1n", "t1gd": "t1c", "t1ce": "t1c", "t1c": "t1c"},
}


def is_decathlon_brain(source: Path) -> bool:
    """Tell whether a folder is the task: several MR contrasts of a tumor in 4D images."""
    if not ((source / DATASET_FILE).is_file() and (source / IMAGES).is_dir()):
        return False
    try:
        names = read_dataset_json(source / DATASET_FILE).get("modality")
    except DataError:
        return False
    words = {str(name).lower() for name in names.values()} if isinstance(names, dict) else set()
    # In nnU-Net's copy each contrast has a file of its own, CASE_0000.nii.gz.
    numbered = any(case_name(path).endswith("_0000") for path in _images(source / IMAGES))
    return len(words & set(MODALITIES)) > 1 and not numbered


def read_decathlon_brain(source: Path, contrasts: Sequence[str]) -> tuple[ContrastSource, list[Finding]]:
    """Read the layout of ``Task01_BrainTumour``; no image is opened.

    Args:
        source: the folder that holds ``imagesTr labelsTr dataset.json``.
        contrasts: those that are wanted, in order.

    Returns:
        The data set, with the place of each contrast and of each label as ``dataset.json`` names them; findings on
        labels that are missing (NII016) and a note on the test images, which have none.

    Raises:
        DataError: ``dataset.json`` is damaged (NII016) or lacks a wanted contrast (NII008), its labels' names mean
            nothing (NII010), or there is no image (TRN011).
    """
    content = read_dataset_json(source / DATASET_FILE)
    try:
        order = [MODALITIES.get(str(content["modality"][key]).lower()) for key in sorted(content["modality"], key=int)]
        names = {int(value): str(name).lower() for value, name in content["labels"].items()}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        message = f"modality and labels are expected; {error!s} is missing or damaged"
        raise DataError(findings=[faulty_dataset(message, "copy it again from its source")]) from error
    absent = [name for name in contrasts if order.count(name) != 1]
    if absent:
        message = f"modality does not name {', '.join(absent)} once: {', '.join(map(str, order))}"
        raise DataError(
            findings=[Finding("NII008", "error", message, "prepare others, --contrasts", file=DATASET_FILE)]
        )
    cases, findings = _cases(source, len(contrasts))
    places = tuple(order.index(name) for name in contrasts)
    return ContrastSource("Decathlon", tuple(contrasts), cases, places, _label_map(names)), findings


def _cases(source: Path, contrasts: int) -> tuple[tuple[ContrastCase, ...], list[Finding]]:
    cases = []
    findings = []
    for path in _images(source / IMAGES):
        name, label = case_name(path), source / LABELS / path.name
        if not label.is_file():
            findings.append(
                Finding("NII016", "error", "the label is missing", f"copy it into {LABELS}", name, label.name)
            )
        cases.append(ContrastCase(name, name, (path,) * contrasts, label if label.is_file() else None))
    if not cases:
        fix = f"--source is the folder that holds {IMAGES}, {LABELS} and {DATASET_FILE}"
        raise DataError(findings=[Finding("TRN011", "error", f"no image in {IMAGES}", fix)])
    tests = len(_images(source / TESTS)) if (source / TESTS).is_dir() else 0
    if tests:
        message = f"{tests} test images without labels were left where they are"
        fix = "to infer, write the volumes of each into files CASE_flair, CASE_t1, CASE_t1ce, CASE_t2, in this order"
        findings.append(Finding("NII016", "note", message, fix, file=TESTS))
    return tuple(cases), findings


def _images(folder: Path) -> list[Path]:
    files = (path for path in folder.iterdir() if path.name.lower().endswith(NIFTI_SUFFIXES))
    return sorted(path for path in files if not path.name.startswith("."))


def _label_map(names: Mapping[int, str]) -> dict[int, int]:
    """Return which label of BraTS 2023 each value means, by its name."""
    found: dict[int, int] = {}
    for value, name in sorted(names.items()):
        meaning = _meaning(name)
        if value == 0 or meaning is None:
            continue
        found[value] = meaning
    unknown = [f"{value} {name}" for value, name in names.items() if value and value not in found]
    if unknown or len(set(found.values())) != len(found):
        message = f"the labels' names do not say which are edema, non-enhancing and enhancing tumor: {_shown(names)}"
        fix = 'say what each value becomes, --label_set "{1: 2, 2: 1, 3: 3}" for instance'
        raise DataError(findings=[Finding("NII010", "error", message, fix, file=DATASET_FILE)])
    return found


def _meaning(name: str) -> int | None:
    if "edema" in name or "oedema" in name:
        return 2
    if "non-enhancing" in name or "nonenhancing" in name or "necro" in name:
        return 1
    return 3 if "enhancing" in name else None


def _shown(names: Mapping[int, Any]) -> str:
    return ", ".join(f"{value} {name}" for value, name in sorted(names.items()))
