"""Training blocks a minute: organ_cascade_segmentation against MONAI's parts in their default settings, in one run.

    python benchmarks/organ_training.py --dataset_dir DATA --network UNet --threads 2

Stock: MONAI's CacheDataset, DataLoader, dictionary transforms and SupervisedTrainer, each as it comes, with what
train.yaml does: orientation, voxel size, z-scores; blocks around a label or anywhere, turned and scaled, bent,
mirrored, shaded, changed in contrast, with noise and blur, each as often. Ours: train.yaml's trainer without its
handlers. Both have the same network with the same supervised levels, loss, optimizer, batch and threads; caches are
warm. Each lives in a process of its own, as a training keeps the memory it frees (--keep_memory false: as the C library
does it), and their epochs take turns; the ratio is the median of the paired ones, of wall time and of processor time.
The peak is the rate of a large float32 matrix product; of it, what the network's own multiplications use.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import monai.transforms as mt
import torch
from monai.bundle import ConfigParser
from monai.data import CacheDataset, DataLoader
from monai.engines import SupervisedTrainer
from monai.losses import DiceCELoss
from torch.utils.flop_counter import FlopCounterMode

from medbundles.components.freed_memory import keep_freed_memory
from medbundles.components.networks import DeepSupervision, of_all_levels
from medbundles.io.datalist import records

TRAIN = Path(__file__).resolve().parents[1] / "bundles" / "organ_cascade_segmentation" / "configs" / "train.yaml"
MATRIX = 2048


class Ours:
    """The bundle's trainer."""

    def __init__(self, options: argparse.Namespace, scratch: Path) -> None:
        parser = ConfigParser()
        parser.read_config(str(TRAIN))
        changes = {
            "dataset_dir": str(options.dataset_dir),
            "cache": str(scratch),
            "network": options.network,
            "samples_per_epoch": options.blocks,
            "max_epochs": 1,
            "warmup_epochs": 0,
            "seed": 0,
            "train::handlers": [],
        }
        for key, value in changes.items():
            parser[key] = value
        torch.manual_seed(0)
        self.trainer: Any = parser.get_parsed_content("train::trainer")
        self.network: DeepSupervision = parser.get_parsed_content("supervised")
        self.networks, self.chosen = parser.get_parsed_content("networks"), options.network
        self.settings = {
            key: parser.get_parsed_content(key)
            for key in (
                "patch_size",
                "spacing_mm",
                "batch_size",
                "augmentation",
                "mirror",
                "mirror_axes",
                "learning_rate",
            )
        }
        self.labels = len(parser.get_parsed_content("labels"))


class Stock:
    """MONAI's own parts."""

    def __init__(self, options: argparse.Namespace, ours: Ours) -> None:
        cases = [
            {"image": str(options.dataset_dir / record["image"]), "label": str(options.dataset_dir / record["label"])}
            for record in records(options.dataset_dir, "training", 0)
        ]
        dataset = CacheDataset([cases[number % len(cases)] for number in range(options.blocks)], self._transforms(ours))
        loader = DataLoader(dataset, batch_size=ours.settings["batch_size"], shuffle=True, num_workers=0)
        torch.manual_seed(0)
        network = DeepSupervision(network_of(ours), ours.labels + 1, ours.network.levels)
        optimizer = torch.optim.AdamW(network.parameters(), ours.settings["learning_rate"])
        loss = of_all_levels(DiceCELoss(softmax=True, to_onehot_y=True, include_background=False, batch=True))
        self.trainer: Any = SupervisedTrainer(
            torch.device("cpu"), 1, loader, network, optimizer, loss, decollate=not ours.network.levels
        )

    def _transforms(self, ours: Ours) -> mt.Compose:
        s = ours.settings
        both, share = ["image", "label"], s["augmentation"]
        modes = ("bilinear", "nearest")
        angle = 15 / 180 * 3.1416
        return mt.Compose(
            [
                mt.LoadImaged(both, ensure_channel_first=True),
                mt.Orientationd(both, "RAS"),
                mt.Spacingd(both, s["spacing_mm"], mode=modes),
                mt.NormalizeIntensityd("image", nonzero=True),
                mt.SpatialPadd(both, s["patch_size"]),
                mt.RandCropByPosNegLabeld(both, "label", s["patch_size"], pos=0.6, neg=0.4, num_samples=1),
                mt.RandAffined(
                    both, prob=share, rotate_range=[angle] * 3, scale_range=[0.15] * 3, mode=modes, padding_mode="zeros"
                ),
                mt.Rand3DElasticd(both, (4, 5), (50, 100), prob=share, mode=modes, padding_mode="zeros"),
                *[mt.RandFlipd(both, prob=s["mirror"], spatial_axis=axis) for axis in s["mirror_axes"]],
                mt.RandBiasFieldd("image", prob=share),
                mt.RandScaleIntensityd("image", 0.3, prob=share),
                mt.RandShiftIntensityd("image", 0.3, prob=share),
                mt.RandAdjustContrastd("image", prob=share, gamma=(0.7, 1.5), retain_stats=True),
                mt.RandGaussianNoised("image", prob=share, std=0.1),
                mt.RandGaussianSmoothd("image", (0.3, 0.9), (0.3, 0.9), (0.3, 0.9), prob=share),
            ]
        )


