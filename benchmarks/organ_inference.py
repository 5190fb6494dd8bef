"""Seconds a case from files to label maps: `medbundles infer` against MONAI's parts in their default settings, one run.

    python benchmarks/organ_inference.py --dataset_dir DATA --weights RUN/model.pt --threads 2

Stock: MONAI's LoadImaged, Orientationd, Spacingd, NormalizeIntensityd, DataLoader, SupervisedEvaluator with
SlidingWindowInferer (overlap .25), Invertd, SaveImaged, each as it comes, with the same network. "alike" is ours with
that overlap, without flips and pictures; "default" as inference.yaml has it (flips, overlap .5, previews, volumes).
Each is a process of its own on all test images and on one; the difference is what a case takes, the whole includes
start-up. Rounds go through all three in turn; figures are medians. Agreement is the Dice of the label maps of stock
and alike.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from medbundles.io.datalist import records

NAME = "organ_cascade_segmentation"


def stock(images: Path, weights: Path, output: Path) -> None:
    """Segment a folder by MONAI's parts."""
    import monai.transforms as mt
    import torch
    from monai.data import DataLoader, Dataset
    from monai.engines import SupervisedEvaluator
    from monai.inferers import SlidingWindowInferer

    from medbundles.components.networks import load_weights, network_from_model
    from medbundles.io.model_json import read_model

    model = read_model(weights)
    network = network_from_model(model)
    load_weights(network, weights)
    before = mt.Compose(
        [
            mt.LoadImaged("image", ensure_channel_first=True),
            mt.Orientationd("image", "RAS"),
            mt.Spacingd("image", model["preprocessing"]["spacing_mm"]),
            mt.NormalizeIntensityd("image", nonzero=True),
        ]
    )
    after = mt.Compose(
        [
            mt.Invertd("pred", before, orig_keys="image"),
            mt.AsDiscreted("pred", argmax=True),
            mt.SaveImaged("pred", output_dir=output, output_postfix="seg", separate_folder=False, print_log=False),
        ]
    )
    loader = DataLoader(Dataset([{"image": str(path)} for path in sorted(images.iterdir())], before))
    inferer = SlidingWindowInferer(model["preprocessing"]["patch_size"])
    evaluator: Any = SupervisedEvaluator(torch.device("cpu"), loader, network, inferer=inferer, postprocessing=after)
    evaluator.run()


def seconds(kind: str, images: Path, weights: Path, output: Path) -> float:
    """Return how long a process takes."""
    if kind == "stock":
        command = [sys.executable, __file__, "--stock", *map(str, (images, weights, output))]
    else:
        command = [sys.executable, "-m", "medbundles", "infer", NAME, "--dataset_dir", str(images)]
        command += ["--weights", str(weights), "--output_dir", str(output)]
        command += ["--flips", "[]", "--overlap", "0.25", "--preview", "false"] if kind == "alike" else []
    start = time.perf_counter()
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode:
        sys.exit(f"{' '.join(command)}\n{answer.stdout}{answer.stderr}")
    return time.perf_counter() - start


def agreement(one: Path, other: Path, names: list[str]) -> float:
    """Return the mean Dice of the labels of two folders of label maps."""
    found = []
    for name in names:
        maps = [np.asarray(nib.load(folder / f"{name}_seg.nii.gz").dataobj) for folder in (one, other)]
        for value in range(1, int(max(part.max() for part in maps)) + 1):
            masks = [part == value for part in maps]
            total = sum(int(mask.sum()) for mask in masks)
            found.append(2 * int((masks[0] & masks[1]).sum()) / total if total else 1.0)
    return float(np.mean(found))


def measure(options: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    """Time all ways by turns."""
    listed = records(options.dataset_dir, "testing", None)
    for folder, chosen in (("all", listed), ("one", listed[:1])):
        (scratch / folder).mkdir()
        for record in chosen:
            (scratch / folder / f"{record['case']}.nii.gz").symlink_to(
                (options.dataset_dir / record["image"]).resolve()
            )
    rounds = []
    for number in range(options.rounds):
        row = {}
        for kind in ("stock", "alike", "default"):
            outputs = [scratch / f"{kind}_{folder}_{number}" for folder in ("all", "one")]
            whole, one = (
                seconds(kind, scratch / folder, options.weights, output)
                for folder, output in zip(("all", "one"), outputs, strict=True)
            )
            row[kind] = {"a_case": (whole - one) / max(len(listed) - 1, 1), "with_start": whole / len(listed)}
        rounds.append(row)
        print({kind: {name: round(value, 3) for name, value in row[kind].items()} for kind in row}, flush=True)
    names = [str(record["case"]) for record in listed]
    dice = agreement(scratch / "stock_all_0", scratch / "alike_all_0", names)
    middle = {
        kind: {name: statistics.median(row[kind][name] for row in rounds) for name in rounds[0][kind]}
        for kind in rounds[0]
    }
    return {"cases": len(listed), "seconds": middle, "dice_agreement": dice, "rounds": rounds}


def main() -> None:
    if sys.argv[1:2] == ["--stock"]:
        stock(*map(Path, sys.argv[2:5]))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset_dir", type=Path, help="prepared folder, of one channel of MR")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--json", type=Path, help="also write the result there")
    options = parser.parse_args()
    if not (options.dataset_dir and options.weights):
        print("no --dataset_dir and --weights given: nothing to time (see --help)")
        return
    os.environ |= {"OMP_NUM_THREADS": str(options.threads), "MKL_NUM_THREADS": str(options.threads)}
    with tempfile.TemporaryDirectory() as temporary:
        result = measure(options, Path(temporary))
    for kind, values in result["seconds"].items():
        ratio = result["seconds"]["stock"]["a_case"] / values["a_case"]
        start = f"{values['with_start']:.2f} s with start-up over {result['cases']} cases"
        print(f"{kind}: {values['a_case']:.3f} s a case ({ratio:.1f} x), {start}")
    print(f"Dice of stock and alike: {result['dice_agreement']:.4f}; {options.threads} threads")
    if options.json:
        options.json.write_text(json.dumps({"threads": options.threads, **result}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
