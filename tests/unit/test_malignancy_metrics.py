"""What is measured of two classes: each by itself, any of them together, and how well they are told apart."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from monai.data.meta_tensor import MetaTensor

from medbundles.components.handlers.metric_tables import headlines
from medbundles.components.metrics import LesionDetection, MalignancyRoc, NoduleDetection, PixelConfusion, VerdictRow
from medbundles.components.metrics.malignancy_roc import areas
from medbundles.errors import ConfigurationError

SHAPE = (30, 12, 12)
PLACES = (slice(2, 7), slice(12, 17), slice(22, 27))


def boxes(*values: tuple[float, float]) -> MetaTensor:
    """Up to three boxes in a row, each with its values in the channels benign and malignant."""
    tensor = torch.zeros(2, *SHAPE)
    for place, pair in zip(PLACES, values, strict=False):
        tensor[:, place, 3:8, 3:8] = torch.tensor(pair)[:, None, None, None]
    return MetaTensor(tensor, affine=torch.diag(torch.tensor([-0.8, 0.8, 1.0, 1.0], dtype=torch.float64)))


BENIGN, MALIGNANT, UNKNOWN, NOTHING = (1.0, 0.0), (0.0, 1.0), (-1.0, -1.0), (0.0, 0.0)


def measured(metric: Any, prediction: MetaTensor, label: MetaTensor) -> Any:
    metric.update(([prediction], [label]))
    return metric


def test_a_channel_is_measured_by_itself() -> None:
    prediction, label = boxes((0.9, 0.1), (0.8, 0.3)), boxes(BENIGN, MALIGNANT)
    assert measured(LesionDetection(channel=0), prediction, label).compute() == 1.0
    assert measured(LesionDetection(channel=1), prediction, label).compute() == 0.0


def test_any_nodule_is_the_highest_of_all_channels_and_whatever_is_labelled() -> None:
    prediction = boxes((0.9, 0.1), (0.8, 0.3), (0.1, 0.7))
    summary = measured(LesionDetection(), prediction, boxes(BENIGN, MALIGNANT, UNKNOWN)).summary()
    assert (summary["lesions"], summary["sensitivity"], summary["false_positives_per_scan"]) == (3, 1.0, 0.0)


@pytest.mark.parametrize("channel", [0, 1])
def test_what_is_found_at_a_nodule_without_a_verdict_counts_neither_way(channel: int) -> None:
    prediction, label = boxes((0.9, 0.9), (0.9, 0.9)), boxes(UNKNOWN, NOTHING)
    summary = measured(LesionDetection(channel=channel, peak_threshold=0.5), prediction, label).summary()
    assert (summary["lesions"], summary["at_fixed_threshold"]["false_positives_per_scan"]) == (0, 1.0)


def test_pixels_of_a_nodule_without_a_verdict_count_neither_way() -> None:
    prediction, label = boxes((0.9, 0.9), (0.9, 0.9)), boxes(UNKNOWN, BENIGN)
    (row,) = measured(PixelConfusion(channel=0), prediction, label).rows
    assert (row.true_positives, row.false_negatives, row.false_positives) == (125, 0, 0)


def test_annotated_centers_are_found_by_the_highest_of_all_channels() -> None:
    metric = NoduleDetection(threshold=0.5)
    assert measured(metric, boxes((0.9, 0.1), (0.1, 0.8)), boxes(BENIGN, MALIGNANT)).compute() == 1.0


def test_a_malignancy_probability_is_that_of_the_findings() -> None:
    (row,) = measured(MalignancyRoc(), boxes((0.6, 0.2), (0.3, 0.9)), boxes(BENIGN, MALIGNANT)).rows
    assert (row.benign.tolist(), row.malignant.tolist(), row.missed) == (
        [pytest.approx(0.25)], [pytest.approx(0.75)], 0
    )  # fmt: skip


def test_a_missed_nodule_is_counted_and_not_compared() -> None:
    metric = measured(MalignancyRoc(peak_threshold=0.7), boxes((0.6, 0.2), (0.3, 0.9)), boxes(BENIGN, MALIGNANT))
    summary = metric.summary()
    assert (summary["benign_found"], summary["malignant_found"], summary["with_verdict_missed"]) == (0, 1, 1)


def test_a_nodule_without_a_verdict_is_not_compared() -> None:
    (row,) = measured(MalignancyRoc(), boxes((0.6, 0.2)), boxes(UNKNOWN)).rows
    assert len(row.benign) == len(row.malignant) == row.missed == 0


def row(case: str, benign: list[float], malignant: list[float]) -> VerdictRow:
    return VerdictRow(case, np.array(benign), np.array(malignant), 0)


@pytest.mark.parametrize("seed", range(4))
def test_the_area_is_the_share_of_pairs_in_the_right_order(seed: int) -> None:
    generator = np.random.default_rng(seed)
    rows = [row(str(k), *(generator.integers(0, 5, generator.integers(0, 4)) / 4 for _ in "bm")) for k in range(6)]
    benign, malignant = (np.concatenate([getattr(each, kind) for each in rows]) for kind in ("benign", "malignant"))
    pairs = [1.0 if m > b else 0.5 if m == b else 0.0 for b, m in itertools.product(benign, malignant)]
    assert areas(rows, np.ones((1, 6), np.int64))[0] == pytest.approx(np.mean(pairs))


def test_a_scan_that_is_drawn_twice_counts_twice() -> None:
    rows = [row("a", [0.2], [0.1]), row("b", [0.3], [0.9, 0.8])]
    drawn = areas(rows, np.array([[2, 1]]))[0]
    assert drawn == pytest.approx(areas([rows[0], rows[0], rows[1]], np.ones((1, 3), np.int64))[0])


@pytest.mark.parametrize(("benign", "malignant"), [([0.1], []), ([], [0.9]), ([], [])])
def test_the_area_is_undefined_without_both_classes(benign: list[float], malignant: list[float]) -> None:
    assert np.isnan(MalignancyRoc().score([row("a", benign, malignant)]))


def test_the_summary_of_one_class_is_undefined_in_words() -> None:
    summary = measured(MalignancyRoc(), boxes((0.6, 0.2)), boxes(BENIGN)).summary()
    assert (summary["auc"], summary["intervals"]["auc"], summary["n"]) == (None, None, 1)
    assert list(headlines({"malignancy": summary})) == [
        "area under the ROC curve undefined of 0 malignant and 1 benign nodules found"
    ]


def test_the_interval_is_drawn_by_scan() -> None:
    metric = MalignancyRoc()
    for _ in range(3):
        measured(metric, boxes((0.6, 0.2), (0.3, 0.9)), boxes(BENIGN, MALIGNANT))
    assert metric.summary()["intervals"]["auc"] == [1.0, 1.0]


def test_figures_that_several_metrics_have_are_told_apart_by_their_names() -> None:
    names = ["pixels", "benign_dice"]
    metrics = [measured(PixelConfusion(channel=k), boxes((0.9, 0.1)), boxes(BENIGN)) for k in range(2)]
    said = headlines({name: metric.summary() for name, metric in zip(names, metrics, strict=True)})
    assert [line.partition(" dice ")[0] for line in said] == ["pixels:", "benign"]


def test_a_label_of_one_channel_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"found 2 of the prediction and 1 of the label"):
        measured(MalignancyRoc(), boxes((0.6, 0.2)), boxes(BENIGN)[:1])


def test_tensors_that_do_not_know_their_place_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="centers in mm need an affine"):
        measured(MalignancyRoc(), boxes().as_tensor(), boxes().as_tensor())
