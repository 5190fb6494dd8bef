"""``medbundles train``, ``evaluate``, ``mine`` and ``infer``: a bundle's own configuration, run strictly."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from medbundles.errors import ConfigurationError, Finding, Interrupted
from medbundles.registry import bundle_folder, content_root, require

# Which of a bundle's files make up a command; overlays go before the last of several.
FILES = {
    "train": ("train.yaml",),
    "evaluate": ("train.yaml", "evaluate.yaml"),
    "mine": ("train.yaml", "evaluate.yaml", "mine.yaml"),
    "infer": ("inference.yaml",),
}

Name = Annotated[str, typer.Argument(help="Bundle: a name that `medbundles info` lists, or a bundle's folder.")]
Overlays = Annotated[
    list[str] | None,
    typer.Option("--overlay", help="Named overlay: smoke, full, deterministic, mlflow or a bundle's own."),
]
Files = Annotated[
    list[Path] | None, typer.Option("--config_file", help="A configuration file of yours, laid over last.")
]


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    settings = {"allow_extra_args": True, "ignore_unknown_options": True}
    for command in (train, evaluate, mine, infer):
        app.command(command.__name__, context_settings=settings)(command)


def train(context: typer.Context, name: Name, overlay: Overlays = None, config_file: Files = None) -> None:
    """Train a bundle: --dataset_dir DATA, and any key of its train.yaml as --key value."""
    _run("train", name, overlay or (), config_file or (), context.args)


def evaluate(context: typer.Context, name: Name, overlay: Overlays = None, config_file: Files = None) -> None:
    """Evaluate a trained bundle: --dataset_dir DATA --weights RUN/model.pt, and any other key as --key value.

    Tables and pictures go to --output_dir; without it to runs/NAME/evaluate_TIME, which the last line names.
    """
    _run("evaluate", name, overlay or (), config_file or (), context.args)


def mine(context: typer.Context, name: Name, overlay: Overlays = None, config_file: Files = None) -> None:
    """Collect a trained bundle's false positives for its next training: --dataset_dir DATA --weights RUN/model.pt."""
    _run("mine", name, overlay or (), config_file or (), context.args)


def infer(context: typer.Context, name: Name, overlay: Overlays = None, config_file: Files = None) -> None:
    """Apply a bundle to cases: --dataset_dir CASES --output_dir OUT, and any other key as --key value."""
    _run("infer", name, overlay or (), config_file or (), context.args)


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


def _run(kind: str, name: str, overlays: Sequence[str], extra: Sequence[Path], words: Sequence[str]) -> None:
    from medbundles.cli.overrides import parse_overrides, texts_to_lists

    folder = bundle_folder(name)
    files = configuration_files(kind, folder, overlays, extra)
    # The files say bundles/NAME, which is right only in the repository's root.
    overrides = {"bundle_root": _shortest(folder), **texts_to_lists(parse_overrides(words), files)}
    try:
        from medbundles.components.workflows import StrictWorkflow

        workflow = StrictWorkflow(
            [str(file) for file in files], workflow_type="train" if kind == "train" else "infer", **overrides
        )
        workflow.initialize()
        workflow.run()
        workflow.finalize()
    except KeyboardInterrupt as error:
        raise Interrupted("interrupted") from error


def _shortest(folder: Path) -> str:
    relative = os.path.relpath(folder) if folder.resolve().is_relative_to(Path.cwd()) else str(folder.resolve())
    return Path(relative).as_posix()
