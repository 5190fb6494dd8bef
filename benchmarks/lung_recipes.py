"""Networks and losses of the lung bundle against each other: a short training each, on crops, as a table.

    python benchmarks/lung_recipes.py --dataset_dir demo/data
    python benchmarks/lung_recipes.py --dataset_dir demo/data --recipe "UNet, Dice + cross entropy" \
        --recipe "wider=--networks::UNet::features 16"

Each recipe is a set of overrides of the bundle's own train.yaml, trained by `medbundles train` with the same seed and
so on the same crops, half of them around nodules; whole slices are left out because they take most of the time. The
figures on crops are those of the last epoch, in training mode, at a probability of one half, all pixels together.
The validation is over so few scans that it tells whether a recipe floods the lung, not which of two is better.
Without --dataset_dir synthetic scans are made in a temporary folder, which takes some minutes.
"""

from __future__ import annotations

import argparse
import json
import shlex
import tempfile
from pathlib import Path
from typing import Any

import yaml
from support.commands import BUNDLE, run, synthetic_data

from medbundles.io.datalist import records, write_datalist

BATCH_SIZE = 16
# MONAI's UNet as it is: one output channel through every level, no head.
PLAIN = shlex.quote(
    "{_target_: monai.networks.nets.UNet, _mode_: callable, spatial_dims: 2, in_channels: '@slices', out_channels: 1, "
    "channels: [16, 32, 64, 128], strides: [2, 2, 2], num_res_units: 2, norm: batch}"
)
WEIGHTED = "--loss FalseNegativeWeightedDiceCE --losses::FalseNegativeWeightedDiceCE::weight"
RECIPES = {
    "plain UNet without a prior, Dice + cross entropy": f"--networks::UNet {PLAIN} --foreground_prior 0.5",
    "plain UNet, Dice + cross entropy": f"--networks::UNet {PLAIN}",
    "UNet, Dice + cross entropy": "",
    "BasicUNet, Dice + cross entropy": "--network BasicUNet",
    "UNet, Dice + 8 x false-negative Dice": "--loss FalseNegativeWeightedDice",
    "UNet, Dice + 8 x false-negative Dice + cross entropy": f"{WEIGHTED} 8.0",
    "UNet, Dice + 2 x false-negative Dice + cross entropy": f"{WEIGHTED} 2.0",
    "UNet, Dice + 1 x false-negative Dice + cross entropy": f"{WEIGHTED} 1.0",
}
# What the history of a training shall hold besides the validation: the figures of the epoch's own crops.
OVERLAY: dict[str, Any] = {
    "sampling": {"site": 0.5, "background": 0.5, "full_slice": 0.0},
    "preview_cases": 1,
    "train::handlers::0::history::metrics": {
        "crops": "@train::key_metric::train_pixels",
        "pixels": "@validate::pixel_confusion",
    },
    "train::handlers::0::history::figures": ["recall", "precision", "f1", "false_positive_percent"],
}
COLUMNS = {
    "recall": "crops_recall",
    "precision": "crops_precision",
    "Dice": "crops_f1",
    "sensitivity": "sensitivity",
    "false positive pixels, % of label": "pixels_false_positive_percent",
}


def with_fewer_validation_scans(dataset_dir: Path, scans: int, folder: Path) -> Path:
    """A data list of the same images whose fold 0 has only so many scans."""
    training = records(dataset_dir.resolve(), "training", 0)
    validation = records(dataset_dir.resolve(), "validation", 0)[:scans]
    folder.mkdir()
    write_datalist(folder, [*training, *validation], [])
    return folder


def train(overrides: str, dataset_dir: Path, folder: Path, steps: int, epochs: int) -> dict[str, Any]:
    overlay = folder.with_suffix(".yaml")
    overlay.write_text(yaml.safe_dump(OVERLAY), encoding="utf-8")
    run(
        *("train", BUNDLE, "--config_file", overlay, "--dataset_dir", dataset_dir, "--output_dir", folder),
        *("--max_epochs", str(epochs), "--val_interval", str(epochs), "--batch_size", str(BATCH_SIZE)),
        *("--samples_per_epoch", str(steps // epochs * BATCH_SIZE), *shlex.split(overrides)),
    )
    rows = [json.loads(line) for line in (folder / "history.jsonl").read_text(encoding="utf-8").splitlines()]
    return {**rows[-1]["metrics"], "seconds": sum(row["seconds"] for row in rows)}


def line(name: str, figures: dict[str, Any], steps: int) -> str:
    cells = ["-" if figures[key] is None else f"{figures[key]:,.2f}" for key in COLUMNS.values()]
    return f"| {name} | {' | '.join(cells)} | {1000 * figures['seconds'] / steps:.0f} |"


def named(text: str) -> tuple[str, str]:
    name, separator, overrides = text.partition("=")
    if not separator and name not in RECIPES:
        raise argparse.ArgumentTypeError(f"neither NAME=OVERRIDES nor one of: {'; '.join(RECIPES)}")
    return name, overrides if separator else RECIPES[name]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset_dir", type=Path, help="prepared folder; default: synthetic scans")
    parser.add_argument("--steps", type=int, default=300, help="iterations of 16 crops a recipe")
    parser.add_argument("--epochs", type=int, default=5, help="epochs into which these are divided")
    parser.add_argument("--validation_scans", type=int, default=2, help="scans of fold 0 to validate on")
    parser.add_argument("--recipe", type=named, action="append", help="NAME=OVERRIDES, or one of the known names")
    options = parser.parse_args()
    if options.steps < options.epochs or options.epochs < 1 or options.validation_scans < 1:
        parser.error("--epochs and --validation_scans must be at least 1, and --steps at least --epochs")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        source = options.dataset_dir or synthetic_data(folder, cases=24, folds=4)
        data = with_fewer_validation_scans(source, options.validation_scans, folder / "list")
        print(f"| recipe | {' | '.join(COLUMNS)} | ms a step |\n|---|{'---|' * (len(COLUMNS) + 1)}", flush=True)
        for number, (name, overrides) in enumerate(options.recipe or RECIPES.items()):
            figures = train(overrides, data, folder / f"run{number}", options.steps, options.epochs)
            print(line(name, figures, options.steps // options.epochs * options.epochs), flush=True)


if __name__ == "__main__":
    main()
