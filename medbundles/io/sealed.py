"""JSON files that notice damage: what a cache wrote long ago is used without anybody looking at it again."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medbundles.io.atomic import write_json
from medbundles.io.hashing import sha256_data

SEAL = "sha256"


def write_sealed(path: str | os.PathLike[str], content: Mapping[str, Any]) -> None:
    """Write plain data with their hash beside them, under the key ``sha256``.

    Raises:
        ValueError: a number that JSON does not have (NaN, infinity).
        TypeError: something that is no plain data.
    """
    # What a reader will find: tuples are lists there, and keys are text.
    plain = json.loads(json.dumps(content, allow_nan=False))
    write_json(path, plain | {SEAL: sha256_data(plain)})


def read_sealed(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return what :func:`write_sealed` wrote.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is damaged, or was written by something else.
    """
    content = json.loads(Path(path).read_text(encoding="utf-8"))
    if not isinstance(content, dict) or content.pop(SEAL, None) != sha256_data(content):
        raise ValueError("its content is not what was written")
    return content
