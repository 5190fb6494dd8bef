"""A training step of the 3D generator as the bundle makes it against the default memory format, same network, one run.

    python benchmarks/t1w_training_step.py
    python benchmarks/t1w_training_step.py --channels 8 --features 32 32 64 128 256 32

A step is one 64 x 64 x 64 block: forward, masked mean absolute error, backward, Adam. Rounds alternate; ratios are the
median of the paired ones. The floor is the time that the step's multiplications take at the rate of a large matrix
product on the same threads.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from medbundles.components.losses import MaskedReconstructionLoss
from medbundles.components.networks import MemoryFormat, PlainUNet, to_memory_format

EDGE = 64
DEFAULT = "contiguous"
VARIANTS: dict[str, tuple[MemoryFormat, bool]] = {
    DEFAULT: ("contiguous", False),
    "channels_last": ("channels_last", False),
    "channels_last, bfloat16": ("channels_last", True),
}


class Stepper:
    """A network with its optimizer and a block, in one memory format and precision."""

    def __init__(self, variant: str, channels: int, features: list[int]) -> None:
        torch.manual_seed(0)
        memory_format, self.mixed_precision = VARIANTS[variant]
        self.network = to_memory_format(PlainUNet(3, channels, 1, features=features), memory_format)
        self.optimizer = torch.optim.Adam(self.network.parameters(), 1e-3, fused=True)
        self.image = to_memory_format(torch.randn(1, channels, EDGE, EDGE, EDGE), memory_format)
        self.target = torch.randn(1, 1, EDGE, EDGE, EDGE)
        self.loss = MaskedReconstructionLoss()

    def step(self) -> None:
        self.optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=self.mixed_precision):
            loss = self.loss(self.network(self.image), self.target)
        loss.backward()
        self.optimizer.step()


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def count_gflop(stepper: Stepper) -> float:
    """Return the billions of multiplications and additions in a step's convolutions."""
    with FlopCounterMode(display=False) as counter:
        stepper.step()
    return counter.get_total_flops() / 1e9


def measure_rate(dtype: torch.dtype) -> float:
    """Return the best GFLOP/s of a product of two 2048 x 2048 matrices."""
    left, right = (torch.randn(2048, 2048).to(dtype) for _ in range(2))
    return 2 * 2048**3 / 1e9 / min(seconds(lambda: left @ right) for _ in range(5))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--channels", type=int, default=11)
    parser.add_argument("--features", type=int, nargs=6, default=[16, 16, 32, 64, 128, 16])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path, help="also write the result there")
    options = parser.parse_args()
    steppers = {name: Stepper(name, options.channels, options.features) for name in VARIANTS}
    gflop = count_gflop(steppers[DEFAULT])
    rates = [measure_rate(torch.bfloat16 if mixed else torch.float32) for _, mixed in VARIANTS.values()]
    for stepper in steppers.values():
        stepper.step()  # the first one chooses kernels
    rounds = [{name: seconds(stepper.step) for name, stepper in steppers.items()} for _ in range(options.repeats)]
    rows = {
        name: {
            "seconds": round(statistics.median(row[name] for row in rounds), 3),
            "floor_seconds": round(gflop / rate, 3),
            "times_as_fast": round(statistics.median(row[DEFAULT] / row[name] for row in rounds), 2),
        }
        for name, rate in zip(VARIANTS, rates, strict=True)
    }
    print(f"{gflop:.0f} GFLOP a step, {torch.get_num_threads()} threads, median of {len(rounds)}:")
    for name, row in rows.items():
        print(f"  {name:24} {row['seconds']:.3f} s (floor {row['floor_seconds']:.3f} s), {row['times_as_fast']:.2f} x")
    if options.json:
        content = {"threads": torch.get_num_threads(), "torch": torch.__version__, "gflop": gflop, "variants": rows}
        options.json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
