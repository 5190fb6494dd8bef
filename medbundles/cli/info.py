"""``medbundles info``: the bundles there are."""

from __future__ import annotations

import json
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("info")(info)


def info(
    name: Annotated[str | None, typer.Argument(help="A bundle; all of them by default.", metavar="[NAME]")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything that is known, as JSON.")] = False,
) -> None:
    """List the bundles with their released weights and results."""
    from medbundles.registry import bundle_names, content_root, read_bundle
    from medbundles.weights_page import evaluation_table

    bundles = [read_bundle(each) for each in ([name] if name else bundle_names())]
    if as_json:
        content = [bundle.as_dict() for bundle in bundles]
        print(json.dumps(content[0] if name else content, indent=2, ensure_ascii=False))
        return
    if not bundles:
        print(f"no bundle in {content_root() / 'bundles'}")
    for bundle in bundles:
        print(f"{bundle.name} {bundle.version}\n  {bundle.task}")
        print(f"  configs: {', '.join(bundle.configs)}")
        print(f"  weights: {', '.join(bundle.model.files) if bundle.model else 'none released'}")
        if name:
            print(f"  folder: {bundle.folder}\n\n{bundle.description}")
            known = bundle.model.results if bundle.model else {}
            for words, key in (("weights trained on", "trained_on"), ("licence of the weights", "license")):
                if key in known:
                    print(f"\n{words}: {known[key]}", end="")
            print()
            for evaluation in known.get("evaluations", []):
                print("\n".join(["", evaluation["data"], "", *evaluation_table(evaluation)]).rstrip())
