"""``medbundles train``, ``evaluate``, ``mine`` and ``infer``: a bundle's own configuration, run strictly."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from medbundles.command_files import configuration_files
from medbundles.errors import Interrupted
from medbundles.registry import bundle_folder

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
