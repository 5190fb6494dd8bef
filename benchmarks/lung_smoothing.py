"""How far probabilities are averaged before findings are judged: sensitivity at several false positive rates.

    python benchmarks/lung_smoothing.py                          # what `make demo` left
    python benchmarks/lung_smoothing.py --dataset_dir DATA --weights RUN/model.pt

Runs a trained network over the validation and the test part of a prepared folder once, smooths its probabilities by
several distances and prints one row of a table for each: sensitivity at false positives a scan, and the mean Dice at
the best threshold of a grid. What is chosen with it must be reported on other scans; real ones are not given to it.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from monai.transforms import Compose

from medbundles.components.inferers import SliceStackInferer, find_lungs
from medbundles.components.metrics import LesionDetection, PixelConfusion
from medbundles.components.metrics.thresholds import grid_scores
from medbundles.components.networks import load_weights, network_from_model
from medbundles.components.transforms import ClampIntensityd, LoadVolumed, SmoothProbabilityd
from medbundles.io.datalist import Part, records
from medbundles.io.model_json import read_model

RATES = (0.5, 1.0, 2.0, 4.0, 8.0)
PARTS: tuple[Part, ...] = ("validation", "testing")


def predictions(dataset_dir: Path, weights: Path, fold: int) -> Iterator[dict[str, torch.Tensor]]:
    """Yield ``pred`` (probabilities as the network gives them) and ``label``, ``(1, H, W, D)``, of every scan."""
    model = read_model(weights)
    network = network_from_model(model).eval()
    load_weights(network, weights)
    low, high = model["preprocessing"]["window_hu"]
    load = Compose([LoadVolumed(["image", "label"]), ClampIntensityd("image", low, high)])
    inferer = SliceStackInferer(model["preprocessing"]["slices"], tissue=find_lungs)
    for part in PARTS:
        for record in records(dataset_dir, part, fold):
            item = load(dict(record))
            yield {"pred": inferer(item["image"][None], network)[0].sigmoid(), "label": item["label"]}


def row(items: Sequence[dict[str, torch.Tensor]], sigma_mm: float, candidate_threshold: float) -> str:
    """Return one line of the table."""
    lesions = LesionDetection(candidate_threshold=candidate_threshold)
    pixels = PixelConfusion()
    smooth = SmoothProbabilityd("pred", sigma_mm)
    for item in items:
        smoothed = smooth(copy.copy(item))
        for metric in (lesions, pixels):
            metric.update(([smoothed["pred"]], [smoothed["label"]]))
    lesions.compute()
    found = []
    for rate in RATES:
        lesions.false_positive_budget = rate
        found.append(lesions.score(lesions.rows))
    dice = grid_scores(pixels.rows, pixels.ignore_empty, "dice").max()
    return f"| {sigma_mm:g} | " + " | ".join(f"{value:.2f}" for value in found) + f" | {dice:.3f} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset_dir", type=Path, default=Path("demo/data"))
    parser.add_argument("--weights", type=Path, default=Path("demo/run/model.pt"))
    parser.add_argument("--fold", type=int, default=0)
    parser.add_argument("--candidate_threshold", type=float, default=0.1)
    parser.add_argument("--sigma_mm", type=float, nargs="+", default=[0.0, 0.7, 1.0, 1.5, 2.0])
    options = parser.parse_args()
    if not options.weights.is_file():
        print(f"no trained network at {options.weights}: `make demo` makes one")
        return
    items = list(predictions(options.dataset_dir, options.weights, options.fold))
    print("| mm | " + " | ".join(f"{rate:g}" for rate in RATES) + " | Dice |")
    print("|---" * (len(RATES) + 2) + "|")
    for sigma in options.sigma_mm:
        print(row(items, sigma, options.candidate_threshold), flush=True)


if __name__ == "__main__":
    main()
