"""Benign and malignant as two classes: trained and evaluated with the overlay, applied by what model.json says."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from medbundles.components.metrics.lesion_matching import find_components
from medbundles.io.datalist import read_datalist, write_datalist
from medbundles.io.grids import flip_lps, to_world, voxel_volume_mm3
from medbundles.io.images import read_volume
from tests.bundles.conftest import SOME, Run

BUNDLE = "lung_nodule_ct_segmentation"
OVERLAY = ("--overlay", "malignancy")
# Of every six nodules two are benign and three malignant, and nobody has judged one.
VERDICTS = (True, False, True, None, False, True)


def annotate(folder: Path, verdicts: tuple[bool | None, ...]) -> None:
    """List the nodules of a prepared folder, read from its labels, with these verdicts in turn."""
    parts, number = read_datalist(folder), 0
    for record in (record for part in parts.values() for record in part):
        label = read_volume(folder / record["label"])
        found, listed = find_components(label.array > 0), []
        for center, size in zip(found.centers, found.sizes, strict=True):
            diameter = (6 * float(size) * voxel_volume_mm3(label.affine) / np.pi) ** (1 / 3)
            place = flip_lps(to_world(label.affine, center)).tolist()
            listed.append(
                {"center_lps_mm": place, "diameter_mm": diameter, "malignant": verdicts[number % len(verdicts)]}
            )
            number += 1
        record["nodules"] = listed
    write_datalist(folder, parts["training"], parts["testing"])


def linked(chest_data: Path, folder: Path, verdicts: tuple[bool | None, ...]) -> Path:
    for name in ("images", "labels"):
        (folder / name).symlink_to(chest_data / name)
    write_datalist(folder, *read_datalist(chest_data).values())
    annotate(folder, verdicts)
    return folder


# Five commands in one process, which starts once: what a test would wait for longest.
IN_TURN = """
import json, sys
from medbundles.cli import main
for words in json.loads(sys.argv[1]):
    sys.argv = ["medbundles", *words]
    try:
        main()
    except SystemExit as end:
        print("ended with", end.code or 0, flush=True)
"""


@pytest.fixture(scope="module")
def judged(chest_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The chest phantoms with verdicts."""
    return linked(chest_data, tmp_path_factory.mktemp("judged"), VERDICTS)


@pytest.fixture(scope="module")
def runs(
    python: Run, chest_data: Path, judged: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[int], str]:
    """The folder of all runs, their exit codes and what they said: two of them are refused."""
    folder = tmp_path_factory.mktemp("two classes")
    unjudged = linked(chest_data, tmp_path_factory.mktemp("unjudged"), (None,))
    data, weights = ("--dataset_dir", judged), ("--weights", folder / "run")
    commands = [
        ["train", BUNDLE, *OVERLAY, *data, "--output_dir", folder / "run", *SOME, "--samples_per_epoch", "240"],
        ["evaluate", BUNDLE, *OVERLAY, *data, *weights, "--output_dir", folder / "evaluated", "--part", "validation"],
        ["infer", BUNDLE, *data, *weights, "--output_dir", folder / "inferred"],
        ["evaluate", BUNDLE, *data, *weights, "--output_dir", folder / "as one class"],
        ["train", BUNDLE, *OVERLAY, "--dataset_dir", unjudged, "--output_dir", folder / "unjudged"],
    ]
    result = python("-c", IN_TURN, json.dumps([[str(word) for word in words] for words in commands]))
    assert result.returncode == 0, result.stderr
    codes = [int(code) for code in re.findall(r"^ended with (\d+)$", result.stdout, re.MULTILINE)]
    assert codes[:3] == [0, 0, 0], result.stderr
    return folder, codes[3:], result.stderr


@pytest.fixture
def folder(runs: tuple[Path, list[int], str]) -> Path:
    return runs[0]


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def test_the_model_says_its_classes(folder: Path) -> None:
    model = read(folder / "run" / "model.json")
    assert model["labels"] == {"0": "background", "1": "benign", "2": "malignant"}
    assert model["network"]["arguments"]["out_channels"] == 2
    assert set(model["colors"]) == {"benign", "malignant"}


def test_every_validation_measures_both_classes_and_chooses_by_any_nodule(folder: Path) -> None:
    line = json.loads((folder / "run" / "history.jsonl").read_text().splitlines()[-1])
    both = {"benign_sensitivity", "malignant_sensitivity", "benign_dice", "malignant_dice", "malignancy_auc"}
    assert {"sensitivity", *both} <= line["metrics"].keys()


def test_an_evaluation_measures_any_nodule_both_classes_and_how_they_are_told_apart(judged: Path, folder: Path) -> None:
    summary = read(folder / "evaluated" / "summary.json")
    nodules = {name: summary[name]["lesions"] for name in ("lesions", "benign_sensitivity", "malignant_sensitivity")}
    judgements = [n["malignant"] for n in listed(judged, fold=0)]
    assert nodules == {
        "lesions": len(judgements),
        "benign_sensitivity": judgements.count(False),
        "malignant_sensitivity": judgements.count(True),
    }
    threshold = read(folder / "run" / "model.json")["thresholds"]["peak_threshold"]
    assert summary["malignancy_auc"]["peak_threshold"] == threshold
    assert summary["malignant_sensitivity"]["at_fixed_threshold"]["peak_threshold"] == threshold


def listed(folder: Path, fold: int) -> list[dict[str, Any]]:
    records = read_datalist(folder)["training"]
    return [nodule for record in records if record["fold"] == fold for nodule in record["nodules"]]


def test_findings_have_a_class_and_a_malignancy(folder: Path) -> None:
    with (folder / "inferred/nodules.csv").open() as table:
        rows = list(csv.DictReader(table))
    nodules = read(folder / "inferred/nodules.json")["nodules"]
    assert [row["class"] for row in rows] == [nodule["class"] for nodule in nodules]
    for nodule in nodules:
        assert nodule["class"] == ("malignant" if nodule["malignancy_probability"] > 0.5 else "benign")


def test_masks_of_two_classes_lie_on_the_grid_of_their_scans(folder: Path, judged: Path) -> None:
    files = judged / "images/chest 6.nii.gz", folder / "inferred/chest 6_seg.nii.gz"
    scan, mask = (nibabel.load(file) for file in files)
    assert mask.shape == scan.shape
    assert np.array_equal(mask.affine, scan.affine)
    assert set(np.unique(np.asarray(mask.dataobj))) <= {0, 1, 2}


def test_weights_of_two_classes_are_not_evaluated_as_one(runs: tuple[Path, list[int], str]) -> None:
    _, codes, said = runs
    assert codes[0] == 2
    assert "error[CFG004] model.json: labels::1 is 'benign'" in said


def test_a_training_without_a_single_verdict_is_refused_before_the_first_epoch(
    runs: tuple[Path, list[int], str],
) -> None:
    folder, codes, said = runs
    assert codes[1] == 3
    assert "error[LUN012] datalist.json: none of the" in said
    assert not (folder / "unjudged" / "history.jsonl").exists()
