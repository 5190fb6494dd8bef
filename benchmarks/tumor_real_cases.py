"""Prepare the real cases that brain_tumor_mri_segmentation is looked at with; nothing was trained or chosen on them.

    python benchmarks/tumor_real_cases.py --source FOLDER --output OUT
    medbundles evaluate brain_tumor_mri_segmentation --dataset_dir OUT/real --weights RUN/model.pt

FOLDER holds what the repositories publish: the four contrasts of BraTS-GLI-00001 (BrainLesion/deep_quality_estimation),
TCGA-DU-7294 in the space of the challenges (BrainLesion/tutorials; its segmentation is the vote of other programs, not
an expert's), two patients of BRATS 2013 with T1c and FLAIR (deepmedic/deepmedic). The files are linked under the names
of the challenges and prepared: four contrasts into OUT/real, two into OUT/real_two.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

GLI, TCGA, OLD = "brats_gli_00001_4ch", "tcga_lgg_brats_space/TCGA-DU-7294", "deepmedic_brats2015"
FOUR = {
    "BraTS-GLI-00001-000": {name: f"{GLI}/{name}.nii.gz" for name in ("t1n", "t1c", "t2w", "t2f")}
    | {"seg": f"{GLI}/seg-BraTS23_1.nii.gz"},
    "TCGA-DU-7294": {
        ours: f"{TCGA}/TCGA-DU-7294_{theirs}_bet.nii.gz"
        for ours, theirs in {"t1n": "t1", "t1c": "t1c", "t2w": "t2", "t2f": "fla"}.items()
    }
    | {"seg": f"{TCGA}/simple.nii.gz"},
}
TWO = {
    patient: {
        "t1c": f"{OLD}/brats_2013_{patient}_1/T1c_subtrMeanDivStd.nii.gz",
        "t2f": f"{OLD}/brats_2013_{patient}_1/Flair_subtrMeanDivStd.nii.gz",
        "seg": f"{OLD}/brats_2013_{patient}_1/OTMultiClass.nii.gz",
        "mask": f"{OLD}/brats_2013_{patient}_1/brainmask.nii.gz",
    }
    for patient in ("pat0003", "pat0005")
}

MASKED = ("--pattern", "{case}/{case}-{contrast}.nii.gz", "--mask_name", "mask")


def link(source: Path, target: Path, cases: dict[str, dict[str, str]]) -> None:
    """Give the cases' files the names of the challenges since 2023."""
    for case, files in cases.items():
        (target / case).mkdir(parents=True, exist_ok=True)
        for name, file in files.items():
            place = target / case / f"{case}-{name}.nii.gz"
            if not (source / file).is_file():
                sys.exit(f"{source / file} is not there")
            if not place.exists():
                place.symlink_to((source / file).resolve())


def main() -> None:
    """Link and prepare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, help="folder with the published files")
    parser.add_argument("--output", type=Path, help="where to write")
    options = parser.parse_args()
    if not (options.source and options.output):
        print("no --source and --output given: nothing to prepare (see --help)")
        return
    # What the numbers mean differs: BRATS 2013 has four, of which 3 became part of the core.
    for name, cases, more in (
        ("real", FOUR, ("--label_set", "2023")),
        ("real_two", TWO, ("--label_set", "2015", "--allow", "['NII008']", *MASKED)),
    ):
        link(options.source, options.output / f"{name}_raw", cases)
        places = ("--source", options.output / f"{name}_raw", "--output", options.output / name)
        command = ("prepare", "brats", *places, "--folds", "1", "--test_fraction", "1", *more)
        subprocess.run([sys.executable, "-m", "medbundles", *map(str, command)], check=True)


if __name__ == "__main__":
    main()
