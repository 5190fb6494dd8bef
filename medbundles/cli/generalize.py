"""``medbundles generalize``: does a network hold on another scanner?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer


def option(name: str, words: str) -> Any:
    """Declare an option that is written like the keys beside it, ``--like_this``; ``--like-this`` is the same."""
    return typer.Option(f"--{name}", f"--{name.replace('_', '-')}", help=words)


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    settings = {"allow_extra_args": True, "ignore_unknown_options": True}
    app.command("generalize", context_settings=settings)(generalize)


def generalize(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Bundle to train.", metavar="NAME")],
    first: Annotated[Path, typer.Option(help="Prepared folder of site A.")],
    second: Annotated[Path, typer.Option(help="Prepared folder of site C, whose network is fine-tuned.")],
    target: Annotated[Path, typer.Option(help="Prepared folder of site B, to which all are applied.")],
    output: Annotated[Path, typer.Option(help="Folder of the runs and the table; an interrupted run continues.")],
    fine_tune_cases: Annotated[
        int, option("fine_tune_cases", "People of site B to fine-tune on; one of them validates.")
    ] = 3,
    fine_tune_epochs: Annotated[int, option("fine_tune_epochs", "Epochs of the fine-tuning.")] = 5,
    fine_tune_learning_rate: Annotated[
        float, option("fine_tune_learning_rate", "Learning rate of the fine-tuning.")
    ] = 1.0e-4,
) -> None:
    """Train on A and on C, apply both to B; fine-tune C's network on three people of B, apply it to the rest.

    Any key of train.yaml as --key value, --overlay NAME and --config_file FILE count for all trainings. Ends with one
    table (generalization.md, .csv) and one figure (generalization.png).
    """
    from medbundles.generalize import PAGE, Experiment
    from medbundles.generalize import generalize as run_experiment

    tuning = ("--max_epochs", str(fine_tune_epochs), "--learning_rate", str(fine_tune_learning_rate))
    experiment = Experiment(
        bundle=name,
        first=first,
        second=second,
        target=target,
        output=output,
        fine_tune_cases=fine_tune_cases,
        fine_tune=tuning,
        train=tuple(context.args),
    )
    run_experiment(experiment)
    print((output / PAGE).read_text(encoding="utf-8"), end="")
