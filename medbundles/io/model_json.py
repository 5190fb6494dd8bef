"""``model.json``: what inference must know of training, beside the weights it describes."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medbundles.errors import DataError, Finding
from medbundles.io.atomic import write_json
from medbundles.io.hashing import sha256_file

MODEL_JSON = "model.json"
WEIGHTS_NAME = "model.pt"
FORMAT = 1
REQUIRED_KEYS = ("format", "bundle", "network", "labels", "preprocessing", "thresholds", "files")

UNNAMED_COLOR = [160, 160, 160]

MAPPINGS = ("network", "labels", "preprocessing", "thresholds", "files")

Model = dict[str, Any]


class Section(dict[str, Any]):
    """A mapping of ``model.json`` in which a missing key is refused by its name, wherever a configuration asks for it.

    Args:
        content: the mapping; the mappings inside become sections, too.
        path: where it stands, for the message.
    """

    def __init__(self, content: dict[str, Any], path: str = "") -> None:
        self.path = path
        inner = {
            key: Section(item, f"{path}{key}::") if isinstance(item, dict) else item for key, item in content.items()
        }
        super().__init__(inner)

    def __missing__(self, key: str) -> Any:
        """Refuse a key that is not there (TRN007)."""
        raise _damaged(f"lacks {self.path}{key}", "take model.json and the weights from the same run, unedited")


def locate_weights(
    bundle_root: str | os.PathLike[str], weights: str | os.PathLike[str] | None = None, name: str = WEIGHTS_NAME
) -> Path:
    """Return the weights file to use.

    Args:
        bundle_root: the bundle's folder; an exported bundle has its weights in ``models/``, the repository in
            ``models/NAME/`` beside ``bundles/``.
        weights: a weights file or a run's folder; the default is the released weights.
        name: the file's name inside of a folder.

    Raises:
        DataError: there is no such file (TRN011).
    """
    root = Path(bundle_root).resolve()
    if weights:
        candidates = [Path(weights)]
        fix = "pass --weights with the model.pt of a finished run"
    else:
        candidates = [root / "models", root.parent.parent / "models" / root.name]
        fix = f"this bundle has no released weights here; train first, then pass --weights runs/{root.name}/TIME/{name}"
    for candidate in candidates:
        path = candidate / name if candidate.is_dir() else candidate
        if path.is_file():
            return path
    message = f"no weights at {' or '.join(str(candidate) for candidate in candidates)}"
    raise DataError(findings=[Finding("TRN011", "error", message, fix, file=name)])


def read_model(weights: str | os.PathLike[str]) -> Model:
    """Read the ``model.json`` beside a weights file and make sure that the two belong together.

    Raises:
        DataError: it is missing (TRN011), damaged, or describes other weights (TRN007).
    """
    file = Path(weights)
    path = file.with_name(MODEL_JSON)
    if not path.is_file():
        message = f"no {MODEL_JSON} beside {file.name}"
        raise DataError(findings=[Finding("TRN011", "error", message, "copy both files of the run", file=str(path))])
    fix = f"take {file.name} and {MODEL_JSON} from the same run"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise _damaged(f"is damaged: {error}", fix) from error
    problem = _problem(content)
    if problem:
        raise _damaged(problem, fix)
    if not _describes(content["files"], file):
        message = f"{file.name} is not the file that {MODEL_JSON} describes (SHA-256 differs)"
        raise DataError(findings=[Finding("TRN007", "error", message, fix, file=file.name)])
    return Section(content)


def classes_of(model: Model) -> dict[str, tuple[int, int, int]]:
    """Return the names and colors (RGB, 0 to 255) of what a model tells apart, in the order of its output channels.

    Args:
        model: the content of ``model.json``; a label without a color there has a gray one.
    """
    colors = model.get("colors") or {}
    names = [str(model["labels"][value]) for value in sorted(model["labels"], key=int) if int(value) > 0]
    return {name: _rgb(colors.get(name, UNNAMED_COLOR)) for name in names}


def thresholds_of(model: Model, second_stage: str | None = "auto") -> dict[str, Any]:
    """Return the thresholds for what will be judged: by both looks, or by the first alone, whose scale is another.

    Args:
        model: the content of ``model.json``.
        second_stage: ``none`` (or None) leaves the second look of a model out.
    """
    second = model.get("postprocessing", {}).get("second_stage") or {}
    alone = second.get("first_look_thresholds") if second_stage in (None, "none") else None
    thresholds: dict[str, Any] = alone or model["thresholds"]
    return thresholds


def cleaning_of(model: Model, **overrides: Any) -> dict[str, Any]:
    """Return how the regions of a segmentation come from probabilities: what was chosen in training, or is asked for.

    Args:
        model: the content of ``model.json``; what its ``postprocessing`` does not say is left undone.
        **overrides: ``thresholds``, ``smallest_ml``, ``replace_below_ml``, ``fill_holes``; None takes the model's.
    """
    undone = {"thresholds": 0.5, "smallest_ml": 0.0, "replace_below_ml": 0.0, "fill_holes": False}
    chosen = {key: value for key, value in (model.get("postprocessing") or {}).items() if key in undone}
    known = undone | chosen
    # What is asked for of one region leaves the others as the model has them.
    asked = {
        key: {**known[key], **value} if isinstance(value, Mapping) and isinstance(known[key], Mapping) else value
        for key, value in overrides.items()
        if value is not None
    }
    return known | asked


def _rgb(color: list[int]) -> tuple[int, int, int]:
    red, green, blue = color
    return int(red), int(green), int(blue)


def write_model(folder: str | os.PathLike[str], model: Model, files: list[str]) -> None:
    """Write ``model.json`` with the SHA-256 of the weights beside it.

    Args:
        folder: where the weights lie.
        model: the description, without ``format`` and ``files``.
        files: names of the weights files to record; absent ones are left out.
    """
    root = Path(folder)
    hashes = {name: sha256_file(root / name) for name in files if (root / name).is_file()}
    write_json(root / MODEL_JSON, {"format": FORMAT, **model, "files": hashes})


def store_postprocessing(weights: str | os.PathLike[str], chosen: Mapping[str, Any]) -> None:
    """Replace ``postprocessing`` in the ``model.json`` beside a weights file; everything else stays.

    Raises:
        DataError: see :func:`read_model`.
    """
    file = Path(weights)
    write_json(file.with_name(MODEL_JSON), {**read_model(file), "postprocessing": dict(chosen)})


def _describes(files: dict[str, Any], weights: Path) -> bool:
    """Return whether a weights file is one of those whose SHA-256 is recorded, under its own name or a later one."""
    if not weights.is_file() or (weights.suffix != ".pt" and weights.name not in files):
        return True  # absence is refused elsewhere; another format of the same weights has no hash here
    found = sha256_file(weights)
    return found == files[weights.name] if weights.name in files else found in files.values()


def _problem(content: Any) -> str:
    """Return what keeps a content from being a model's description, or nothing."""
    if not isinstance(content, dict):
        return "holds no description"
    if missing := [key for key in REQUIRED_KEYS if key not in content]:
        return f"lacks {', '.join(missing)}"
    if content["format"] != FORMAT:
        return f"has format {content['format']}, this version reads {FORMAT}"
    wrong = [key for key in (*MAPPINGS, "postprocessing") if not isinstance(content.get(key, {}), dict)]
    if wrong:
        return f"is damaged: {', '.join(wrong)} must hold keys and values"
    return "" if content["files"] else "is damaged: files names no weights, expected their SHA-256"


def _damaged(what: str, fix: str) -> DataError:
    return DataError(findings=[Finding("TRN007", "error", f"it {what}", fix, file=MODEL_JSON)])
