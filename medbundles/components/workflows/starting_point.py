"""What training starts from: weights of the same kind of images, and a cache that can be written."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from medbundles.checks.verdict import refuse
from medbundles.components.datasets.mapped_cache import cache_directory
from medbundles.errors import ConfigurationError, EnvironmentFailure, Finding
from medbundles.io.fingerprint import network_grid
from medbundles.io.model_json import MODEL_JSON
from medbundles.io.user_cache import CACHE_VARIABLE


def check_pretrained(
    weights: Iterable[Path],
    channels: Sequence[str] | None,
    dataset_dir: Path | None,
    strict: bool = False,
) -> list[Finding]:
    """Compare the images that weights were trained on with those they shall be trained on further.

    Args:
        weights: files to start from; those without a readable ``model.json`` beside them are taken as they are.
        channels: channel names in the network's order; ``None`` leaves them unchecked.
        dataset_dir: the prepared folder; where there is none, its grid is left unchecked.
        strict: whether warnings refuse as well.

    Returns:
        A warning (CFG004) where the weights are of another grid: fine-tuning may mean that.

    Raises:
        ConfigurationError: other channels, or the same in another order (CFG004).
    """
    findings = []
    for path in dict.fromkeys(file.with_name(MODEL_JSON) for file in weights):
        model = _read(path)
        images = model.get("image_channels")
        if channels is not None and images is not None and images != list(channels):
            message = f"the weights were trained on the channels {images}, this run has {list(channels)}"
            fix = "name the channels as they were (--channels, --contrasts), or other weights with --pretrained"
            raise ConfigurationError(findings=[Finding("CFG004", "error", message, fix, file=str(path))])
        grid = (model.get("preprocessing") or {}).get("grid_mm")
        if grid is not None and dataset_dir is not None and dataset_dir.exists() and grid != network_grid(dataset_dir):
            message = f"the weights were trained on a grid of {grid}, the data are on {network_grid(dataset_dir)} (mm)"
            fix = "prepare the data with the grid of the weights, unless another is meant"
            findings.append(Finding("CFG004", "warning", message, fix, file=str(path)))
    return refuse(findings, strict=strict)


def check_cache(cache: Any) -> None:
    """Refuse a cache that cannot be written, before anything is prepared for it.

    Args:
        cache: the value of the key ``cache``.

    Raises:
        EnvironmentFailure: the folder can neither be made nor written to.
    """
    directory = cache_directory(cache)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=directory).close()
    except OSError as error:
        message = f"the cache {directory} cannot be written: {error.strerror or error}"
        fix = f"choose another folder with --cache or the environment variable {CACHE_VARIABLE}"
        raise EnvironmentFailure(f"{message}; {fix}") from error


def _read(path: Path) -> Mapping[str, Any]:
    """Return what a ``model.json`` says; nothing where it cannot be read, since the weights alone are enough."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) and isinstance(content.get("preprocessing"), dict) else {}
