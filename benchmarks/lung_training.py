"""Training crops per second, loading included: the bundle's training against the reference system's loop, in one run.

    python benchmarks/lung_training.py --dataset_dir demo/data
    python benchmarks/lung_training.py                            # makes six synthetic scans first

Reference: reference/training.py, with chunks cached on disk beforehand and as many loader processes as serve it best
(0 or 2). Ours: `medbundles train` on the same scans, caches warm, crops only (a whole slice is no crop), time of the
second and later epochs, as its history.jsonl says. Both draw batches of 16, augment, and train on the same threads;
ours also draws background, keeps a moving average of the weights and counts pixels. Rounds alternate; the ratio is the
median of the paired ones.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from pathlib import Path

import torch
from reference import training
from support.commands import BUNDLE, run, synthetic_data


def train_ours(dataset_dir: Path, folder: Path, crops: int, extra: list[str]) -> float:
    """Return crops a second over the epochs after the first."""
    run(
        *("train", BUNDLE, "--dataset_dir", dataset_dir, "--output_dir", folder, "--max_epochs", "3"),
        *("--samples_per_epoch", str(crops // 2), "--val_interval", "9", "--preview_cases", "1"),
        *("--sampling", "{site: 0.46, background: 0.34, hard_negative: 0.2, full_slice: 0.0}", *extra),
    )
    rows = [json.loads(line) for line in (folder / "history.jsonl").read_text(encoding="utf-8").splitlines()]
    return crops // 2 * (len(rows) - 1) / sum(row["seconds"] for row in rows[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset_dir", type=Path, help="prepared folder; default: synthetic scans")
    parser.add_argument("--crops", type=int, default=3200, help="crops of a round")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path, help="also write the result there")
    options, extra = parser.parse_known_args()
    if options.crops < 32 or options.repeats < 1:
        parser.error("--crops must be at least 32, --repeats at least 1")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        data = options.dataset_dir or synthetic_data(folder, cases=6, folds=3)
        (folder / "chunks").mkdir()
        paths = training.fill_cache(data, folder / "chunks")
        rounds = []
        for number in range(options.repeats):
            theirs = max(training.train(paths, options.crops, workers) for workers in (0, 2))
            ours = train_ours(data, folder / f"run{number}", options.crops, extra)
            rounds.append({"reference": theirs, "ours": ours, "ratio": ours / theirs})
            print(", ".join(f"{name} {value:.2f}" for name, value in rounds[-1].items()), flush=True)
    result = {name: round(statistics.median(row[name] for row in rounds), 2) for name in rounds[0]}
    print(f"crops/s, {torch.get_num_threads()} threads, median of {len(rounds)}: {result}")
    if options.json:
        content = {"threads": torch.get_num_threads(), "torch": torch.__version__, "median": result, "rounds": rounds}
        options.json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
