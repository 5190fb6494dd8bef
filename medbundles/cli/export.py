"""``medbundles export``: a bundle as one self-contained zip."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("export")(export)


def export(
    name: Annotated[str, typer.Argument(help="Bundle to export.", metavar="NAME")],
    output: Annotated[Path, typer.Option(help="Folder of the zip.")],
    weights: Annotated[
        Path | None, typer.Option(help="model.pt of a run, or the run's folder; the released weights by default.")
    ] = None,
    formats: Annotated[str, typer.Option(help="Formats to add to model.pt.")] = "safetensors,torchscript,onnx",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing zip.")] = False,
) -> None:
    """Write NAME.zip, which runs where medbundles is not installed: MONAI Model Zoo, MONAI Label, MONAI Deploy."""
    from medbundles.export import export_bundle

    wanted = [each.strip() for each in formats.split(",") if each.strip()]
    result = export_bundle(name, output, weights, wanted, overwrite)
    for note in result.notes:
        print(f"note: {note}")
    print(f"{result.path}: {len(result.files)} files")
