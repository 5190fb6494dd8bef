"""A case of four contrasts from files to label map: our windows against MONAI's, with the same network, in one run.

    python benchmarks/tumor_inference.py                                     # a synthetic head, random weights
    python benchmarks/tumor_inference.py --case FOLDER --weights RUN/model.pt --threads 2 --json result.json
    python benchmarks/tumor_inference.py --case FOLDERS/* --weights RUN/model.pt --rounds 1 --windows stock

Stock: MONAI's SlidingWindowInferer over the whole volume, overlap .5, Gaussian, the network as PyTorch runs it. Ours:
windows over the brain alone, overlap of inference.yaml, with the backend and the precision that `medbundles infer`
chooses. Both read, mask and z-score the same files in the same way and bring the whole volume (or the brain's box) to
the network's voxels and the logits back by the same code. Both run in processes of their own, which say their peak
memory; a first pass over a small image compiles the network and is not counted. Rounds alternate; the ratio is the
median of the paired ones, of wall time and (for a machine with other work to do) of processor time. Agreement is the
Dice of the regions' masks, before any cleaning; random weights give regions of noise that agree in nothing. Where a
case has a label file both ways are compared with it too: a network with instance normalization answers differently for
windows at other places, and only the truth says which of two answers is better. `--windows stock` lays ours where
MONAI lays its own, without the empty ones.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import re
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
import yaml
from monai.data import MetaTensor
from monai.inferers import SlidingWindowInferer
from numpy.typing import NDArray
from torch import Tensor, nn

from medbundles.components.device import has_mixed_precision
from medbundles.components.inferers import SpacedInferer, TissueWindowInferer
from medbundles.components.inferers.spaced import NOTHING
from medbundles.components.networks import ContrastNetwork, load_weights, network_from_model
from medbundles.components.region_labels import regions_to_labels
from medbundles.components.spaced_grid import SpacedGrid
from medbundles.components.transforms import BrainMaskd, LoadContrastsd, NormalizeContrastsd
from medbundles.io.cases import find_cases
from medbundles.io.grids import spacing_of
from medbundles.io.images import write_volume
from medbundles.io.model_json import read_model

CONFIGS = Path(__file__).resolve().parents[1] / "bundles" / "brain_tumor_mri_segmentation" / "configs"
LABELS, REGIONS = {1: "ncr", 2: "ed", 3: "et"}, {"WT": (1, 2, 3), "TC": (1, 3), "ET": (3,)}
SHAPE, BRAIN = (240, 240, 155), (68, 85, 66)


def write_head(folder: Path, contrasts: list[str]) -> None:
    """Write contrasts of an ellipsoid as large as a brain, of smooth noise, in int16 as BraTS has it."""
    places = [(np.arange(size) - (size - 1) / 2) / radius for size, radius in zip(SHAPE, BRAIN, strict=True)]
    inside = sum(part**2 for part in np.meshgrid(*places, indexing="ij", sparse=True)) < 1
    generator = torch.Generator().manual_seed(0)
    for name in contrasts:
        coarse = torch.randn(1, 1, 60, 60, 39, generator=generator)
        smooth = nn.functional.interpolate(coarse, SHAPE, mode="trilinear")[0, 0].numpy()
        values = np.where(inside, 500 + 150 * smooth, 0).astype(np.int16)
        write_volume(folder / f"{folder.name}_{name}.nii.gz", values, np.diag([-1.0, -1.0, 1.0, 1.0]))


class Segmentation:
    """The network, what is known of it, and both ways of showing it a case."""

    def __init__(self, weights: Path | None) -> None:
        defaults = yaml.safe_load((CONFIGS / "train.yaml").read_text(encoding="utf-8"))
        inference = yaml.safe_load((CONFIGS / "inference.yaml").read_text(encoding="utf-8"))
        self.overlap = float(inference["overlap"])
        self.patch_size, self.spacing_mm = defaults["patch_size"], float(defaults["spacing_mm"])
        self.contrasts: list[str] = defaults["contrasts"]
        if weights is None:
            torch.manual_seed(0)
            network: nn.Module = ContrastNetwork(
                "UNet", len(self.contrasts), len(REGIONS), arguments=defaults["networks"]["UNet"]["arguments"]
            )
        else:
            model = read_model(weights)
            self.contrasts = list(model["image_channels"])
            self.patch_size = model["preprocessing"]["patch_size"]
            self.spacing_mm = float(model["preprocessing"]["spacing_mm"])
            network = network_from_model(model)
            load_weights(network, weights)
        self.network = network.eval()
        self.endings = inference["contrast_endings"]

    def read(self, folder: Path) -> MetaTensor:
        """Return the z-scored image ``(1, C, H, W, D)``."""
        (record,) = find_cases(folder, self.contrasts, True, self.endings)
        item = NormalizeContrastsd(self.contrasts)(BrainMaskd()(LoadContrastsd(self.contrasts)(record)))
        return MetaTensor(item["image"].as_tensor()[None], affine=item["image"].affine[None])

    def stock(self, image: MetaTensor) -> Tensor:
        """Return MONAI's logits of the whole volume."""
        grid = SpacedGrid(tuple(image.shape[2:]), spacing_of(image.affine[0].numpy()), self.spacing_mm)
        inferer = SlidingWindowInferer(self.patch_size, overlap=0.5, mode="gaussian")
        return grid.back(inferer(grid.forth(image.as_tensor()), self.network))

    def ours(self, options: argparse.Namespace) -> SpacedInferer:
        amp = has_mixed_precision(torch.device("cpu")) if options.amp is None else options.amp == "true"
        stock = options.windows == "stock"
        overlap = 0.5 if stock else self.overlap if options.overlap is None else options.overlap
        window = TissueWindowInferer(
            self.patch_size,
            overlap=overlap,
            mode=options.mode,
            crop_to_foreground=not stock,
            outside_value=NOTHING,
            backend=options.backend,
            amp=amp,
        )
        # Without a value for the outside the whole volume is seen, not the brain's box.
        return SpacedInferer(window, self.spacing_mm, outside_value=None if stock else NOTHING)


