from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from ignite.engine import Engine
from ignite.exceptions import NotComputableError
from monai.data.meta_tensor import MetaTensor
from monai.data.utils import list_data_collate
from scipy.spatial.distance import dice as scipy_dice_distance

from medbundles.components.metrics import LesionDetection, PixelConfusion, case_metric, choose_thresholds
from medbundles.components.metrics.pixel_confusion import PixelRow, count_above
from medbundles.errors import ConfigurationError, DataError


def case(seed: int, labelled: bool = True) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    label = (torch.rand(1, 6, 7, 5, generator=generator) > 0.7).float() * labelled
    return (0.6 * torch.rand(label.shape, generator=generator) + 0.4 * label).clamp(0, 1), label


def item(seed: int, name: str, spacing: tuple[float, float, float] = (2.0, 2.0, 1.0)) -> dict[str, MetaTensor]:
    affine = torch.diag(torch.tensor([*spacing, 1.0], dtype=torch.float64))
    return {
        key: MetaTensor(tensor, affine=affine, meta={"filename_or_obj": f"/data/labels/{name}.nii.gz"})
        for key, tensor in zip(("pred", "label"), case(seed), strict=True)
    }


@pytest.mark.parametrize("seed", range(4))
def test_dice_of_a_case_equals_scipy(seed: int) -> None:
    prediction, label = case(seed)
    metric = PixelConfusion(threshold=0.45)
    metric.update(([prediction], [label]))
    expected = 1 - scipy_dice_distance((prediction > 0.45).flatten().numpy(), (label > 0).flatten().numpy())
    assert metric.compute() == pytest.approx(expected)


def test_totals_are_percent_of_all_label_pixels() -> None:
    label = torch.zeros(1, 4, 4)
    label[0, 0] = 1
    prediction = torch.zeros(1, 4, 4)
    prediction[0, 0, :3] = prediction[0, 1:3] = 0.9
    metric = PixelConfusion()
    metric.update(([prediction, torch.full((1, 4, 4), 0.9)], [label, torch.zeros(1, 4, 4)]))
    summary = metric.summary()
    assert summary["true_positive_percent"] == 75.0
    assert summary["false_negative_percent"] == 25.0
    assert summary["false_positive_percent"] == 100 * (8 + 16) / 4
    assert summary["precision"] == pytest.approx(3 / 27)
    assert summary["recall"] == 0.75
    assert summary["f1"] == pytest.approx(2 * 3 / (2 * 3 + 1 + 24))


@pytest.mark.parametrize(("ignore_empty", "expected"), [(True, 1.0), (False, (1.0 + 0.0 + 1.0) / 3)])
def test_cases_without_label_count_as_the_policy_says(ignore_empty: bool, expected: float) -> None:
    full, empty = torch.ones(1, 4, 4), torch.zeros(1, 4, 4)
    metric = PixelConfusion(ignore_empty=ignore_empty)
    metric.update(([full, full, empty], [full, empty, empty]))
    assert metric.compute() == pytest.approx(expected)
    assert metric.summary()["n_empty"] == 2


def test_false_positive_volume_is_in_cubic_millimeters() -> None:
    one = item(0, "a")
    one["label"] = MetaTensor(torch.zeros_like(one["label"].as_tensor()), affine=one["label"].affine)
    metric = PixelConfusion(threshold=0.0)
    metric.update(([one["pred"]], [one["label"]]))
    assert metric.summary()["false_positive_mm3_in_empty"] == 6 * 7 * 5 * 4.0


def test_unknown_voxel_size_leaves_the_volume_unknown() -> None:
    metric = PixelConfusion()
    metric.update(([case(0)[0]], [case(0)[1]]))
    assert metric.summary()["false_positive_mm3"] is None


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), thresholds=st.lists(st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75]), min_size=1))
def test_counts_at_all_thresholds_equal_thresholding_each(seed: int, thresholds: list[float]) -> None:
    rng = np.random.default_rng(seed)
    probability = rng.integers(0, 9, (5, 6, 4)).astype(np.float32) / 8  # ties with the thresholds on purpose
    label = rng.random((5, 6, 4)) > 0.6
    found, wrong = count_above(probability, label, np.array(thresholds, np.float32))
    assert found.tolist() == [int(((probability > t) & label).sum()) for t in thresholds]
    assert wrong.tolist() == [int(((probability > t) & ~label).sum()) for t in thresholds]


def test_counts_do_not_depend_on_the_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    from medbundles.components.metrics import pixel_confusion

    probability, label = (tensor.numpy() for tensor in case(5))
    whole = count_above(probability, label > 0, np.array([0.3], np.float32))
    monkeypatch.setattr(pixel_confusion, "CHUNK_VOXELS", 17)
    assert count_above(probability, label > 0, np.array([0.3], np.float32)) == whole


