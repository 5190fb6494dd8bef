"""A text that changes whenever a deterministic transform would give other results."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import monai
import numpy as np
import torch

from medbundles import __version__
from medbundles.io.hashing import sha256_data, sha256_file


def transform_key(transforms: Any) -> str:
    """Return a hash of transforms: their classes, arguments and source code, and the libraries' versions.

    The source is part of the key because an edited transform in a user's bundle must not read what the old one wrote.

    Args:
        transforms: a transform or a sequence of them.
    """
    content = [__version__, monai.__version__, torch.__version__, np.__version__, _describe(transforms, depth=0)]
    return sha256_data(content)


def _describe(value: Any, depth: int) -> Any:
    """Describe a value by what decides its behavior; addresses and generators are left out."""
    if value is None or isinstance(value, str | int | float | bool | Path):
        return repr(value)
    if isinstance(value, np.ndarray | torch.Tensor):
        return [str(value.dtype), np.asarray(value).tolist()]
    if isinstance(value, dict):
        return {str(key): _describe(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_describe(item, depth + 1) for item in value]
    if isinstance(value, np.random.RandomState) or depth > 8:
        return type(value).__name__
    if inspect.isclass(value) or inspect.isroutine(value):
        return f"{value.__module__}.{value.__qualname__}"
    return [_code_of(type(value)), {key: _describe(item, depth + 1) for key, item in sorted(vars_of(value).items())}]


def vars_of(value: Any) -> dict[str, Any]:
    """Return an object's attributes, or its representation where it has none."""
    attributes: dict[str, Any] = getattr(value, "__dict__", {"repr": repr(value)})
    return attributes


def _code_of(kind: type) -> str:
    name = f"{kind.__module__}.{kind.__qualname__}"
    if kind.__module__.startswith(("monai.", "torch.", "numpy.", "builtins")):
        return name  # their version is in the key already
    file = inspect.getsourcefile(kind)
    return f"{name}:{sha256_file(file)}" if file else name
