"""What the reference system's network finds when it is trained like ours: same scans, recipe and number of samples.

    python benchmarks/lung_accuracy.py --dataset_dir DATA --test_dir TEST --reference_run runs/reference \
        --max_epochs 40 --samples_per_epoch 8000

It trains the reference network (reference/unet.py) by the bundle's own train.yaml into --reference_run, unless that
is there already, and evaluates it and ours (--weights, by default the released weights; with and without the second
look) on the test part of TEST. Sensitivities are those of LUNA16 at so many false positives a scan, with the 95 %
intervals of the bootstrap over scans. What a slice costs each of them: lung_inference.py.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
BUNDLE = "lung_nodule_ct_segmentation"
RATES = ("1.0", "2.0", "4.0", "8.0")


def run(*words: str | Path) -> None:
    command = [sys.executable, "-m", "reference.command", *map(str, words)]
    path = os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])])
    if subprocess.run(command, stdout=sys.stderr, check=False, env=os.environ | {"PYTHONPATH": path}).returncode:
        sys.exit(f"failed: {' '.join(command)}")


def evaluate(test_dir: Path, folder: Path, weights: str | None, *extra: str) -> dict[str, Any]:
    """Return the summary of an evaluation."""
    chosen = ["--weights", weights] if weights else []
    run("evaluate", BUNDLE, "--dataset_dir", test_dir, "--output_dir", folder, *chosen, *extra)
    content: dict[str, Any] = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    return content


def line(name: str, summary: dict[str, Any]) -> str:
    luna16, pixels = summary["luna16"], summary["pixels"]
    cells = [_cell(luna16["froc"][rate], luna16["intervals"]["froc"][rate]) for rate in RATES]
    cells.append(_cell(luna16["luna16_score"], luna16["intervals"]["luna16_score"]))
    cells.append(_cell(pixels["dice"], pixels["intervals"]["dice"]))
    return f"| {name} | {' | '.join(cells)} |"


def _cell(value: float, interval: list[float]) -> str:
    return f"{value:.2f} ({interval[0]:.2f} to {interval[1]:.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset_dir", type=Path, help="prepared folder to train on")
    parser.add_argument("--test_dir", type=Path, help="prepared folder whose test part is evaluated")
    parser.add_argument("--reference_run", type=Path, default=Path("runs/reference"))
    parser.add_argument("--weights", help="model.pt of ours; the released weights by default")
    parser.add_argument("--max_epochs", default="40", help="of the reference's training; 40 take the time of our 60")
    parser.add_argument("--samples_per_epoch", default="8000")
    parser.add_argument("--json", type=Path, help="also write the summaries there")
    options, recipe = parser.parse_known_args()
    if not options.test_dir:
        print("no --test_dir given: this measurement needs prepared scans and an hour of training (see --help)")
        return
    if not (options.reference_run / "model.pt").exists():
        overlay = ["--config_file", HERE / "reference" / "network.yaml"]
        run(
            "train",
            BUNDLE,
            *overlay,
            "--dataset_dir",
            options.dataset_dir,
            "--output_dir",
            options.reference_run,
            "--max_epochs",
            options.max_epochs,
            "--samples_per_epoch",
            options.samples_per_epoch,
            *recipe,
        )
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        summaries = {
            "reference network": evaluate(options.test_dir, folder / "0", str(options.reference_run / "model.pt")),
            "ours, first look": evaluate(options.test_dir, folder / "1", options.weights, "--second_stage", "none"),
            "ours": evaluate(options.test_dir, folder / "2", options.weights),
        }
    print(
        "| network | "
        + " | ".join(f"at {float(rate):g}" for rate in RATES)
        + " | LUNA16 score | Dice |\n"
        + "|---" * 7
        + "|"
    )
    for name, summary in summaries.items():
        print(line(name, summary))
    if options.json:
        options.json.write_text(json.dumps(summaries, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
