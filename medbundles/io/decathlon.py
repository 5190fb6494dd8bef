"""The layout of the Medical Segmentation Decathlon: ``TaskXX_Name/{imagesTr,labelsTr,dataset.json}``, 3D or 4D."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medbundles.errors import DataError, Finding
from medbundles.io.dataset_json import DATASET_FILE, faulty_dataset, read_dataset_json
from medbundles.io.grids import case_name, has_image_suffix
from medbundles.io.nnunet import CHANNEL_DIGITS, read_raw_dataset
from medbundles.io.raw_dataset import RawCase, RawDataset

IMAGES, LABELS, TESTS = "imagesTr", "labelsTr", "imagesTs"


def read_task(source: Path) -> tuple[RawDataset, list[Finding]]:
    """Read a folder in the layout of the Decathlon or of nnU-Net, whichever it is; no image is opened.

    Raises:
        DataError: see :func:`read_decathlon` and :func:`medbundles.io.nnunet.read_raw_dataset`.
    """
    content = read_dataset_json(source / DATASET_FILE)
    # nnU-Net numbers the channels' files; its second version also calls them channel_names.
    numbered = any(_is_numbered(path) for path in _volumes(source / IMAGES)) and not content.get("training")
    return read_raw_dataset(source) if "channel_names" in content or numbered else read_decathlon(source)


def read_decathlon(source: Path) -> tuple[RawDataset, list[Finding]]:
    """Read the layout of a Decathlon task; no image is opened.

    Cases are those that ``dataset.json`` lists under ``training``, or where it lists none, all in ``imagesTr``.

    Args:
        source: the folder that holds ``imagesTr labelsTr dataset.json``.

    Returns:
        The data set, and findings, all at once (NII016): files that are listed and absent, or listed twice, or lie
        outside of the folder; labels that are missing; notes on images that are not listed and on test images, which
        have no labels.

    Raises:
        DataError: ``dataset.json`` is missing (TRN011), damaged, or lacks channels or labels (NII016).
    """
    content = read_dataset_json(source / DATASET_FILE)
    try:
        modality = content["modality"]
        channels = tuple(str(modality[key]) for key in sorted(modality, key=int))
        labels = {str(content["labels"][key]): (int(key),) for key in sorted(content["labels"], key=int)}
        listed = [_entry(entry) for entry in content.get("training") or []]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        message = f"modality, labels and training are expected; {error!s} is missing or damaged"
        raise DataError(findings=[faulty_dataset(message, "copy it again from its source")]) from error
    findings = _check_names(channels, content["labels"])
    listed = listed or [(f"{IMAGES}/{path.name}", f"{LABELS}/{path.name}") for path in _volumes(source / IMAGES)]
    cases, wrong = _cases(source, listed)
    counted = content.get("numTraining")
    if counted is not None and counted != len(listed):
        message = f"numTraining is {counted}, {len(listed)} cases are there"
        findings.append(Finding("NII016", "warning", message, "correct the number", file=DATASET_FILE))
    if not listed:
        fix = f"--source is the folder that holds {IMAGES}, {LABELS} and {DATASET_FILE}"
        findings.append(Finding("TRN011", "error", f"no image in {IMAGES}", fix))
    findings += wrong + _unlisted(source, {Path(image).name for image, _ in listed})
    return RawDataset(str(content.get("name") or source.name), channels, labels, cases), findings


def _entry(entry: Any) -> tuple[str, str]:
    return str(entry["image"]), str(entry["label"])


def _check_names(channels: Sequence[str], labels: Mapping[str, Any]) -> list[Finding]:
    """Refuse channels or labels that share a name; labels must have 0, which is everything else."""
    findings = []
    for what, names in (("modality", list(channels)), ("labels", [str(name) for name in labels.values()])):
        twice = sorted(name for name, count in Counter(names).items() if count > 1)
        if twice:
            findings.append(faulty_dataset(f"{what} has {', '.join(twice)} twice", "give each a name of its own"))
    values = sorted(map(int, labels))
    if not channels or values[:1] != [0] or len(values) < 2 or values[-1] > 255:
        message = f"{len(channels)} channels, label values {', '.join(map(str, values))}"
        fix = "expected are one channel or more, 0 for the background and values up to 255"
        findings.append(faulty_dataset(message, fix))
    return findings


def _cases(source: Path, listed: Sequence[tuple[str, str]]) -> tuple[tuple[RawCase, ...], list[Finding]]:
    """Return the cases that are whole, by name, and a finding for each that is not."""
    cases: dict[str, RawCase] = {}
    findings = []
    for image, label in listed:
        name = case_name(image)
        paths = {"image": source / image, "label": source / label}
        wrong = [(f"{path.parent.name}/{path.name}", _problem(source, path, what)) for what, path in paths.items()]
        if name in cases:
            wrong.append((DATASET_FILE, "the case is listed twice"))
        found = [
            Finding("NII016", "error", text, f"correct {DATASET_FILE}", name, file) for file, text in wrong if text
        ]
        findings += found
        if not found:
            cases[name] = RawCase(name, (paths["image"],), paths["label"], testing=False)
    return tuple(cases[name] for name in sorted(cases)), findings


def _problem(source: Path, path: Path, what: str) -> str:
    """Return what is wrong with a listed file, or nothing."""
    if not path.resolve().is_relative_to(source.resolve()):
        return f"the {what} lies outside of the folder"
    return "" if path.is_file() else f"the {what} is listed and not there"


def _unlisted(source: Path, known: set[str]) -> list[Finding]:
    findings = []
    others = [path.name for path in _volumes(source / IMAGES) if path.name not in known]
    if others:
        message = f"{len(others)} images are not listed and left out, {others[0]} for instance"
        findings.append(Finding("NII016", "warning", message, f"list them in {DATASET_FILE}", file=IMAGES))
    tests = len(_volumes(source / TESTS))
    if tests:
        message = f"{tests} test images without labels were left where they are"
        findings.append(Finding("NII016", "note", message, "infer on the folder itself", file=TESTS))
    return findings


def _volumes(folder: Path) -> list[Path]:
    """Return the volumes in a folder, without what macOS leaves beside them (``._name``)."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if has_image_suffix(path) and not path.name.startswith("."))


def _is_numbered(path: Path) -> bool:
    start, _, number = case_name(path).rpartition("_")
    return bool(start) and len(number) == CHANNEL_DIGITS and number.isdigit()
