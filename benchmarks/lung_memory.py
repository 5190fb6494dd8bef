"""Peak memory of a whole CT from file to mask, and the cost of a slice in short and long scans.

    python benchmarks/lung_memory.py
    python benchmarks/lung_memory.py --weights RUN/model.pt --depths 50 300 600 --json result.json

Each depth: a synthetic chest of 512x512 slices (lungs in every one of them) is written to a .nii.gz file and given to
`medbundles infer` as a user would, in a process of its own. Memory is that process's largest resident set. A slice's
cost is the time of the run, less that of a run over eight slices (start-up and compiling), by the slices more.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from lung_inference import write_chest

BUNDLE = "lung_nodule_ct_segmentation"
SHORTEST = 8


def infer(scan: Path, output: Path, extra: list[str]) -> tuple[float, float]:
    """Run the command; returns its seconds and its peak memory in GB (10^9 bytes)."""
    words = ["infer", BUNDLE, "--dataset_dir", str(scan), "--output_dir", str(output), *extra]
    command = [sys.executable, "-m", "medbundles", *words]
    start = time.perf_counter()
    with output.with_suffix(".log").open("wb") as log:
        actions = [(os.POSIX_SPAWN_DUP2, log.fileno(), 1), (os.POSIX_SPAWN_DUP2, log.fileno(), 2)]
        process = os.posix_spawn(sys.executable, command, os.environ, file_actions=actions)
        _, status, usage = os.wait4(process, 0)
    seconds = time.perf_counter() - start
    if status:
        sys.exit(f"{' '.join(command)}\n{output.with_suffix('.log').read_text()}")
    return seconds, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e9


def measure(depth: int, repeats: int, extra: list[str]) -> dict[str, Any]:
    """Return the fastest of some runs over a chest of so many slices, and the largest peak."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_chest(folder / "chest.nii.gz", depth)
        runs = [infer(folder / "chest.nii.gz", folder / f"run{number}", extra) for number in range(repeats)]
    return {"slices": depth, "seconds": min(run[0] for run in runs), "peak_gb": max(run[1] for run in runs)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--depths", type=int, nargs="+", default=[50, 150, 300, 600], help="slices of the scans")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--weights", help="model.pt of a run; the released weights by default")
    parser.add_argument("--json", type=Path, help="also write the result there")
    options, extra = parser.parse_known_args()
    if min(options.depths) <= SHORTEST or options.repeats < 1:
        parser.error(f"--depths must be above {SHORTEST}, --repeats at least 1")
    extra += ["--weights", options.weights] if options.weights else []
    start_up = measure(SHORTEST, options.repeats, extra)["seconds"]
    print(f"start-up {start_up:.1f} s, {torch.get_num_threads()} threads")
    rows = []
    for depth in options.depths:
        row = measure(depth, options.repeats, extra)
        row["ms_per_slice"] = 1000 * (row["seconds"] - start_up) / (depth - SHORTEST)
        rows.append({name: round(value, 3) for name, value in row.items()})
        print(", ".join(f"{name} {value:g}" for name, value in rows[-1].items()), flush=True)
    if options.json:
        content = {"threads": torch.get_num_threads(), "torch": torch.__version__, "start_up_s": start_up, "rows": rows}
        options.json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
