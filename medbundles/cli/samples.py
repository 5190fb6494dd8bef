"""``medbundles samples``: synthetic data in the public data set's own layout."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    settings = {"allow_extra_args": True, "ignore_unknown_options": True}
    app.command("samples", context_settings=settings)(samples)


def samples(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Bundle whose kind of data is made.", metavar="NAME")],
    output: Annotated[Path, typer.Option(help="Folder to write to; made if absent.")],
    cases: Annotated[int | None, typer.Option(min=1, help="How many cases; by default enough to train on.")] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same files.")] = 0,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; the default uses every core.")] = None,
) -> None:
    """Write a synthetic data set in the layout of the public one, so that everything can be tried at once.

    Further options depend on the bundle: see docs/reference/keys.md.
    """
    from medbundles.cli.options import bind_options
    from medbundles.errors import ConfigurationError, Finding
    from medbundles.registry import bundle_names, require

    require("bundle", name, bundle_names())
    if importlib.util.find_spec(f"medbundles.samples.{name}") is None:
        fix = f"write medbundles/samples/{name}.py (docs/how_to/add_a_bundle.md), or take the samples of another bundle"
        raise ConfigurationError(findings=[Finding("CFG001", "error", f"{name} has no samples of its own", fix)])
    writer = importlib.import_module(f"medbundles.samples.{name}")
    options = bind_options(writer.write_samples, context.args, given=("output", "cases", "seed", "workers"))
    writer.write_samples(output, cases=cases or writer.DEFAULT_CASES, seed=seed, workers=workers, **options)
    print(f"samples of {name} written to {output}")
    print(f"next: medbundles prepare {writer.PREPARED_AS} --source {output} --output DATA")
