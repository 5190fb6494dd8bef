"""The registry of bundles: what lies in ``bundles/`` and ``models/``, as typed data for the CLI, docs and tests."""

from __future__ import annotations

import difflib
import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from medbundles.errors import ConfigurationError, Finding
from medbundles.io.model_json import MODEL_JSON

METADATA = Path("configs/metadata.json")
RESULTS = "results.json"


@dataclass(frozen=True)
class ReleasedModel:
    """Weights that are shipped with a bundle.

    Attributes:
        folder: ``models/NAME``.
        description: content of ``model.json``: network, channels, labels, preprocessing, threshold, SHA-256.
        results: content of ``results.json``: what the weights reach on which data; empty when there is none.
        files: the weight files (``.pt``, ``.safetensors``) by name.
    """

    folder: Path
    description: dict[str, Any]
    results: dict[str, Any]
    files: tuple[str, ...]


@dataclass(frozen=True)
class Bundle:
    """One MONAI bundle.

    Attributes:
        name: the folder's name.
        folder: where the bundle lies.
        version: semantic version of the bundle.
        task: what it does, in one line.
        description: a paragraph.
        metadata: the whole ``metadata.json``.
        configs: names of the configuration files that can be given to ``monai.bundle run``.
        model: the released weights, if any.
    """

    name: str
    folder: Path
    version: str
    task: str
    description: str
    metadata: dict[str, Any]
    configs: tuple[str, ...]
    model: ReleasedModel | None

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for ``info --json``."""
        content: dict[str, Any] = json.loads(json.dumps(asdict(self), default=str))
        return content


def content_root() -> Path:
    """Return the folder that holds ``bundles``, ``configs`` and ``models``: the wheel's content or the repository."""
    package = Path(__file__).resolve().parent
    installed = package / "content"
    return installed if installed.is_dir() else package.parent


def bundle_names() -> list[str]:
    """Return the names of the bundles that come with this package, sorted."""
    return sorted(path.parent.parent.name for path in (content_root() / "bundles").glob(f"*/{METADATA.as_posix()}"))


def bundle_folder(name: str) -> Path:
    """Return a bundle's folder.

    Args:
        name: a bundle of this package, or the path of a bundle's folder (made by ``medbundles copy`` or by hand).

    Raises:
        ConfigurationError: there is no such bundle (CFG001), with the closest names.
    """
    own = content_root() / "bundles" / name
    if name in bundle_names():
        return own
    if (Path(name) / METADATA).is_file():
        return Path(name)
    raise ConfigurationError(findings=[_unknown("bundle", name, bundle_names())])


def read_bundle(name: str) -> Bundle:
    """Read what is known of a bundle.

    Args:
        name: as in :func:`bundle_folder`.

    Raises:
        ConfigurationError: no such bundle (CFG001), or its ``metadata.json`` or ``model.json`` is not JSON (CFG003).
    """
    folder = bundle_folder(name)
    metadata = read_json(folder / METADATA)
    return Bundle(
        name=folder.resolve().name,
        folder=folder,
        version=str(metadata.get("version", "")),
        task=str(metadata.get("task", "")),
        description=str(metadata.get("description", "")),
        metadata=metadata,
        configs=tuple(sorted(path.name for path in (folder / "configs").glob("*.yaml"))),
        model=released_model(folder),
    )


def released_model(folder: Path) -> ReleasedModel | None:
    """Return the released weights of a bundle: beside it in ``models/NAME``, or in its own ``models``."""
    for models in (folder.parent.parent / "models" / folder.name, folder / "models"):
        if (models / MODEL_JSON).is_file():
            results = models / RESULTS
            weights = sorted(path.name for path in models.iterdir() if path.suffix in {".pt", ".safetensors"})
            return ReleasedModel(
                folder=models,
                description=read_json(models / MODEL_JSON),
                results=read_json(results) if results.is_file() else {},
                files=tuple(weights),
            )
    return None


def with_bundle_root(config: str, root: str) -> str:
    """Return a configuration with its top-level ``bundle_root`` replaced, also in the commands of its comments."""
    # Functions, not replacement strings: a folder's name may hold what re would take for a group reference.
    line = re.compile(r"^bundle_root:[^#\n]*?(?=[ \t]*(?:#.*)?$)", flags=re.MULTILINE)
    command = re.compile(r"(?m)(^#.*)")
    folder = "" if root == "." else f"{root}/"
    moved = line.sub(lambda _: f'bundle_root: "{root}"', config)
    return command.sub(lambda found: re.sub(r"\bbundles/\w+/(?=configs/)", lambda _: folder, found[0]), moved)


def require(kind: str, name: str, known: list[str]) -> str:
    """Return ``name`` when it is known.

    Raises:
        ConfigurationError: it is not (CFG001); names what is close and what there is.
    """
    if name in known:
        return name
    raise ConfigurationError(findings=[_unknown(kind, name, known)])


def _unknown(kind: str, name: str, known: list[str]) -> Finding:
    close = difflib.get_close_matches(name, known, n=1)
    fix = (f"did you mean {close[0]}? " if close else "") + f"there is: {', '.join(known) or 'none'}"
    return Finding("CFG001", "error", f"no {kind} named {name!r}", fix)


def read_json(path: Path) -> dict[str, Any]:
    """Return a JSON object of a bundle.

    Raises:
        ConfigurationError: it is none (CFG003).
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        finding = Finding("CFG003", "error", f"not JSON: {error}", "mend the file", file=str(path))
        raise ConfigurationError(findings=[finding]) from error
    if not isinstance(content, dict):
        raise ConfigurationError(findings=[Finding("CFG003", "error", "not a JSON object", "mend it", file=str(path))])
    return content
