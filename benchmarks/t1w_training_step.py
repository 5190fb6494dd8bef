"""A training step of the 3D generator in channels-last order against the default order, same network, in one run.

    python benchmarks/t1w_training_step.py
    python benchmarks/t1w_training_step.py --channels 8 --features 32 32 64 128 256 32

A step is one 64 x 64 x 64 block: forward, masked mean absolute error, backward, Adam. Rounds alternate; the ratio is
the median of the paired ones.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

import torch

from medbundles.components.losses import MaskedReconstructionLoss
from medbundles.components.networks import MemoryFormat, PlainUNet, to_memory_format

EDGE = 64


class Stepper:
    """A network with its optimizer and a block, in one memory format."""

    def __init__(self, memory_format: MemoryFormat, channels: int, features: list[int]) -> None:
        torch.manual_seed(0)
        self.network = to_memory_format(PlainUNet(3, channels, 1, features=features), memory_format)
        self.optimizer = torch.optim.Adam(self.network.parameters(), 1e-3, fused=True)
        self.image = to_memory_format(torch.randn(1, channels, EDGE, EDGE, EDGE), memory_format)
        self.target = torch.randn(1, 1, EDGE, EDGE, EDGE)
        self.loss = MaskedReconstructionLoss()

    def step(self) -> float:
        start = time.perf_counter()
        self.optimizer.zero_grad()
        self.loss(self.network(self.image), self.target).backward()
        self.optimizer.step()
        return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--channels", type=int, default=11)
    parser.add_argument("--features", type=int, nargs=6, default=[16, 16, 32, 64, 128, 16])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path, help="also write the result there")
    options = parser.parse_args()
    formats: tuple[MemoryFormat, ...] = ("contiguous", "channels_last")
    steppers = {name: Stepper(name, options.channels, options.features) for name in formats}
    for stepper in steppers.values():
        stepper.step()  # the first one chooses kernels
    rounds = [{name: stepper.step() for name, stepper in steppers.items()} for _ in range(options.repeats)]
    result = {name: round(statistics.median(row[name] for row in rounds), 3) for name in formats}
    result["ratio"] = round(statistics.median(row["contiguous"] / row["channels_last"] for row in rounds), 2)
    print(f"seconds a step, {torch.get_num_threads()} threads, median of {len(rounds)}: {result}")
    if options.json:
        content = {"threads": torch.get_num_threads(), "torch": torch.__version__, "median": result, "rounds": rounds}
        options.json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
