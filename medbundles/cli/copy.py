"""``medbundles copy``: a bundle to edit, for users who have the wheel only."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("copy")(copy)


def copy(
    name: Annotated[str, typer.Argument(help="Bundle to copy.", metavar="NAME")],
    directory: Annotated[Path, typer.Argument(help="New folder for the copy; must not exist.", metavar="DIR")],
) -> None:
    """Copy a bundle, its released weights included, to a folder of your own."""
    from medbundles.errors import OutputConflict
    from medbundles.io.atomic import write_text
    from medbundles.registry import bundle_folder, released_model, with_bundle_root

    source = bundle_folder(name)
    if directory.exists():
        raise OutputConflict(f"{directory} exists; choose another folder")
    shutil.copytree(source, directory, ignore=shutil.ignore_patterns("__pycache__", "runs"))
    model = released_model(source)
    if model is not None and not (directory / "models").exists():
        shutil.copytree(model.folder, directory / "models")
    for config in sorted((directory / "configs").glob("*.yaml")):
        write_text(config, with_bundle_root(config.read_text(encoding="utf-8"), directory.resolve().as_posix()))
    print(f"{name} copied to {directory}; its path stands for its name in every command:")
    print(f"  medbundles train {directory} --dataset_dir DATA --output_dir RUN")
