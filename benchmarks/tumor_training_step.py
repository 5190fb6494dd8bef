"""A training step of every backbone with every way to fuse contrasts, in one run.

    python benchmarks/tumor_training_step.py
    python benchmarks/tumor_training_step.py --backbones UNet --precisions float32 bfloat16 --matched

A step is two blocks of 64 x 64 x 64 with four contrasts: forward, the sum of Dice and cross entropy over three regions,
backward, AdamW. Rounds go through all variants in turn; times are medians, on the clock and of the processor, which
differ where other programs run. GFLOP are those of the convolutions and
matrix products of a forward pass of one block, twice the multiply-adds that `equal_cost` compares.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

import torch
from monai.losses import DiceCELoss

from medbundles.components.mixed_precision import mixed_precision
from medbundles.components.networks import BACKBONES, ContrastNetwork, to_memory_format
from medbundles.components.networks.network_choices import FUSIONS, VIEWS, Fusion, View
from medbundles.components.networks.network_cost import count_multiplications

EDGE, BATCH, CONTRASTS, REGIONS = 64, 2, 4, 3


class Stepper:
    """A network with its optimizer and blocks."""

    def __init__(self, backbone: str, fusion: Fusion, view: View, equal_cost: bool, precision: str) -> None:
        torch.manual_seed(0)
        network = ContrastNetwork(backbone, CONTRASTS, REGIONS, fusion, view, equal_cost)
        self.network = to_memory_format(network, "channels_last")
        self.optimizer = torch.optim.AdamW(self.network.parameters(), 1e-3, fused=True)
        self.image = to_memory_format(torch.randn(BATCH, CONTRASTS, EDGE, EDGE, EDGE), "channels_last")
        self.regions = (torch.rand(BATCH, REGIONS, EDGE, EDGE, EDGE) < 0.1).float()
        self.loss = DiceCELoss(sigmoid=True)
        self.mixed = precision == "bfloat16"

    def step(self) -> tuple[float, float]:
        """Return the seconds that a step took, on the clock and of the processor."""
        start = time.perf_counter(), time.process_time()
        self.optimizer.zero_grad()
        with mixed_precision("cpu", self.mixed, dtype=torch.bfloat16):
            logits = self.network(self.image)
        self.loss(logits.float(), self.regions).backward()
        self.optimizer.step()
        return time.perf_counter() - start[0], time.process_time() - start[1]

    def parameters(self) -> int:
        """Return the number of parameters."""
        return sum(parameter.numel() for parameter in self.network.parameters())


def gflop(backbone: str, fusion: Fusion, view: View, equal_cost: bool) -> float:
    """Return the billions of operations in a forward pass of one block."""
    shape = (1, CONTRASTS, EDGE, EDGE, EDGE)
    build = lambda: ContrastNetwork(backbone, CONTRASTS, REGIONS, fusion, view, equal_cost)  # noqa: E731
    return 2 * count_multiplications(build, shape) / 1e9


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbones", nargs="+", choices=list(BACKBONES), default=list(BACKBONES))
    parser.add_argument("--fusions", nargs="+", choices=FUSIONS, default=FUSIONS)
    parser.add_argument("--precisions", nargs="+", choices=("float32", "bfloat16"), default=("float32",))
    parser.add_argument("--view", choices=VIEWS, default="3d")
    parser.add_argument("--matched", action="store_true", help="full width for each contrast instead of equal cost")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path, help="also write the result there")
    options = parser.parse_args()
    equal = not options.matched
    rows = []
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}, median of {options.repeats} rounds")
    print(f"{'backbone':10} {'fusion':9} {'precision':9} {'ms':>7} {'CPU ms':>7} {'parameters':>11} {'GFLOP':>7}")
    for backbone in options.backbones:
        variants = [(fusion, precision) for fusion in options.fusions for precision in options.precisions]
        steppers = [Stepper(backbone, fusion, options.view, equal, precision) for fusion, precision in variants]
        for stepper in steppers:
            stepper.step()  # the first one chooses kernels
        rounds = [[stepper.step() for stepper in steppers] for _ in range(options.repeats)]
        for (fusion, precision), stepper, *seconds in zip(variants, steppers, *rounds, strict=True):
            cost = gflop(backbone, fusion, options.view, equal)
            clock, processor = (round(1000 * statistics.median(each)) for each in zip(*seconds, strict=True))
            row = {"backbone": backbone, "fusion": fusion, "precision": precision, "ms": clock, "cpu_ms": processor}
            rows.append({**row, "parameters": stepper.parameters(), "gflop": round(cost, 2)})
            measured = f"{clock:7} {processor:7} {stepper.parameters():11,} {cost:7.2f}"
            print(f"{backbone:10} {fusion:9} {precision:9} {measured}", flush=True)
    if options.json:
        content = {"threads": torch.get_num_threads(), "torch": torch.__version__, "view": options.view, "rows": rows}
        options.json.write_text(json.dumps({**content, "equal_cost": equal}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
