"""A Vox2Vox training step as the bundle makes it against a loop that runs the generator twice, same network, one run.

    python benchmarks/vox2vox_training_step.py
    python benchmarks/vox2vox_training_step.py --edge 96 --features 32

A step is one update of the generator and one of the discriminator on a batch of four-contrast blocks: least squares
and 5 x generalized Dice, Adam. The loop is written as in the second implementation of the reference system: a pass of
the generator for the discriminator's update, another one for its own, the discriminator's weights getting gradients in
both. "bundle" computes as the configuration has it on this machine (memory order and, where the processor has units for
it, bfloat16), "bundle, as the loop computes" in the loop's memory order and precision: what the second pass alone
costs. Rounds alternate; ratios are the median of the paired ones, times medians, on the clock and of the processor:
where other programs run, its ratio is what counts. The floor is the processor's time for the step's multiplications at
the rate of a large matrix product.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from monai.networks.nets import PatchDiscriminator
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from medbundles.components.device import has_mixed_precision
from medbundles.components.engines import RegionAdversarialTrainer
from medbundles.components.losses import AdversarialLoss, RegionGeneralizedDiceLoss
from medbundles.components.networks import Vox2VoxGenerator, to_memory_format

CONTRASTS, REGIONS = 4, 3
LAMBDA = 5.0
LOOP, PLAIN, BUNDLE = "generator twice", "bundle, as the loop computes", "bundle"


class Networks:
    """A generator and a discriminator with their optimizers and a batch; the same numbers every time."""

    def __init__(self, edge: int, features: int, batch_size: int, channels_last: bool) -> None:
        torch.manual_seed(0)
        self.generator: nn.Module = Vox2VoxGenerator(CONTRASTS, REGIONS, features)
        self.discriminator: nn.Module = PatchDiscriminator(
            3, channels=16, in_channels=CONTRASTS + REGIONS, num_layers_d=3, norm="INSTANCE"
        )
        self.image = torch.randn(batch_size, CONTRASTS, *[edge] * 3)
        self.label = (torch.rand(batch_size, REGIONS, *[edge] * 3) > 0.9).to(torch.uint8)
        if channels_last:
            for network in (self.generator, self.discriminator):
                to_memory_format(network, "channels_last")
            self.image = to_memory_format(self.image, "channels_last")
        self.optimizers = [
            torch.optim.Adam(network.parameters(), 2e-4, betas=(0.5, 0.999), fused=channels_last)
            for network in (self.generator, self.discriminator)
        ]


def loop_step(networks: Networks) -> None:
    """Update either network once; the generator runs for both."""
    dice, square = RegionGeneralizedDiceLoss(batch=True), nn.MSELoss()
    generate, judge = networks.generator, networks.discriminator
    of_generator, of_discriminator = networks.optimizers
    image, label = networks.image, networks.label.float()

    def judged(regions: Tensor) -> Tensor:
        logits: Tensor = judge(torch.cat([image, regions], dim=1))[-1]
        return logits

    of_discriminator.zero_grad()
    real, fake = judged(label), judged(generate(image).sigmoid().detach())
    (0.5 * (square(real, torch.ones_like(real)) + square(fake, torch.zeros_like(fake)))).backward()
    of_discriminator.step()
    of_generator.zero_grad()
    logits = generate(image)
    fake = judged(logits.sigmoid())
    (square(fake, torch.ones_like(fake)) + LAMBDA * dice(logits, networks.label)).backward()
    of_generator.step()


def trainer_step(networks: Networks, mixed_precision: bool) -> Callable[[], None]:
    """Return a step of the bundle's trainer, by its own way through an iteration."""
    trainer = RegionAdversarialTrainer(
        device="cpu",
        max_epochs=1,
        train_data_loader=[{"image": networks.image, "label": networks.label}],
        g_network=networks.generator,
        d_network=networks.discriminator,
        g_optimizer=networks.optimizers[0],
        d_optimizer=networks.optimizers[1],
        recon_loss_function=RegionGeneralizedDiceLoss(batch=True),
        adversarial_loss=AdversarialLoss("least_squares"),
        reconstruction_weight=LAMBDA,
        accuracy_gate=1.0,  # both sides update their discriminator in every step
        amp=mixed_precision,
        decollate=False,
        optim_set_to_none=True,
    )

    def step() -> None:
        trainer.run()
        trainer.state.epoch = 0
        trainer.state.iteration = 0

    return step


