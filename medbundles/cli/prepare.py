"""``medbundles prepare``: a public data set as images, a data list and a fingerprint."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Annotated

import typer

KINDS = ("brats", "decathlon", "dwi_t1w", "lidc", "luna16", "nnunet")


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    settings = {"allow_extra_args": True, "ignore_unknown_options": True}
    app.command("prepare", context_settings=settings)(prepare)


def prepare(
    context: typer.Context,
    kind: Annotated[str, typer.Argument(help=f"Kind of source: {', '.join(KINDS)}.", metavar="KIND")],
    source: Annotated[Path, typer.Option(help="Folder of the public data set, or in its layout.")],
    output: Annotated[Path, typer.Option(help="Folder to write to; an interrupted run continues there.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Bring a data set into the one form every bundle reads: images/, labels/, datalist.json, fingerprint.json.

    Further options depend on the kind, such as --split luna16: see docs/reference/keys.md.

    Skulls are not stripped: brains with tumors (brats) must come without, as HD-BET, SynthStrip or BraTS Toolkit leave
    them, or with masks (--mask_name).
    """
    from medbundles.cli.options import bind_options
    from medbundles.registry import require

    module = importlib.import_module(f"medbundles.prepare.{require('kind of source', kind, list(KINDS))}")
    options = bind_options(module.prepare, context.args, given=("source", "output"))
    report = module.prepare(source, output, **options)
    print(report.as_json() if as_json else report)
    report.raise_if_partial()
