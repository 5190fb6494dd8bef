"""``dataset.json`` of the Medical Segmentation Decathlon and of nnU-Net."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from medbundles.errors import DataError, Finding

DATASET_FILE = "dataset.json"


def read_dataset_json(path: Path) -> dict[str, Any]:
    """Return what it holds.

    Raises:
        DataError: it is absent (TRN011) or no JSON mapping (NII016).
    """
    if not path.is_file():
        fix = "--source is the folder that holds it beside imagesTr and labelsTr"
        raise DataError(findings=[Finding("TRN011", "error", f"no {path.name} in {path.parent.name}", fix)])
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(findings=[faulty_dataset(f"not JSON: {error}", "correct it")]) from error
    if not isinstance(content, dict):
        raise DataError(findings=[faulty_dataset("expected a mapping", "correct it")])
    return content


def faulty_dataset(message: str, fix: str) -> Finding:
    """Return the finding for a ``dataset.json`` that cannot be meant."""
    return Finding("NII016", "error", message, fix, file=DATASET_FILE)