def seconds(work: Callable[[], object]) -> tuple[float, float]:
    """Return how long work takes, on the clock and of the processor."""
    start = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - start[0], time.process_time() - start[1]


def count_gflop(step: Callable[[], None]) -> float:
    """Return the billions of multiplications and additions in a step's convolutions."""
    with FlopCounterMode(display=False) as counter:
        step()
    return counter.get_total_flops() / 1e9


def measure_rate(dtype: torch.dtype) -> float:
    """Return the best GFLOP per second of the processor of a product of two 2048 x 2048 matrices."""
    left, right = (torch.randn(2048, 2048).to(dtype) for _ in range(2))
    return 2 * 2048**3 / 1e9 / min(seconds(lambda: left @ right)[1] for _ in range(5))


def summary(rounds: list[dict[str, tuple[float, float]]], name: str) -> dict[str, float]:
    """Return the medians of a variant's times, and of how much longer the loop took in the same round."""
    result = {}
    for kind, suffix in enumerate(("", "_cpu")):
        result[f"{suffix[1:]}{'_' if suffix else ''}seconds"] = statistics.median(row[name][kind] for row in rounds)
        result[f"times_as_fast{suffix}"] = statistics.median(row[LOOP][kind] / row[name][kind] for row in rounds)
    return {key: round(value, 3) for key, value in result.items()}


def floor(gflop: float, rate: float) -> dict[str, float]:
    return {"gflop": round(gflop, 1), "floor_cpu_seconds": round(gflop / rate, 3)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--edge", type=int, default=64, help="voxels along each edge of a block")
    parser.add_argument("--features", type=int, default=16, help="channels of the generator's first level")
    parser.add_argument("--batch_size", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path, help="also write the result there")
    options = parser.parse_args()
    size = (options.edge, options.features, options.batch_size)
    mixed = has_mixed_precision(torch.device("cpu"))
    looped = Networks(*size, channels_last=False)
    steps: dict[str, Callable[[], None]] = {
        LOOP: lambda: loop_step(looped),
        PLAIN: trainer_step(Networks(*size, channels_last=False), False),
        BUNDLE: trainer_step(Networks(*size, channels_last=True), mixed),
    }
    gflop = {name: count_gflop(step) for name, step in steps.items()}  # the first step chooses kernels as well
    fast = torch.bfloat16 if mixed else torch.float32
    rates = {LOOP: measure_rate(torch.float32), BUNDLE: measure_rate(fast)}
    rates[PLAIN] = rates[LOOP]
    rounds = [{name: seconds(step) for name, step in steps.items()} for _ in range(options.repeats)]
    rows = {name: summary(rounds, name) | floor(gflop[name], rates[name]) for name in steps}
    print(f"batch of {options.batch_size} x {options.edge}^3, {torch.get_num_threads()} threads, {len(rounds)} rounds:")
    for name, row in rows.items():
        print(
            f"  {name:28} {row['seconds']:.3f} s ({row['times_as_fast']:.2f} x), of the processor "
            f"{row['cpu_seconds']:.3f} s ({row['times_as_fast_cpu']:.2f} x); floor {row['floor_cpu_seconds']:.3f} s "
            f"for {row['gflop']:.0f} GFLOP"
        )
    if options.json:
        content = {"threads": torch.get_num_threads(), "torch": torch.__version__, "mixed": mixed, "variants": rows}
        options.json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
