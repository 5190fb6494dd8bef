"""Tables, volumes and pictures of regions, as an evaluator leaves them."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.data.meta_tensor import MetaTensor
from monai.data.utils import list_data_collate
from monai.engines.evaluator import SupervisedEvaluator
from PIL import Image

from medbundles.components.handlers import MetricTables, RegionPreview, RegionTables
from medbundles.components.metrics import LesionWise, RegionQuality
from medbundles.errors import ConfigurationError, OutputConflict

REGIONS = {"WT": [1, 2, 3], "TC": [1, 3], "ET": [3]}
LABELS = {1: "ncr", 2: "ed", 3: "et"}
# Voxels of 6 mm3.
AFFINE = torch.diag(torch.tensor([1.0, -2.0, 3.0, 1.0]))


def batches(count: int = 3) -> list[dict[str, Any]]:
    made = []
    for number in reversed(range(count)):
        label = torch.zeros(1, 12, 12, 8)
        label[..., 2:8, 2:8, 2:6] = 2
        label[..., 3:6, 3:6, 3:5] = 3
        meta = {"case": f"case_{number}", "filename_or_obj": f"case_{number}.nii.gz", "present": [True, number > 0]}
        image = torch.cat([label + 1, 2 * label + 1])
        item: dict[str, Any] = {"case": f"case_{number}"}
        for key, value in (("image", image), ("label", label)):
            item[key] = MetaTensor(value, affine=AFFINE, meta=dict(meta))
        made.append(list_data_collate([item]))
    return made


class Nested(torch.nn.Module):
    """Finds the regions that the image's first channel shows."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        shown = image[:, :1] - 1
        return torch.cat([(shown > 0).float(), (shown > 2).float(), (shown > 2).float()], dim=1)


def run(handlers: list[Any], metrics: dict[str, Any] | None = None) -> None:
    key, *others = metrics or {"dice": RegionQuality(REGIONS)}
    known = metrics or {key: RegionQuality(REGIONS)}
    SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=batches(),
        network=Nested(),
        key_val_metric={key: known[key]},
        additional_metrics={name: known[name] for name in others},
        val_handlers=handlers,
    ).run()


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


def test_the_table_has_a_row_a_case_and_region_with_the_figures_of_all_metrics(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    metrics = {"regions": RegionQuality(REGIONS), "lesions": LesionWise(REGIONS, smallest_lesion_voxels=0)}
    run([MetricTables(tmp_path, metrics)], metrics)
    rows = rows_of(tmp_path / "metrics.csv")
    assert [(row["case"], row["region"]) for row in rows] == [
        (f"case_{number}", region) for number in range(3) for region in REGIONS
    ]
    assert {row["dice"] for row in rows} == {row["lesion_dice"] for row in rows} == {"1.0"}
    assert len(rows_of(tmp_path / "lesions.csv")) == 9
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["regions"]["regions"]["ET"]["intervals"]["dice"] == [1.0, 1.0]
    assert "3 case(s): dice 1.00" in (told := capsys.readouterr().err)
    assert "HD95 in mm (374 where one is empty): WT 0.00 (0.00 to 0.00), TC 0.00" in told


def test_volumes_of_regions_and_labels_are_written_in_milliliters(tmp_path: Path) -> None:
    run([RegionTables(tmp_path, REGIONS, LABELS)])
    rows = rows_of(tmp_path / "volumes.csv")
    assert [row["case"] for row in rows[::6]] == ["case_0", "case_1", "case_2"]
    assert {(row["kind"], row["name"]): float(row["ml"]) for row in rows[:6]} == pytest.approx(
        {
            ("region", "WT"): 0.864,
            ("region", "TC"): 0.108,
            ("region", "ET"): 0.108,
            ("label", "ncr"): 0.0,
            ("label", "ed"): 0.756,
            ("label", "et"): 0.108,
        }
    )


def test_the_summary_says_which_contrasts_a_case_had_and_how_it_was_cleaned(tmp_path: Path) -> None:
    cleaning = {"thresholds": {"WT": 0.5}}
    run([RegionTables(tmp_path, REGIONS, LABELS, contrasts=["t1c", "t2f"], postprocessing=cleaning)])
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert [case["contrasts"] for case in summary["cases"]] == [["t1c"], ["t1c", "t2f"], ["t1c", "t2f"]]
    assert summary["cases"][0]["regions_ml"]["WT"] == 0.864
    assert summary["postprocessing"] == cleaning


def test_tables_that_exist_are_refused_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "volumes.csv").write_text("")
    with pytest.raises(OutputConflict, match=r"volumes\.csv"):
        run([RegionTables(tmp_path, REGIONS, LABELS)])


def test_volumes_need_voxels_of_known_size(tmp_path: Path) -> None:
    tables = RegionTables(tmp_path, REGIONS, LABELS)
    engine = type(
        "Engine", (), {"state": type("State", (), {"output": [{"pred": torch.ones(3, 4, 4, 4), "case": "a"}]})}
    )
    with pytest.raises(ConfigurationError, match="case a: neither"):
        tables.collect(engine)


def test_a_validation_shows_contrasts_truth_and_prediction_of_the_first_cases(tmp_path: Path) -> None:
    run([RegionPreview(tmp_path, REGIONS, cases=2, contrasts=["t1c", "t2f"])])
    with Image.open(tmp_path / "previews" / "epoch_0001.png") as picture:
        lines = picture.info["Description"].splitlines()
    assert lines[:4] == ["case_2: t1c, t2f, truth, predicted"] * 2 + ["case_1: t1c, t2f, truth, predicted"] * 2


def test_an_absent_contrast_is_not_shown(tmp_path: Path) -> None:
    run([RegionPreview(tmp_path, REGIONS, cases=["case_0"], contrasts=["t1c", "t2f"], per_case=True)])
    with Image.open(tmp_path / "previews" / "case_0.png") as picture:
        assert picture.info["Description"].startswith("case_0: t1c, truth, predicted")


def test_a_picture_without_slices_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="slices"):
        RegionPreview(tmp_path, REGIONS, slices=0)
