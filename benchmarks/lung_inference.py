"""Slices per second of the lung bundle's inference against a plain reference loop, in one run, alternating.

    python benchmarks/lung_inference.py                          # a synthetic chest, 512 x 512 x 60
    python benchmarks/lung_inference.py --scan ct.nii.gz --repeats 5 --json result.json

Reference: "Deep Learning with PyTorch", chapter 13: input normalization and a U-Net 16-32-64 with 118,271 parameters,
eager float32 under inference mode, batches of four whole slices with their six neighbors, clamped at the ends. Both
sides read the same file with the same reader, use the same number of threads and write a mask with the same writer.
Weights are random: speed does not depend on them (no weight is zero).

What is printed for each variant: the time of the network part (search for tissue and gathering of stacks included) and
of the whole way from file to mask file, the median over the repeats; slices per second of the whole scan; the ratio to
the reference (median of the paired ratios); and the share of the machine's matrix multiplication peak that the
convolutions which were really run reached.
"""

from __future__ import annotations

import argparse
import functools
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from reference.unet import ReferenceUNet
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from medbundles.components.inferers import SliceStackInferer, find_lung_box, find_lungs
from medbundles.components.networks import HeadedUNet, InputNormalized
from medbundles.components.transforms import LoadVolumed, SavePredictiond
from medbundles.io.images import Volume, read_volume, write_volume

SLICES = 7
WINDOW_HU = (-1000, 1000)
PEAK_SIZE = 2048


def reference_network() -> nn.Module:
    return ReferenceUNet(SLICES, sigmoid=False).eval()


def bundle_network(width: int) -> nn.Module:
    """The bundle's default network, of the bundle's width (16) or another."""
    channels = tuple(width * factor for factor in (1, 2, 4, 8))
    network = HeadedUNet(2, SLICES, 1, channels=channels, strides=(2, 2, 2), num_res_units=2)
    return InputNormalized(network, SLICES).eval()


def reference_logits(volume: npt.NDArray[np.int16], network: nn.Module) -> npt.NDArray[np.float32]:
    """The plain loop: whole slices, four at a time."""
    depth = volume.shape[2]
    slices = torch.from_numpy(np.ascontiguousarray(volume.transpose(2, 0, 1))).float().clamp_(*WINDOW_HU)
    offsets = torch.arange(SLICES) - SLICES // 2
    outputs = []
    with torch.inference_mode():
        for start in range(0, depth, 4):
            centers = torch.arange(start, min(start + 4, depth))
            stacks = slices[(centers[:, None] + offsets).clamp_(0, depth - 1)]
            outputs.append(network(stacks)[:, 0])
    return torch.cat(outputs).numpy().transpose(1, 2, 0)


@dataclass
class Variant:
    """One way from a scan to a mask.

    Attributes:
        name: what is printed.
        run: scan and a path for the mask (None: the network part alone) to (seconds of the network part, in all).
        gflop: billions of multiplications and additions of its convolutions on this scan.
    """

    name: str
    run: Callable[[Path, Path], tuple[float, float]]
    gflop: float
    network_s: list[float] = field(default_factory=list)
    total_s: list[float] = field(default_factory=list)


def run_reference(network: nn.Module, scan: Path, mask: Path) -> tuple[float, float]:
    start = time.perf_counter()
    volume = read_volume(scan)
    loaded = time.perf_counter()
    logits = reference_logits(volume.array, network)
    computed = time.perf_counter()
    write_volume(mask, (logits >= 0).astype(np.uint8), volume.affine)
    return computed - loaded, time.perf_counter() - start


def run_ours(inferer: SliceStackInferer, network: nn.Module, scan: Path, mask: Path) -> tuple[float, float]:
    start = time.perf_counter()
    image = LoadVolumed("image")({"image": scan})["image"]
    loaded = time.perf_counter()
    logits = inferer(image[None], network)
    computed = time.perf_counter()
    saved = {"pred": torch.sigmoid(logits[0]), "case": mask.name.removesuffix("_seg.nii.gz")}
    SavePredictiond("pred", mask.parent, overwrite=True)(saved)
    return computed - loaded, time.perf_counter() - start


def gflop_of(network: nn.Module, height: int, width: int, slices: int) -> float:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(1, SLICES, height, width))
    return counter.get_total_flops() * slices / 1e9


def peak_gflops(repeats: int = 7) -> float:
    """The machine's single precision matrix multiplication, the best of several."""
    matrix = torch.rand(PEAK_SIZE, PEAK_SIZE)
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        matrix @ matrix
        seconds.append(time.perf_counter() - start)
    return 2 * PEAK_SIZE**3 / min(seconds) / 1e9