def test_batch_and_list_give_the_same_rows_named_after_the_files() -> None:
    items = [item(0, "case a.1"), item(1, "Fall-ü")]
    metric = PixelConfusion()
    metric.update(([one["pred"] for one in items], [one["label"] for one in items]))
    from_list = metric.table()
    metric.reset()
    batch = list_data_collate(items)
    metric.update((batch["pred"], batch["label"]))
    assert metric.table() == from_list
    assert [row["case"] for row in from_list] == ["Fall-ü", "case a.1"]


def test_interval_brackets_the_mean() -> None:
    metric = PixelConfusion()
    for seed in range(10):
        metric.update(([case(seed)[0]], [case(seed)[1]]))
    summary = metric.summary()
    low, high = summary["intervals"]["dice"]
    assert low < summary["dice"] < high


def test_case_handed_to_two_processes_counts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def gather(parts: list[Any], rows: list[Any]) -> None:
        parts[:] = [rows, [PixelRow("b", 1, 0, 0), PixelRow("c", 1, 0, 0)]]

    monkeypatch.setattr(case_metric, "world_size", lambda: 2)
    monkeypatch.setattr(case_metric.dist, "is_initialized", lambda: True)
    monkeypatch.setattr(case_metric.dist, "all_gather_object", gather)
    metric = PixelConfusion()
    metric.update(([item(0, "a")["pred"], item(1, "b")["pred"]], [item(0, "a")["label"], item(1, "b")["label"]]))
    metric.compute()
    assert [row["case"] for row in metric.table()] == ["a", "b", "c"]


def test_chosen_mask_threshold_is_the_best_of_the_grid() -> None:
    metric = PixelConfusion(threshold=0.1)
    cases = [case(seed) for seed in range(3)]
    metric.update(([c[0] for c in cases], [c[1] for c in cases]))
    means = {t: np.mean([PixelConfusionAt(t).of(*c) for c in cases]) for t in metric.grid}
    chosen = choose_thresholds(metric)
    assert means[chosen["mask_threshold"]] == pytest.approx(max(means.values()))
    assert chosen["dice"] == pytest.approx(max(means.values()))


class PixelConfusionAt:
    def __init__(self, threshold: float) -> None:
        self.threshold = np.float32(threshold)

    def of(self, prediction: torch.Tensor, label: torch.Tensor) -> float:
        found, truth = prediction.numpy() > self.threshold, label.numpy() > 0
        return float(2 * (found & truth).sum() / (found.sum() + truth.sum()))


def test_chosen_thresholds_are_plain_data_with_the_lesion_part() -> None:
    pixels, lesions = PixelConfusion(), LesionDetection(false_positive_budget=2.0, candidate_threshold=0.3)
    for metric in (pixels, lesions):
        metric.update(([case(0)[0]], [case(0)[1]]))
    chosen = choose_thresholds(pixels, lesions, criterion="f1")
    assert chosen["candidate_threshold"] == 0.3
    assert chosen["peak_threshold"] >= 0.3
    assert {type(value) for value in chosen.values()} <= {float, int, str}


def test_thresholds_without_labelled_cases_are_refused() -> None:
    metric = PixelConfusion()
    metric.update(([case(0)[0]], [torch.zeros(1, 6, 7, 5)]))
    with pytest.raises(ConfigurationError, match="1 cases, 0 of them with a label"):
        choose_thresholds(metric)


def test_unknown_criterion_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="criterion must be one of"):
        choose_thresholds(PixelConfusion(), criterion="accuracy")  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [-3.0, 1.5])
def test_prediction_that_is_no_probability_is_refused_with_its_case(value: float) -> None:
    one = item(0, "case_7")
    one["pred"][0, 0, 0, 0] = value
    with pytest.raises(ConfigurationError, match="case case_7: the prediction runs from"):
        PixelConfusion().update(([one["pred"]], [one["label"]]))


def test_prediction_with_nan_is_refused_as_diverged_with_its_case() -> None:
    one = item(0, "case_7")
    one["pred"][0, 0, 0, 0] = float("nan")
    with pytest.raises(DataError, match=r"TRN003\] case case_7: the prediction holds NaN"):
        LesionDetection().update(([one["pred"]], [one["label"]]))


def test_training_step_with_a_nan_loss_is_left_to_the_handler_that_names_its_cases() -> None:
    trainer, metric = Engine(lambda _, batch: [{"loss": float("nan"), "pred": batch, "label": batch}]), PixelConfusion()
    metric.attach(trainer, "pixels")
    with pytest.raises(NotComputableError):
        trainer.run([torch.full((1, 4, 4), float("nan"))])
    assert metric.rows == []


def test_label_on_another_grid_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="not on the same grid"):
        PixelConfusion().update(([torch.zeros(1, 4, 4)], [torch.zeros(1, 4, 5)]))


def test_epoch_without_cases_is_not_computable() -> None:
    with pytest.raises(NotComputableError, match="PixelConfusion has seen no case"):
        PixelConfusion().compute()


@pytest.mark.parametrize("arguments", [{"score": "accuracy"}, {"threshold": 1.0}, {"grid": [0.5, -0.1]}])
def test_arguments_out_of_range_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=r"score must be one of|thresholds must lie in"):
        PixelConfusion(**arguments)
