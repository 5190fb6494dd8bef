"""Data lists with named channels, and targets that are images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from medbundles.checks.dataset import check_records
from medbundles.components.transforms import LoadVolumed
from medbundles.errors import DataError
from medbundles.io.datalist import Records, listed_channels, records
from medbundles.io.fingerprint import network_grid, target_statistics
from medbundles.io.images import write_volume

AFFINE = np.diag([2.0, 2.0, 2.0, 1.0])
CHANNELS = ["mean_b0", "fa", "md"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    generator = np.random.default_rng(0)
    for case in ("anna", "ben"):
        for number, name in enumerate(CHANNELS):
            values = generator.normal(number, 0.1, (6, 7, 8)).astype(np.float32)
            write_volume(tmp_path / "images" / f"{case}_{name}.nii.gz", values, AFFINE)
        write_volume(
            tmp_path / "labels" / f"{case}.nii.gz", generator.normal(size=(6, 7, 8)).astype(np.float32), AFFINE
        )
        write_volume(tmp_path / "masks" / f"{case}.nii.gz", np.ones((6, 7, 8), np.uint8), AFFINE)
    listed = [record(case, fold) for fold, case in enumerate(("anna", "ben"))]
    (tmp_path / "datalist.json").write_text(json.dumps({"channels": CHANNELS, "training": listed, "testing": []}))
    return tmp_path


def record(case: str, fold: int) -> dict[str, Any]:
    images = [f"images/{case}_{name}.nii.gz" for name in CHANNELS]
    return {
        "image": images,
        "label": f"labels/{case}.nii.gz",
        "mask": f"masks/{case}.nii.gz",
        "case": case,
        "subject": case,
        "fold": fold,
    }


def findings(folder: Path, **changes: Any) -> list[str]:
    cases = [case | changes for case in records(folder, "validation", 0, ["fa"])]
    found = check_records(cases, label_values=None, channels=["fa"], image_target=True)
    return [f"{finding.code} {finding.file}" for finding in found if finding.level == "error"]


def test_channels_are_chosen_by_name_in_the_order_asked_for(folder: Path) -> None:
    assert listed_channels(folder) == CHANNELS
    (case,) = records(folder, "validation", 0, ["md", "mean_b0"])
    assert [Path(path).name for path in case["image"]] == ["anna_md.nii.gz", "anna_mean_b0.nii.gz"]
    assert Path(Records(folder, "training", 0, ["fa"])[0]["image"]).name == "ben_fa.nii.gz"


def test_a_channel_that_was_not_prepared_is_refused_with_those_that_were(folder: Path) -> None:
    with pytest.raises(DataError, match=r"NII008.*no channel l1; the data list has mean_b0, fa, md"):
        records(folder, "training", 0, ["l1"])


def test_several_files_become_the_channels_of_one_image(folder: Path) -> None:
    image = LoadVolumed(["image"])({"image": records(folder, "validation", 0)[0]["image"]})["image"]
    assert image.shape == (3, 6, 7, 8)
    torch.testing.assert_close(image.mean(dim=(1, 2, 3)).as_tensor(), torch.tensor([0.0, 1.0, 2.0]), atol=0.05, rtol=0)


def test_channels_on_different_grids_are_refused(folder: Path) -> None:
    moved = AFFINE.copy()
    moved[0, 3] = 1.0
    write_volume(folder / "images" / "anna_fa.nii.gz", np.ones((6, 7, 8), np.float32), moved, overwrite=True)
    with pytest.raises(DataError, match=r"NII004.*anna_fa"):
        LoadVolumed(["image"])({"image": records(folder, "validation", 0)[0]["image"], "case": "anna"})


def test_a_sound_folder_has_nothing_to_say(folder: Path) -> None:
    assert findings(folder) == []


def test_a_missing_target_and_a_missing_mask_are_told_together(folder: Path) -> None:
    assert len(findings(folder, label=None, mask=None)) == 2


def test_an_empty_mask_is_refused(folder: Path) -> None:
    write_volume(folder / "masks" / "anna.nii.gz", np.zeros((6, 7, 8), np.uint8), AFFINE, overwrite=True)
    assert findings(folder) == ["DWI012 masks/anna.nii.gz"]


def test_a_target_on_another_grid_is_refused(folder: Path) -> None:
    write_volume(folder / "labels" / "anna.nii.gz", np.ones((6, 7, 9), np.float32), AFFINE, overwrite=True)
    assert findings(folder) == ["NII004 labels/anna.nii.gz"]


def test_a_target_with_nan_is_refused(folder: Path) -> None:
    values = np.ones((6, 7, 8), np.float32)
    values[3, 3, 3] = np.nan
    write_volume(folder / "labels" / "anna.nii.gz", values, AFFINE, overwrite=True)
    assert [text.split()[0] for text in findings(folder)] == ["NII002"]


@pytest.mark.parametrize(("grid", "expected"), [("dwi", "dwi"), (1.5, 1.5), ("t1w", 0.9)])
def test_the_fingerprint_says_the_networks_grid(tmp_path: Path, grid: Any, expected: Any) -> None:
    content = {
        "grid": grid,
        "summary": {"spacing_mm": {"median": [1.0, 0.9, 1.2]}},
        "t1w": {"mean": 500.0, "std": 90.0},
    }
    (tmp_path / "fingerprint.json").write_text(json.dumps(content))
    assert network_grid(tmp_path) == expected
    assert target_statistics(tmp_path) == {"mean": 500.0, "std": 90.0}


def test_a_damaged_fingerprint_is_refused_and_a_missing_one_is_empty(tmp_path: Path) -> None:
    assert target_statistics(tmp_path) == {}
    (tmp_path / "fingerprint.json").write_text("{")
    with pytest.raises(DataError, match="TRN011"):
        target_statistics(tmp_path)