def variants(volume: Volume, width: int, backends: list[str]) -> list[Variant]:
    height, breadth, depth = volume.array.shape
    reference, ours = reference_network(), bundle_network(width)
    found = [Variant("reference loop", functools.partial(run_reference, reference), _whole(reference, volume))]
    box = find_lung_box(volume.array, volume.spacing) or (slice(0, height), slice(0, breadth), slice(0, depth))
    rows, columns, levels = (part.stop - part.start for part in box)
    sides = [min(-(-side // 16) * 16, -(-full // 16) * 16) for side, full in ((rows, height), (columns, breadth))]
    for backend in backends:
        for tissue, name in ((None, "every voxel"), (find_lungs, "lungs")):
            inferer = SliceStackInferer(SLICES, backend=backend, tissue=tissue, intensity_range=WINDOW_HU)
            gflop = gflop_of(ours, *sides, levels) if tissue else _whole(ours, volume)
            found.append(Variant(f"ours, {backend}, {name}", functools.partial(run_ours, inferer, ours), gflop))
    # What of it is the network and what is how it is run: the reference's network in our inferer.
    inferer = SliceStackInferer(SLICES, backend=backends[-1], tissue=find_lungs, intensity_range=WINDOW_HU)
    name = f"reference network, {backends[-1]}, lung box"
    found.append(Variant(name, functools.partial(run_ours, inferer, reference), gflop_of(reference, *sides, levels)))
    return found


def _whole(network: nn.Module, volume: Volume) -> float:
    height, width, depth = volume.array.shape
    return gflop_of(network, -(-height // 16) * 16, -(-width // 16) * 16, depth)


def write_chest(path: Path, depth: int) -> None:
    """Write a synthetic chest of 512 x 512 slices: body, lungs, table, noise."""
    y, x = np.ogrid[-256:256, -256:256]
    generator = np.random.default_rng(0)
    volume = np.empty((512, 512, depth), np.int16, order="F")
    for level in range(depth):
        image = np.where((x / 235) ** 2 + (y / 160) ** 2 < 1, 40.0, -1000.0)
        size = np.sqrt(max(1 - ((level - depth / 2) / (0.55 * depth)) ** 2, 0.0))
        for side in (-1, 1):
            image[((x - side * 105) / 75) ** 2 + (y / 110) ** 2 < size**2] = -850
        image[(np.abs(x) < 230) & (y > 175) & (y < 185)] = -300
        volume[..., level] = (image + generator.normal(0, 30, image.shape)).T
    write_volume(path, volume, np.diag([-0.7, -0.7, 300.0 / depth, 1.0]))


def measure(scan: Path, width: int, backends: list[str], repeats: int) -> dict[str, object]:
    volume = read_volume(scan)
    measured = variants(volume, width, backends)
    peak = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for repeat in range(repeats + 1):
            peak = max(peak, peak_gflops())
            for variant in measured:
                network_s, total_s = variant.run(scan, Path(folder) / "mask_seg.nii.gz")
                if repeat:  # the first round warms up: pages, kernels, compiled networks
                    variant.network_s.append(network_s)
                    variant.total_s.append(total_s)
    depth = volume.array.shape[2]
    return {
        "scan": scan.name,
        "shape": list(volume.array.shape),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "repeats": repeats,
        "peak_gflops": round(peak, 1),
        "variants": [_result(variant, measured[0], depth, peak) for variant in measured],
    }


def _result(variant: Variant, reference: Variant, depth: int, peak: float) -> dict[str, object]:
    def ratio(theirs: list[float], ours: list[float]) -> float:
        return statistics.median(first / second for first, second in zip(theirs, ours, strict=True))

    network_s, total_s = statistics.median(variant.network_s), statistics.median(variant.total_s)
    return {
        "name": variant.name,
        "network_s": round(network_s, 3),
        "network_slices_per_s": round(depth / network_s, 2),
        "network_ratio": round(ratio(reference.network_s, variant.network_s), 2),
        "total_s": round(total_s, 3),
        "total_slices_per_s": round(depth / total_s, 2),
        "total_ratio": round(ratio(reference.total_s, variant.total_s), 2),
        "gflop": round(variant.gflop, 1),
        "share_of_peak": round(variant.gflop / network_s / peak, 3),
    }


def show(result: dict[str, object]) -> None:
    print(", ".join(f"{key} {value}" for key, value in result.items() if key != "variants"))
    print(f"{'':42s}{'network':>30s}{'file to mask':>30s}{'GFLOP':>8s}{'of peak':>9s}")
    for row in result["variants"]:  # type: ignore[attr-defined]  # a list of the dictionaries of _result
        parts = [
            f"{row[f'{part}_s']:8.2f} s {row[f'{part}_slices_per_s']:8.1f}/s {row[f'{part}_ratio']:6.2f} x"
            for part in ("network", "total")
        ]
        print(f"{row['name']:42s} {parts[0]} {parts[1]}{row['gflop']:9.0f}{row['share_of_peak']:8.0%}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scan", type=Path, help="a chest CT; the default is a synthetic one")
    parser.add_argument("--depth", type=int, default=60, help="slices of the synthetic chest")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, help="default: what PyTorch takes")
    parser.add_argument("--width", type=int, default=16, help="channels of our network's first level")
    parser.add_argument("--backends", nargs="+", default=["eager", "channels_last", "openvino"])
    parser.add_argument("--json", type=Path, help="also write the result there")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        scan = arguments.scan
        if scan is None:
            scan = Path(folder) / "chest.nii.gz"
            write_chest(scan, arguments.depth)
        result = measure(scan, arguments.width, arguments.backends, max(1, arguments.repeats))
    show(result)
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
