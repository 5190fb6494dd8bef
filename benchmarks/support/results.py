"""Tables of what trainings reach, as released weights' ``results.json`` has them."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from medbundles.weights_page import evaluation_table

Table = dict[str, Any]


def read_json(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8"))


def effort(run: Path) -> dict[str, str]:
    """Return how large a run's network is and how long it learned; a joined one has not."""
    history = run / "history.jsonl"
    lines = history.read_text(encoding="utf-8").splitlines() if history.exists() else []
    rows = [json.loads(line) for line in lines]
    # DynUNet lists most of its weights under two names.
    weights = {value.data_ptr(): value for value in torch.load(run / "model.pt", weights_only=True).values()}
    return {
        "million weights": f"{sum(value.numel() for value in weights.values()) / 1e6:.2f}",
        "epochs": str(rows[-1]["epoch"]) if rows else "joined",
        "minutes": f"{sum(row['seconds'] for row in rows) / 60:.0f}" if rows else "",
    }


def with_interval(summary: dict[str, Any], figure: str, digits: int = 2) -> str:
    low, high = summary["intervals"][figure] or (float("nan"), float("nan"))
    return f"{summary[figure]:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def collect(
    description: str | None, shown: Callable[[list[Path]], list[Table]], kept: Callable[[Path], list[Table]]
) -> None:
    """Be the command that prints the tables of trainings, and writes those of the released one.

    Args:
        description: of the command.
        shown: the tables of several runs.
        kept: those of the released run that results.json keeps.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, nargs="+", default=[], help="folders of trainings")
    parser.add_argument("--released", type=Path, help="the run whose weights are released")
    parser.add_argument("--trained_on", default="", help="which data, in a few words")
    parser.add_argument("--license", default="", help="under which terms the weights may be passed on")
    parser.add_argument("--output", type=Path, help="results.json of the released run")
    options = parser.parse_args()
    if not options.runs and not options.released:
        print("no --runs given: nothing to collect (see --help)")
        return
    print_tables(shown(options.runs or [options.released]))
    if options.output:
        write_results(options.output, options.license, options.trained_on, kept(options.released))


def print_tables(tables: Sequence[Table]) -> None:
    for table in tables:
        print(f"{table['data']} (n = {table['n']})\n\n" + "\n".join(evaluation_table(table)))


def write_results(file: Path, license_note: str, trained_on: str, tables: Sequence[Table]) -> None:
    """Write what lies beside released weights."""
    content = {"license": license_note, "trained_on": trained_on, "evaluations": list(tables)}
    file.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
