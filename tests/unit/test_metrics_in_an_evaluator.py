from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.multiprocessing
from monai.data.meta_tensor import MetaTensor
from monai.data.utils import list_data_collate
from monai.engines.evaluator import SupervisedEvaluator
from monai.handlers.utils import from_engine
from monai.transforms.compose import Compose
from monai.transforms.post.dictionary import Activationsd

from medbundles.components.handlers.metric_tables import (
    FROC_NAME,
    SUMMARY_NAME,
    TABLE_NAME,
    MetricTables,
    headlines,
    merged_table,
)
from medbundles.components.metrics import LesionDetection, PixelConfusion


def batches(count: int = 3) -> list[dict[str, Any]]:
    made = []
    for number in range(count):
        label = torch.zeros(1, 10, 10, 6)
        label[..., 2:5, 2:5, number : number + 2] = 1
        noise = torch.randn(label.shape, generator=torch.Generator().manual_seed(number))
        meta = {"filename_or_obj": f"labels/case_{number}.nii.gz"}
        tensors = {"image": label * 6 - 3 + noise, "label": label}
        made.append(list_data_collate([{key: MetaTensor(value, meta=dict(meta)) for key, value in tensors.items()}]))
    return made


def evaluator(decollate: bool, metrics: dict[str, Any], handlers: list[Any] | None = None) -> SupervisedEvaluator:
    key, *others = metrics
    return SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=batches(),
        network=torch.nn.Identity(),
        postprocessing=Compose([Activationsd("pred", sigmoid=True)]),
        key_val_metric={key: metrics[key]},
        additional_metrics={name: metrics[name] for name in others},
        val_handlers=handlers,
        decollate=decollate,
    )


def metrics() -> dict[str, Any]:
    return {
        "sensitivity": LesionDetection(from_engine(["pred", "label"]), false_positive_budget=1.0),
        "dice": PixelConfusion(),
    }


@pytest.mark.parametrize("decollate", [True, False])
def test_metrics_work_in_a_monai_evaluator(decollate: bool) -> None:
    measured = metrics()
    engine = evaluator(decollate, measured)
    engine.run()
    assert engine.state.metrics["sensitivity"] == engine.state.best_metric == 1.0
    assert 0.5 < engine.state.metrics["dice"] < 1.0
    assert [row["case"] for row in measured["dice"].table()] == ["case_0", "case_1", "case_2"]


def test_second_epoch_starts_with_no_rows() -> None:
    measured = metrics()
    engine = evaluator(True, measured)
    engine.run()
    engine.run()
    assert len(measured["dice"].rows) == 3


def test_tables_hold_a_row_a_case_a_summary_and_the_curve(tmp_path: Path) -> None:
    measured = metrics()
    evaluator(True, measured, [MetricTables(tmp_path / "results", measured)]).run()
    with (tmp_path / "results/metrics.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert [row["case"] for row in rows] == ["case_0", "case_1", "case_2"]
    assert {"lesions", "lesions_found", "false_positives", "dice", "false_positive_mm3"} <= rows[0].keys()
    summary = json.loads((tmp_path / "results/summary.json").read_text())
    assert summary["sensitivity"]["sensitivity"] == 1.0
    assert summary["dice"]["n"] == 3
    assert (tmp_path / "results/froc.png").read_bytes().startswith(b"\x89PNG")


def test_second_evaluation_replaces_the_files(tmp_path: Path) -> None:
    measured = metrics()
    engine = evaluator(True, measured, [MetricTables(tmp_path, measured, prefix="validation")])
    engine.run()
    first = (tmp_path / "validation_summary.json").read_text()
    engine.run()
    assert (tmp_path / "validation_summary.json").read_text() == first
    assert len(list(tmp_path.iterdir())) == 3


def test_the_end_of_an_evaluation_tells_the_figures_and_the_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    measured = metrics()
    evaluator(True, measured, [MetricTables(tmp_path, measured)]).run()
    figures, files = capsys.readouterr().err.splitlines()
    assert re.fullmatch(
        r"3 case\(s\): sensitivity 1\.00 \(1\.00 to 1\.00\) at 1 false positives a case; "
        r"dice 0\.\d\d \(0\.\d\d to [01]\.\d\d\) \(95 % intervals by case\)",
        figures,
    )
    assert files == "tables: " + ", ".join(str(tmp_path / name) for name in (TABLE_NAME, SUMMARY_NAME, FROC_NAME))


def test_the_threshold_that_training_fixed_has_figures_of_its_own() -> None:
    fixed = LesionDetection(peak_threshold=0.5)
    fixed.update(([torch.ones(1, 4, 4, 4)], [torch.ones(1, 4, 4, 4)]))
    assert list(headlines({"lesions": fixed.summary()}))[1] == (
        "at the model's own threshold 1.00 at 0.00 false positives a case"
    )


def test_a_figure_without_any_lesion_is_undefined() -> None:
    empty = LesionDetection()
    empty.update(([torch.zeros(1, 4, 4, 4)], [torch.zeros(1, 4, 4, 4)]))
    assert list(headlines({"lesions": empty.summary()})) == ["sensitivity undefined at 4 false positives a case"]


def test_only_the_writing_process_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RANK", "1")
    measured = metrics()
    measured["dice"].update(([torch.ones(1, 4, 4)], [torch.ones(1, 4, 4)]))
    MetricTables(tmp_path, {"dice": measured["dice"]})(evaluator(True, measured))
    assert not list(tmp_path.iterdir())
    assert capsys.readouterr().err == ""


def test_column_of_two_metrics_is_prefixed_and_a_missing_case_stays_empty() -> None:
    tables = {
        "one": [{"case": "a", "dice": 1.0}, {"case": "b", "dice": 0.5}],
        "two": [{"case": "b", "dice": 0.25, "volume": 3}],
    }
    assert merged_table(tables) == [
        {"case": "a", "one_dice": 1.0},
        {"case": "b", "one_dice": 0.5, "two_dice": 0.25, "volume": 3},
    ]


def _evaluate_in_group(rank: int, folder: str) -> None:
    import torch.distributed as dist

    dist.init_process_group("gloo", init_method=f"file://{folder}/group", rank=rank, world_size=2)
    measured = metrics()
    engine = evaluator(True, measured, [MetricTables(folder, measured)])
    # Three cases on two processes: a distributed sampler hands out the first one twice.
    engine.data_loader = [batches()[number] for number in ((0, 2), (1, 0))[rank]]
    engine.run()
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_processes_write_one_table_of_all_cases(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(_evaluate_in_group, args=(str(tmp_path),), nprocs=2)
    with (tmp_path / "metrics.csv").open(newline="") as handle:
        assert [row["case"] for row in csv.DictReader(handle)] == ["case_0", "case_1", "case_2"]
