"""``medbundles join``: the networks of several runs as one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("join")(join)


def join(
    name: Annotated[str, typer.Argument(help="Bundle the runs belong to.", metavar="NAME")],
    weights: Annotated[str, typer.Option(help="Runs to join: [RUN0,RUN1,...], each a folder or a model.pt.")],
    output_dir: Annotated[
        Path, typer.Option("--output_dir", "--output-dir", help="Folder of the joined model; must not exist.")
    ],
) -> None:
    """Join trained networks, such as those of all folds, into one that answers with their mean probability.

    Evaluate, infer and export take the new model.pt as any other.
    """
    from medbundles.cli.overrides import parse_value
    from medbundles.join import join_networks

    named = parse_value(weights)
    runs = [str(each) for each in named] if isinstance(named, list) else [str(named)]
    file = join_networks(name, runs, output_dir)
    print(f"{file}: {len(runs)} networks, which agree on channels, labels, regions and preprocessing")
