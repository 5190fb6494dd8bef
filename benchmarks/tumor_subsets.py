"""What is left when contrasts are missing: every non-empty subset of a model's contrasts, on the same cases.

    python benchmarks/tumor_subsets.py --dataset_dir DATA --weights RUN/model.pt --json subsets.json

Each case of the test part is read once and shown with every subset of its contrasts; what the network makes of it is
cleaned as `medbundles infer` does it. A case that lacks a contrast counts for the subsets without it. Dice of each
region, mean over cases with 95 % intervals of the bootstrap, HD95 in mm.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

from support.tumor_cases import TrainedTumorNetwork, run_table


def subsets_of(contrasts: list[str]) -> list[tuple[str, ...]]:
    """Return all non-empty subsets, the largest first."""
    sizes = range(len(contrasts), 0, -1)
    return [chosen for size in sizes for chosen in itertools.combinations(contrasts, size)]


def measure(weights: str | None, dataset_dir: Path, part: str) -> dict[str, dict[str, Any]]:
    """Return the summary of each subset, by the names of its contrasts."""
    trained = TrainedTumorNetwork(weights)
    metrics = {subset: trained.quality() for subset in subsets_of(trained.contrasts)}
    for case in trained.read(dataset_dir, part):
        present = {name for name, there in zip(trained.contrasts, case["present"], strict=True) if there}
        for subset, metric in metrics.items():
            if present.issuperset(subset):
                metric.update(([trained.regions(trained.normalized(case, subset)["image"])], [case["label"]]))
        print(f"{case['case']} done", flush=True)
    return {"+".join(subset): metric.summary() for subset, metric in metrics.items()}


if __name__ == "__main__":
    run_table(measure, __doc__, "contrasts")