def work(kind: str, options: argparse.Namespace, pipe: Any) -> None:
    """Segment a case whenever asked to; answer with seconds, peak memory in GB and a file of the masks."""
    torch.set_num_threads(options.threads)
    case = Segmentation(options.weights)
    ours = case.ours(options)
    small = MetaTensor(torch.randn(1, len(case.contrasts), *case.patch_size), affine=torch.eye(4)[None])
    with torch.inference_mode():
        ours(small, case.network) if kind == "ours" else case.network(small.as_tensor())
        pipe.send("ready")
        while (asked := pipe.recv()) is not None:
            folder, target = asked
            start, started = time.perf_counter(), time.process_time()
            image = case.read(folder)
            read = time.perf_counter()
            logits = ours(image, case.network).as_tensor() if kind == "ours" else case.stock(image)
            masks = logits[0] > 0
            if len(masks) == len(REGIONS):
                regions_to_labels(masks, LABELS, REGIONS)
            done, used = time.perf_counter(), time.process_time() - started
            np.save(target, np.packbits(masks.numpy()))
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e9
            inside = torch.as_tensor(image.as_tensor() != 0).any(dim=1)
            share = masks[:, inside[0]].float().mean(dim=1).tolist()
            times = {"seconds": done - start, "reading": read - start, "processor_seconds": used}
            pipe.send({**times, "peak_gb": peak, "share_of_brain": share})


def dice(some: NDArray[np.bool_], others: NDArray[np.bool_]) -> float:
    """Return the Dice of two masks, nan where both are empty."""
    total = int(some.sum()) + int(others.sum())
    return 2 * int((some & others).sum()) / total if total else float("nan")


