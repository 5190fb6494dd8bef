"""``model.json``: what inference must know of training, beside the weights it describes."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from medbundles.errors import DataError, Finding
from medbundles.io.atomic import write_json
from medbundles.io.hashing import sha256_file

MODEL_JSON = "model.json"
WEIGHTS_NAME = "model.pt"
FORMAT = 1
REQUIRED_KEYS = ("format", "bundle", "network", "labels", "preprocessing", "thresholds", "files")

Model = dict[str, Any]


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
        candidates = [root / "models", root.parents[1] / "models" / root.name]
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
        model: Model = json.loads(path.read_text(encoding="utf-8"))
        missing = [key for key in REQUIRED_KEYS if key not in model]
        expected = model.get("files", {}).get(file.name)
    except (ValueError, AttributeError) as error:
        message = f"{MODEL_JSON} is damaged: {error}"
        raise DataError(findings=[Finding("TRN007", "error", message, fix, file=MODEL_JSON)]) from error
    if missing or model["format"] != FORMAT:
        other = f"has format {model.get('format')}, this version reads {FORMAT}"
        message = f"lacks {', '.join(missing)}" if missing else other
        raise DataError(findings=[Finding("TRN007", "error", f"{MODEL_JSON} {message}", fix, file=MODEL_JSON)])
    if expected is not None and file.is_file() and sha256_file(file) != expected:
        message = f"{file.name} is not the file that {MODEL_JSON} describes (SHA-256 differs)"
        raise DataError(findings=[Finding("TRN007", "error", message, fix, file=file.name)])
    return model


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
