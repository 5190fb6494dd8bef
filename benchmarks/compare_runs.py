"""Draw the losses and metrics of several trainings into one picture, from their history.jsonl.

python benchmarks/compare_runs.py unet gan --output curves.png
python benchmarks/compare_runs.py unet gan --figures reconstruction_loss mae quality_ssim --output curves.png
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from matplotlib.figure import Figure

COLORS = ("#1f5a94", "#d95f02", "#1b8a5a", "#7a4fa3", "#8c564b")
MARKERS = "osD^v"
COLUMNS = 3

Points = list[tuple[int, float]]


def read(run: Path) -> dict[str, Points]:
    """Return each figure of a run by epoch."""
    figures: dict[str, Points] = {}
    for line in (run / "history.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        for name, value in (row.get("losses", {}) | row.get("metrics", {})).items():
            if value is not None:
                figures.setdefault(name, []).append((row["epoch"], value))
    return figures


def draw(runs: dict[str, dict[str, Points]], names: list[str], output: Path) -> None:
    rows = -(-len(names) // COLUMNS)
    picture = Figure(figsize=(4.2 * min(COLUMNS, len(names)), 2.9 * rows), dpi=110, layout="constrained")
    panels = picture.subplots(rows, min(COLUMNS, len(names)), squeeze=False)
    for panel, name in zip(panels.flat, names, strict=False):
        for number, (run, figures) in enumerate(runs.items()):
            if points := figures.get(name):
                style = {"color": COLORS[number % len(COLORS)], "marker": MARKERS[number % len(MARKERS)]}
                panel.plot(*zip(*points, strict=True), label=run, markersize=4, **style)
        panel.set_title(name.removeprefix("quality_").replace("_", " "), fontsize=10)
        panel.set_xlabel("epoch", fontsize=9)
        panel.grid(alpha=0.3)
        panel.legend(fontsize=8)
    for panel in list(panels.flat)[len(names) :]:
        panel.set_visible(False)
    picture.savefig(output)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="*", help="folders of trainings")
    parser.add_argument("--figures", nargs="*", help="which; by default all that the runs know")
    parser.add_argument("--output", type=Path, default=Path("curves.png"))
    options = parser.parse_args()
    if not options.runs:
        print("no folder of a training given: nothing to draw (see --help)")
        return
    runs = {run.name: read(run) for run in options.runs}
    known = list(dict.fromkeys(name for figures in runs.values() for name in figures))
    draw(runs, options.figures or known, options.output)
    print(f"{options.output}: {', '.join(runs)}")


if __name__ == "__main__":
    main()