def network_of(ours: Ours) -> torch.nn.Module:
    """Return a network as MONAI makes it, untrained, in PyTorch's own memory order."""
    network: torch.nn.Module = ours.networks[ours.chosen]()
    return network


def serve(kind: str, options: argparse.Namespace, scratch: Path, line: Connection) -> None:
    """Run an epoch whenever asked, and answer how long it took; the first fills caches."""
    torch.set_num_threads(options.threads)
    ours = Ours(options, scratch)
    if kind == "ours" and options.keep_memory == "true":
        keep_freed_memory()
    trainer = ours.trainer if kind == "ours" else Stock(options, ours).trainer
    epoch(trainer)
    line.send((step_gflop(ours), peak_gflops()))
    while line.recv():
        line.send(epoch(trainer))


def start(kind: str, options: argparse.Namespace, scratch: Path) -> Connection:
    """Start a way's process and return the line to it."""
    here, there = multiprocessing.Pipe()
    multiprocessing.get_context("spawn").Process(
        target=serve, args=(kind, options, scratch, there), daemon=True
    ).start()
    return here


def asked(line: Connection) -> tuple[float, float]:
    """Return the seconds of one more epoch, on the clock and of the processor."""
    line.send(True)
    seconds: tuple[float, float] = line.recv()
    return seconds


def epoch(trainer: Any) -> tuple[float, float]:
    """Return the seconds of an epoch, on the clock and of the processor."""
    start = time.perf_counter(), time.process_time()
    trainer.run()
    return time.perf_counter() - start[0], time.process_time() - start[1]


def step_gflop(ours: Ours) -> float:
    """Return the billions of operations of a block's forward and backward pass."""
    image = torch.zeros(1, 1, *ours.settings["patch_size"])
    with FlopCounterMode(display=False) as counter:
        logits = ours.network.train()(image)
        sum(each.sum() for each in ([logits] if isinstance(logits, torch.Tensor) else logits)).backward()
    return float(counter.get_total_flops()) / 1e9


def peak_gflops() -> float:
    """Return the rate of a matrix product in billions of operations a second."""
    left, right = torch.randn(MATRIX, MATRIX), torch.randn(MATRIX, MATRIX)
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        left @ right
        seconds.append(time.perf_counter() - start)
    return 2 * MATRIX**3 / min(seconds) / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset_dir", type=Path, help="prepared folder with a plan, of one channel")
    parser.add_argument("--network", default="UNet")
    parser.add_argument("--blocks", type=int, default=100, help="of an epoch")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--keep_memory", choices=("true", "false"), default="true")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", type=Path, help="also write the result there")
    options = parser.parse_args()
    if not options.dataset_dir:
        print("no --dataset_dir given: nothing to time (see --help)")
        return
    with tempfile.TemporaryDirectory() as temporary:
        ways = {}
        for kind in ("ours", "stock"):
            (Path(temporary) / kind).mkdir()
            ways[kind] = start(kind, options, Path(temporary) / kind)
            gflop, peak = ways[kind].recv()
        rounds = []
        for number in range(options.rounds):
            row = {name: asked(ways[name]) for name in sorted(ways, reverse=bool(number % 2))}
            rounds.append(row)
            print({name: f"{60 * options.blocks / wall:.0f} blocks/min" for name, (wall, _) in row.items()}, flush=True)
        for line in ways.values():
            line.send(False)
    blocks = {name: statistics.median(60 * options.blocks / row[name][0] for row in rounds) for name in ways}
    ratios = [statistics.median(row["stock"][kind] / row["ours"][kind] for row in rounds) for kind in (0, 1)]
    share = {name: gflop * value / 60 / peak for name, value in blocks.items()}
    print(f"{options.network}, {options.threads} threads, median of {options.rounds} rounds:")
    print(f"  blocks a minute: ours {blocks['ours']:.0f}, stock {blocks['stock']:.0f}; ratio {ratios[0]:.2f}")
    print(f"  of the processor: ratio {ratios[1]:.2f}")
    used = ", ".join(f"{name} {value:.0%}" for name, value in share.items())
    print(f"  {gflop:.1f} GFLOP a block, peak {peak:.0f} GFLOP/s, of which {used}")
    if options.json:
        content = {
            "blocks_per_minute": blocks,
            "ratio": ratios[0],
            "processor_ratio": ratios[1],
            "share_of_peak": share,
        }
        options.json.write_text(json.dumps({"threads": options.threads, **content}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
