"""Look whether organ_cascade_segmentation handles a real CT with several organs: preparation, both stages, geometry.

    python benchmarks/organ_ct_check.py --source totalsegmentator_tests --work WORK --liver BOTH/model.pt

The source holds one CT with the masks that TotalSegmentator drew (example_ct_sm.nii.gz, example_seg.nii.gz). Seven of
its organs become a task of two cases: the CT as it is, and the same CT with its axes turned around and exchanged. Both
stages learn the first for a few epochs, then find the organs in the second. As it is the same person, the Dice says
only whether windows of HU, boxes, sides and grids are right, nothing about anybody else; the weights are thrown away.
With --liver, weights trained on synthetic livers (`medbundles samples organ_cascade_segmentation`) look for the liver
in it as well, which they have never seen anything like.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import numpy.typing as npt
from nibabel.orientations import axcodes2ornt, inv_ornt_aff
from support.commands import run

NAME = "organ_cascade_segmentation"
# TotalSegmentator's numbers of its task "total", version 2.
ORGANS = {"spleen": 1, "kidney_right": 2, "kidney_left": 3, "liver": 5, "stomach": 6, "pancreas": 7, "aorta": 52}
TURNED = ("P", "I", "L")


def write_task(source: Path, task: Path) -> None:
    """Write the CT and its turned self in the Decathlon's layout."""
    image, drawn = nib.load(source / "example_ct_sm.nii.gz"), nib.load(source / "example_seg.nii.gz")
    values = np.asarray(drawn.dataobj)
    label = np.zeros(values.shape, np.uint8)
    for number, value in enumerate(ORGANS.values(), start=1):
        label[values == value] = number
    hounsfield = np.asarray(image.dataobj).round().astype(np.int16)
    for folder, array in (("imagesTr", hounsfield), ("labelsTr", label)):
        (task / folder).mkdir(parents=True, exist_ok=True)
        nib.save(nib.Nifti1Image(array, image.affine), task / folder / "seen.nii.gz")
        nib.save(turned(array, image.affine), task / folder / "turned.nii.gz")
    names = {"0": "background", **{str(number): name for number, name in enumerate(ORGANS, start=1)}}
    listed = [{"image": f"imagesTr/{name}.nii.gz", "label": f"labelsTr/{name}.nii.gz"} for name in ("seen", "turned")]
    content = {"name": "Organs", "modality": {"0": "CT"}, "labels": names, "numTraining": 2, "training": listed}
    (task / "dataset.json").write_text(json.dumps(content), encoding="utf-8")


def turned(array: npt.NDArray[np.integer], affine: npt.NDArray[np.float64]) -> nib.Nifti1Image:
    """Return the same volume in the world, stored along other axes."""
    change = nib.orientations.ornt_transform(nib.io_orientation(affine), axcodes2ornt(TURNED))
    stored = nib.apply_orientation(array, change)
    return nib.Nifti1Image(stored, affine @ inv_ornt_aff(change, array.shape))


def dice_of(found: Path, truth: Path, values: dict[str, tuple[int, int]]) -> dict[str, float]:
    """Return the Dice of each organ; its numbers in what was found and in the truth.

    Raises:
        SystemExit: the two are not on one grid.
    """
    images = nib.load(found), nib.load(truth)
    if images[0].shape != images[1].shape or not np.allclose(images[0].affine, images[1].affine, atol=1e-4):
        raise SystemExit(f"{found.name} is not on the grid of {truth.name}")
    arrays = [np.asarray(image.dataobj) for image in images]
    scores = {}
    for name, (one, other) in values.items():
        masks = arrays[0] == one, arrays[1] == other
        scores[name] = 2 * int((masks[0] & masks[1]).sum()) / max(1, int(masks[0].sum()) + int(masks[1].sum()))
    return scores


def shown(scores: dict[str, float]) -> str:
    return ", ".join(f"{name} {score:.3f}" for name, score in scores.items())


def learn_organs(source: Path, work: Path, epochs: int) -> None:
    """Prepare, train both stages on the CT, infer on its turned self."""
    task, data = work / "task", work / "data"
    write_task(source, task)
    (work / "split.json").write_text(json.dumps({"testing": [], "folds": [["turned"], ["seen"]]}), encoding="utf-8")
    run("prepare", "decathlon", "--source", task, "--output", data, "--split", work / "split.json", "--allow", "NII014")
    plan = json.loads((data / "plan.json").read_text(encoding="utf-8"))
    for key, reason in plan["reasons"].items():
        print(f"{key}: {plan[key]} ({reason})")
    common = ("--dataset_dir", data, "--network", "UNet", "--val_interval", str(epochs))
    run("train", NAME, *common, "--output_dir", work / "seg", "--max_epochs", str(epochs))
    stage = ("--overlay", "roi_stage", "--weights", work / "seg" / "model.pt", "--max_epochs", str(epochs))
    run("train", NAME, *stage, *common, "--output_dir", work / "both")
    scans = work / "scans"
    scans.mkdir(exist_ok=True)
    (scans / "turned.nii.gz").write_bytes((task / "imagesTr" / "turned.nii.gz").read_bytes())
    for name, options in (("cascade", ()), ("whole image", ("--roi_stage", "none"))):
        found = work / name.replace(" ", "_")
        run(
            "infer",
            NAME,
            "--dataset_dir",
            scans,
            "--weights",
            work / "both" / "model.pt",
            "--output_dir",
            found,
            *options,
        )
        numbers = {organ: (number, number) for number, organ in enumerate(ORGANS, start=1)}
        print(f"{name}: {shown(dice_of(found / 'turned_seg.nii.gz', task / 'labelsTr' / 'turned.nii.gz', numbers))}")


def find_liver(source: Path, work: Path, weights: Path) -> None:
    """Look for the liver with weights that know synthetic ones."""
    scans, found = work / "liver_scans", work / "liver"
    scans.mkdir(exist_ok=True)
    (scans / "ct.nii.gz").write_bytes((source / "example_ct_sm.nii.gz").read_bytes())
    run("infer", NAME, "--dataset_dir", scans, "--weights", weights, "--output_dir", found)
    # What is called a lesion lies in the liver.
    image = nib.load(found / "ct_seg.nii.gz")
    nib.save(nib.Nifti1Image((np.asarray(image.dataobj) > 0).astype(np.uint8), image.affine), found / "whole.nii.gz")
    scores = dice_of(found / "whole.nii.gz", source / "example_seg.nii.gz", {"liver": (1, ORGANS["liver"])})
    print(f"trained on synthetic livers: {shown(scores)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path)
    parser.add_argument("--work", type=Path, default=Path("organ_ct_check"))
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--liver", type=Path, help="model.pt of both stages, trained on synthetic livers")
    options = parser.parse_args()
    if not options.source:
        print("no --source given: nothing to look at (see --help)")
        return
    options.work.mkdir(parents=True, exist_ok=True)
    learn_organs(options.source, options.work, options.epochs)
    if options.liver:
        find_liver(options.source, options.work, options.liver)


if __name__ == "__main__":
    main()
