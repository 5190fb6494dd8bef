"""How much worse a tumor network gets on worse scans: noise, bias field, thick slices, other intensities.

    python benchmarks/tumor_robustness.py --dataset_dir DATA --weights RUN/model.pt --json robustness.json

Each case of the test part is changed after reading and before anything else is done with it; the truth stays. Strengths
are explained by medbundles.components.transforms.Perturbationd. Dice of each region, mean over cases with the 95 %
intervals of the bootstrap, HD95 in mm.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from support.tumor_cases import TrainedTumorNetwork, run_table

from medbundles.components.transforms import Perturbationd

STRENGTHS = {"none": (0.0,), "noise": (0.1, 0.3), "bias": (0.3, 0.6), "spacing": (3.0, 5.0), "shift": (0.2, 0.5)}


def measure(weights: str | None, dataset_dir: Path, part: str) -> dict[str, dict[str, Any]]:
    """Return the summary of each kind and strength."""
    trained = TrainedTumorNetwork(weights)
    found = {}
    for kind, strengths in STRENGTHS.items():
        for strength in strengths:
            metric = trained.quality()
            for case in trained.load(dataset_dir, part, Perturbationd(kind=kind, strength=strength)):
                metric.update(([trained.regions(case["image"])], [case["label"]]))
            name = kind if kind == "none" else f"{kind} {strength:g}"
            found[name] = metric.summary()
            print(f"{name} done", flush=True)
    return found


if __name__ == "__main__":
    run_table(measure, __doc__, "change")