def masks_of(file: Path, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return the regions' masks ``(K, H, W, D)`` that a worker wrote."""
    return np.unpackbits(np.load(file), count=int(np.prod(shape))).reshape(shape).astype(bool)


def canonical(file: Path) -> NDArray[Any]:
    """Return an image's values in the axes that LoadContrastsd gives them."""
    return np.asarray(nib.as_closest_canonical(nib.Nifti1Image.from_filename(file)).dataobj)


def compare(case: Path, written: dict[str, Path]) -> dict[str, Any]:
    """Return the Dice of each region between the two ways, and of either with the case's label file if it has one."""
    truth_files = [file for file in case.iterdir() if re.search(r"[-_]seg\.nii(\.gz)?$", file.name)]
    image = next(file for file in case.iterdir() if file.name.endswith((".nii", ".nii.gz")))
    shape = (len(REGIONS), *canonical(image).shape)
    masks = {kind: masks_of(file, shape) for kind, file in written.items()}
    result = {"agreement": [dice(*pair) for pair in zip(masks["ours"], masks["stock"], strict=True)]}
    if truth_files:
        labels = canonical(truth_files[0])
        truth = [np.isin(labels, values) for values in REGIONS.values()]
        result |= {kind: [dice(*pair) for pair in zip(found, truth, strict=True)] for kind, found in masks.items()}
    return result


def measure(cases: list[Path], options: argparse.Namespace) -> dict[str, Any]:
    """Let both ways segment the cases by turns."""
    context = multiprocessing.get_context("spawn")
    workers = {}
    for kind in ("ours", "stock"):
        pipe, other = context.Pipe()
        context.Process(target=work, args=(kind, options, other), daemon=True).start()
        other.close()
        assert pipe.recv() == "ready"
        workers[kind] = pipe
    rounds: list[dict[str, Any]] = []
    compared: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as temporary:
        written = {kind: Path(temporary) / f"{kind}.npy" for kind in workers}
        for number, case in enumerate(case for case in cases for _ in range(options.rounds)):
            row: dict[str, Any] = {"case": case.name}
            for kind in sorted(workers, reverse=bool(number % 2)):
                workers[kind].send((case, str(written[kind])))
                row[kind] = workers[kind].recv()
            row["ratio"] = row["stock"]["seconds"] / row["ours"]["seconds"]
            row["processor_ratio"] = row["stock"]["processor_seconds"] / row["ours"]["processor_seconds"]
            rounds.append(row)
            print({kind: {name: np.round(value, 3).tolist() for name, value in row[kind].items()} for kind in workers})
            if (number + 1) % options.rounds == 0:
                compared.append({"case": case.name, **compare(case, written)})
    for pipe in workers.values():
        pipe.send(None)
    ratios = {name: statistics.median(row[name] for row in rounds) for name in ("ratio", "processor_ratio")}
    names = {name for row in compared for name in row} - {"case"}
    means = {name: np.nanmean([row[name] for row in compared if name in row], axis=0).tolist() for name in names}
    return {"rounds": rounds, "compared": compared, **ratios, "mean_dice": means}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", type=Path, nargs="+", help="folders of a case each; default: a synthetic head")
    parser.add_argument("--weights", type=Path, help="model.pt of a run; default: random weights")
    parser.add_argument("--windows", choices=["brain", "stock"], default="brain", help="where our windows lie")
    parser.add_argument("--overlap", type=float, help="of our windows; default: inference.yaml's")
    parser.add_argument("--mode", default="gaussian", help="of our windows: gaussian or constant")
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--amp", choices=["true", "false"], help="bfloat16 for ours; default: where the CPU has it")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", type=Path, help="also write the result there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        cases = options.case or [Path(temporary) / "head"]
        if options.case is None:
            cases[0].mkdir()
            write_head(cases[0], ["t1n", "t1c", "t2w", "t2f"])
        result = measure(cases, options)
    ratio, of_processor = result["ratio"], result["processor_ratio"]
    print(f"median ratio {ratio:.1f} (processor time {of_processor:.1f}), {options.threads} threads")
    for name, values in result["mean_dice"].items():
        said = "between the two" if name == "agreement" else f"of {name} with the label file"
        print(f"mean Dice {said}: " + ", ".join(f"{value:.4f}" for value in values))
    if options.json:
        content = {"threads": options.threads, "torch": torch.__version__, **result}
        options.json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
