"""Which configuration files make up a command, for ``train`` and its relatives and for whoever calls them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from medbundles.errors import ConfigurationError, Finding
from medbundles.registry import content_root, require

# Which of a bundle's files make up a command; overlays go before the last of several.
FILES = {
    "train": ("train.yaml",),
    "evaluate": ("train.yaml", "evaluate.yaml"),
    "mine": ("train.yaml", "evaluate.yaml", "mine.yaml"),
    "infer": ("inference.yaml",),
}


def configuration_files(kind: str, folder: Path, overlays: Sequence[str], extra: Sequence[Path]) -> list[Path]:
    """Return the files of a command in the order in which they are merged.

    Overlays change what is trained, so they lie below ``evaluate.yaml``; files of the user's own come last.

    Args:
        kind: ``train``, ``evaluate``, ``mine`` or ``infer``.
        folder: the bundle's folder.
        overlays: names of files in the bundle's ``configs`` or in the ``configs`` that fit any bundle.
        extra: files to add.

    Raises:
        ConfigurationError: there is no overlay of that name, or the bundle has no such command (CFG001).
    """
    own = [folder / "configs" / file for file in FILES[kind]]
    if absent := [file.name for file in own if not file.is_file()]:
        message = f"{folder.name} has no configs/{absent[0]}, which `medbundles {kind}` needs"
        raise ConfigurationError(findings=[Finding("CFG001", "error", message, "see `medbundles info`")])
    # The files that make up the commands are whole configurations, or belong to one command: no overlays.
    commands = {file for files in FILES.values() for file in files}
    places = (content_root() / "configs", folder / "configs")
    known = {path.stem: path for place in places for path in sorted(place.glob("*.yaml")) if path.name not in commands}
    chosen = [known[require("overlay", name, sorted(known))] for name in overlays]
    return [own[0], *chosen, *own[1:], *extra]
