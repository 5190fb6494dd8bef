"""Compare trainings of brain_tumor_mri_segmentation, and write what the released weights reach into their results.json.

    python benchmarks/tumor_results.py --runs input_0 feature_0 decision_0 --released input_0 --output results.json

Each RUN is a folder of `medbundles train`; beside it RUN.samples, RUN.real and RUN.real_two, if there, are folders of
`medbundles evaluate` on held-out synthetic brains and on real cases with four and with two contrasts. Prints a table of
all runs (Dice of each region, mean over cases; minutes as the run's own history has them) and one of the real cases;
with --released and --output the tables go into the weights' results.json. tumor_release.sh calls this as its last step.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from support.results import collect, effort, read_json, with_interval

EVALUATE = "medbundles evaluate brain_tumor_mri_segmentation --dataset_dir {} --weights {}/model.pt"
SAMPLE_DATA = "synthetic brains that nothing was trained or chosen on (medbundles samples, seed 2026)"
REAL_DATA = "real cases, never trained or chosen on, looked at while the samples were made"


def samples_row(run: Path) -> dict[str, str] | None:
    """Return a run's figures on held-out samples."""
    file = Path(f"{run}.samples") / "summary.json"
    if not file.exists():
        return None
    summary = read_json(file)
    regions = summary["regions"]["regions"]
    cells = {"run": run.name, **effort(run)}
    cells |= {f"{name} Dice": with_interval(figures, "dice") for name, figures in regions.items()}
    cells |= {f"{name} HD95, mm": f"{figures['hd95_mm']:.0f}" for name, figures in regions.items()}
    cells |= {f"{name} lesion Dice": f"{row['lesion_dice']:.2f}" for name, row in summary["lesions"]["regions"].items()}
    return cells


def real_rows(run: Path) -> list[dict[str, str]]:
    """Return a row a real case."""
    return [row for part, contrasts in (("real", "4"), ("real_two", "2")) for row in _rows_of(run, part, contrasts)]


def _rows_of(run: Path, part: str, contrasts: str) -> list[dict[str, str]]:
    file = Path(f"{run}.{part}") / "metrics.csv"
    if not file.exists():
        return []
    with file.open(newline="", encoding="utf-8") as lines:
        found = list(csv.DictReader(lines))
    cases = list(dict.fromkeys(row["case"] for row in found))
    return [
        {"run": run.name, "case": case, "contrasts": contrasts}
        | {
            f"{row['region']} Dice, HD95 mm": f"{float(row['dice']):.2f}, {float(row['hd95_mm']):.0f}"
            for row in found
            if row["case"] == case
        }
        for case in cases
    ]


def evaluations(runs: list[Path]) -> list[dict[str, Any]]:
    """Return the tables of these runs as results.json has them."""
    first = runs[0].name
    known = [row for row in map(samples_row, runs) if row]
    tables = []
    if known:
        count = read_json(Path(f"{runs[0]}.samples") / "summary.json")["regions"]["n"]
        tables.append({"data": SAMPLE_DATA, "command": EVALUATE.format("test_data", first), "n": count, "rows": known})
    real = [row for run in runs for row in real_rows(run)]
    if real:
        count = len({row["case"] for row in real})
        tables.append({"data": REAL_DATA, "command": EVALUATE.format("real", first), "n": count, "rows": real})
    return tables


if __name__ == "__main__":
    collect(__doc__, evaluations, lambda run: evaluations([run]))
