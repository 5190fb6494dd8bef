"""Compare trainings of organ_cascade_segmentation, and write what the released weights reach into their results.json.

    python benchmarks/organ_results.py --runs UNet_0 UNet_1 both --released both --output results.json

Each RUN is a folder of `medbundles train` or `join`; beside it RUN.testing, RUN.validation or both are folders of
`medbundles evaluate`. Prints a table a part (Dice, HD95 and surface Dice at 1 mm of each label, mean over cases with
95 % intervals by case; minutes as the run's own history has them); with --released and --output those of that run go
into the weights' results.json. organ_release.sh calls this as its last step.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from support.results import Table, collect, effort, read_json, with_interval

EVALUATE = "medbundles evaluate organ_cascade_segmentation --dataset_dir data --part {} --weights {}/model.pt"
PARTS = {
    "validation": "Hippocampus cases of the stored split that chose the epoch and the cleaning",
    "testing": "Hippocampus cases of the stored split that nothing was trained or chosen on",
}


def row_of(run: Path, part: str) -> tuple[int, dict[str, str]] | None:
    """Return how many cases a run was evaluated on, and its figures."""
    file = Path(f"{run}.{part}") / "summary.json"
    if not file.exists():
        return None
    regions = read_json(file)["regions"]
    cells = {"run": run.name, **effort(run)}
    for name, figures in regions["regions"].items():
        cells[f"{name} Dice"] = with_interval(figures, "dice", 3)
        cells[f"{name} HD95, mm"] = with_interval(figures, "hd95_mm")
        cells[f"{name} surface Dice"] = with_interval(figures, "surface_dice", 3)
    return int(regions["n"]), cells


def evaluations(runs: list[Path], parts: Sequence[str] = tuple(PARTS)) -> list[Table]:
    """Return a table a part."""
    tables: list[dict[str, Any]] = []
    for part in parts:
        known = [row for run in runs if (row := row_of(run, part))]
        if known:
            command = EVALUATE.format(part, runs[0].name)
            rows = [cells for _, cells in known]
            tables.append({"data": PARTS[part], "command": command, "n": known[0][0], "rows": rows})
    return tables


if __name__ == "__main__":
    collect(__doc__, evaluations, lambda run: evaluations([run], ["testing"]))
