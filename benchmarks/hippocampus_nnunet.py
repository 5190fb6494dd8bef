"""Train nnU-Net on the cases that organ_cascade_segmentation was trained on, for as long, and score it alike.

In an environment of its own (`pip install nnunetv2`), on a folder of `medbundles prepare decathlon`:

    python benchmarks/hippocampus_nnunet.py train --dataset_dir data --work nnunet --minutes 90

then in that of medbundles:

    python benchmarks/hippocampus_nnunet.py score --dataset_dir data --work nnunet

An orientation, not a claim: nnU-Net is made for a thousand epochs on a GPU. Here its 3d_fullres configuration, with
its own plan, augmentation and polynomial schedule, gets as many iterations as the minutes allow, as a first few of them
tell; then its own predictor, flips included, segments the test cases. `train` needs nothing of medbundles.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

DATASET = "Dataset004_Hippocampus"
CONFIGURATION = "3d_fullres"
# nnU-Net's epochs are 250 iterations; shorter ones let the schedule fall smoothly.
ITERATIONS = 10
TIMED_ITERATIONS = 3


def import_cases(data: Path, raw: Path) -> list[dict[str, list[str]]]:
    """Copy cases into nnU-Net's layout and return its splits: the folder's fold 0 validates."""
    content = json.loads((data / "datalist.json").read_text(encoding="utf-8"))
    plan = json.loads((data / "plan.json").read_text(encoding="utf-8"))
    for part, images, labels in (("training", "imagesTr", "labelsTr"), ("testing", "imagesTs", None)):
        for record in content[part]:
            for folder, file, ending in ((images, "image", "_0000"), (labels, "label", "")):
                if folder:
                    (raw / folder).mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(data / record[file], raw / folder / f"{record['case']}{ending}.nii.gz")
    description = {
        "channel_names": dict(enumerate(plan["channels"])),
        "labels": {"background": 0, **{name: int(value) for value, name in plan["labels"].items()}},
        "numTraining": len(content["training"]),
        "file_ending": ".nii.gz",
    }
    (raw / "dataset.json").write_text(json.dumps(description), encoding="utf-8")
    names: dict[bool, list[str]] = {True: [], False: []}
    for record in content["training"]:
        names[record["fold"] == 0].append(record["case"])
    return [{"train": names[False], "val": names[True]}]


def train(options: argparse.Namespace) -> None:
    """Plan, train and predict by nnU-Net; needs nnunetv2."""
    work = options.work.resolve()
    folders = {f"nnUNet_{name}": work / name for name in ("raw", "preprocessed", "results")}
    os.environ |= {name: str(folder) for name, folder in folders.items()} | {"nnUNet_compile": "f"}
    raw = folders["nnUNet_raw"] / DATASET
    splits = import_cases(options.dataset_dir, raw)

    import torch
    from nnunetv2.experiment_planning.plan_and_preprocess_api import extract_fingerprints, plan_experiments, preprocess
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer as Trainer

    preprocessed = folders["nnUNet_preprocessed"] / DATASET
    if not (preprocessed / "nnUNetPlans.json").exists():
        extract_fingerprints([4], num_processes=options.threads)
        plan_experiments([4])
        preprocess([4], configurations=(CONFIGURATION,), num_processes=(options.threads,))
    (preprocessed / "splits_final.json").write_text(json.dumps(splits), encoding="utf-8")
    torch.set_num_threads(options.threads)

    class nnUNetTrainer(Trainer):  # type: ignore[misc]  # its predictor looks for a class of this name
        num_iterations = TIMED_ITERATIONS

    plans, description = (
        json.loads((preprocessed / name).read_text(encoding="utf-8")) for name in ("nnUNetPlans.json", "dataset.json")
    )

    def trainer(epochs: int, iterations: int) -> Any:
        # It takes the key out of the plans.
        given = {**plans, "continue_training": False}
        made = nnUNetTrainer(given, CONFIGURATION, 0, description, torch.device("cpu"))
        made.num_epochs, made.num_iterations_per_epoch, made.num_val_iterations_per_epoch = epochs, iterations, 1
        made.save_every = epochs + 1
        return made

    start = time.perf_counter()
    trainer(1, TIMED_ITERATIONS).run_training()
    an_iteration = (time.perf_counter() - start) / (TIMED_ITERATIONS + 0.5)
    epochs = max(1, round(options.minutes * 60 / an_iteration / (ITERATIONS + 0.5)))
    start = time.perf_counter()
    made = trainer(epochs, ITERATIONS)
    made.run_training()
    minutes = (time.perf_counter() - start) / 60
    predictor = nnUNetPredictor(device=torch.device("cpu"), perform_everything_on_device=False, allow_tqdm=False)
    predictor.initialize_from_trained_model_folder(made.output_folder_base, (0,), "checkpoint_final.pth")
    predictor.predict_from_files(
        str(folders["nnUNet_raw"] / DATASET / "imagesTs"), str(work / "predicted"), overwrite=True
    )
    record = {"minutes": minutes, "iterations": epochs * ITERATIONS, "threads": options.threads}
    (work / "training.json").write_text(json.dumps(record), encoding="utf-8")


def score(options: argparse.Namespace) -> None:
    """Print what the predictions reach."""
    from medbundles.components.metrics import RegionQuality
    from medbundles.components.region_labels import labels_to_regions
    from medbundles.components.transforms import LoadVolumed
    from medbundles.io.datalist import records

    plan = json.loads((options.dataset_dir / "plan.json").read_text(encoding="utf-8"))
    regions = {name: [int(value)] for value, name in plan["labels"].items()}
    quality, load = RegionQuality(regions, tolerance_mm=1.0), LoadVolumed(["pred", "label"])
    for record in records(options.dataset_dir, "testing", None):
        files = {"pred": options.work / "predicted" / f"{record['case']}.nii.gz", "label": record["label"]}
        case = load({"case": record["case"], **files})
        quality.update(([labels_to_regions(case["pred"], regions)], [case["label"]]))
    print((options.work / "training.json").read_text(encoding="utf-8"))
    print(json.dumps(quality.summary(), indent=2))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=("train", "score"), nargs="?")
    parser.add_argument("--dataset_dir", type=Path, default=Path("data"))
    parser.add_argument("--work", type=Path, default=Path("nnunet"))
    parser.add_argument("--minutes", type=float, default=90.0)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    if options.step is None:
        print("no step given: nothing to do (see --help)")
        return
    {"train": train, "score": score}[options.step](options)


if __name__ == "__main__":
    main()
