"""Regions are measured in millimeters and milliliters, empty ones by stated rules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.multiprocessing
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.data.meta_tensor import MetaTensor
from monai.data.utils import list_data_collate
from monai.engines.evaluator import SupervisedEvaluator

from medbundles.components.metrics import RegionQuality
from medbundles.components.metrics.bootstrap import resampling_weights
from medbundles.components.metrics.surface_distance import hausdorff_95, surface_dice, surface_distances
from medbundles.errors import ConfigurationError, DataError
from medbundles.io.grids import Affine

from .grids import affines

REGIONS = {"WT": [1, 2, 3], "TC": [1, 3], "ET": [3]}
SHAPE = (7, 6, 5)
masks = st.integers(0, 2**32 - 1).map(lambda seed: np.random.default_rng(seed).random(SHAPE) < 0.2)


def image(array: np.ndarray, affine: Affine | None = None, case: str = "case_0") -> MetaTensor:
    grid = torch.eye(4) if affine is None else torch.as_tensor(affine)
    return MetaTensor(torch.as_tensor(np.ascontiguousarray(array)), affine=grid, meta={"case": case})


def measured(prediction: np.ndarray, truth: np.ndarray, affine: Affine | None = None, **options: Any) -> dict[str, Any]:
    """The row of one region given by two masks (H, W, D)."""
    metric = RegionQuality(["lesion"], **options)
    metric.update(([image(prediction[None], affine)], [image(truth[None], affine)]))
    return metric.table()[0]


def box(*corners: tuple[int, int]) -> np.ndarray:
    mask = np.zeros(SHAPE, bool)
    mask[tuple(slice(*corner) for corner in corners)] = True
    return mask


def surface_points(mask: np.ndarray, affine: Affine) -> np.ndarray:
    """Centers of the voxels with a face outside, one voxel at a time."""
    padded = np.pad(mask, 1)
    steps = [sign * step for step in np.eye(3, dtype=int) for sign in (1, -1)]
    edge = [v for v in np.argwhere(mask) if any(not padded[tuple(v + 1 + step)] for step in steps)]
    return np.array(edge) @ affine[:3, :3].T


@given(first=masks, second=masks, affine=affines(sheared=True))
@settings(deadline=None, max_examples=25)
def test_surface_distances_are_those_of_all_pairs_of_points_on_any_grid(
    first: np.ndarray, second: np.ndarray, affine: Affine
) -> None:
    points = [surface_points(mask, affine) for mask in (first, second)]
    every = np.linalg.norm(points[0][:, None] - points[1][None], axis=-1)
    ours = surface_distances(first, second, affine)
    np.testing.assert_allclose(np.sort(ours[0]), np.sort(every.min(1)), atol=1e-9)
    expected = max(np.percentile(every.min(1), 95), np.percentile(every.min(0), 95))
    assert hausdorff_95(*ours) == pytest.approx(expected)


@given(first=masks, second=masks)
@settings(deadline=None, max_examples=15)
def test_hd95_and_surface_dice_are_those_of_monai(first: np.ndarray, second: np.ndarray) -> None:
    from monai.metrics import compute_hausdorff_distance, compute_surface_dice

    spacing = (0.8, 1.0, 3.0)
    pair = [torch.as_tensor(mask)[None, None].float() for mask in (first, second)]
    ours = surface_distances(first, second, np.diag([*spacing, 1.0]))
    theirs = compute_hausdorff_distance(*pair, include_background=True, percentile=95, spacing=spacing)
    assert hausdorff_95(*ours) == pytest.approx(float(theirs), abs=1e-4)
    near = compute_surface_dice(*pair, [1.01], include_background=True, spacing=spacing)
    assert surface_dice(*ours, 1.01) == pytest.approx(float(near), abs=1e-6)


def test_overlap_is_counted_in_voxels_and_volumes_in_milliliters() -> None:
    row = measured(box((0, 4), (0, 2), (0, 2)), box((2, 6), (0, 2), (0, 2)), np.diag([2.0, 5.0, 10.0, 1.0]))
    assert (row["dice"], row["sensitivity"], row["precision"]) == (0.5, 0.5, 0.5)
    assert (row["truth_ml"], row["predicted_ml"], row["false_positive_ml"]) == pytest.approx((1.6, 1.6, 0.8))


def test_a_shift_by_a_thick_slice_is_as_far_as_the_slice_is_thick() -> None:
    row = measured(box((1, 5), (1, 5), (1, 2)), box((1, 5), (1, 5), (2, 3)), np.diag([1.0, 1.0, 5.0, 1.0]))
    assert (row["hd95_mm"], row["surface_dice"]) == (5.0, 0.0)


def test_a_flipped_grid_changes_nothing() -> None:
    first, second = (np.random.default_rng(seed).random(SHAPE) < 0.3 for seed in (0, 1))
    affine = np.diag([1.0, 2.0, 3.0, 1.0])
    mirrored = affine @ np.diag([-1.0, 1.0, 1.0, 1.0])
    assert measured(first, second, affine) == pytest.approx(measured(first[::-1], second[::-1], mirrored))


@pytest.mark.parametrize(
    ("predicted", "real", "expected"),
    [
        (False, False, {"dice": 1.0, "hd95_mm": 0.0, "surface_dice": 1.0, "sensitivity": None, "precision": None}),
        (True, False, {"dice": 0.0, "hd95_mm": 374.0, "surface_dice": 0.0, "sensitivity": None, "precision": 0.0}),
        (False, True, {"dice": 0.0, "hd95_mm": 374.0, "surface_dice": 0.0, "sensitivity": 0.0, "precision": None}),
    ],
    ids=["both empty", "nothing there", "all missed"],
)
def test_empty_regions_have_the_values_of_the_challenge(predicted: bool, real: bool, expected: dict[str, Any]) -> None:
    full, empty = box((1, 3), (1, 3), (1, 3)), np.zeros(SHAPE, bool)
    row = measured(full if predicted else empty, full if real else empty)
    assert {name: row[name] for name in expected} == expected


def test_label_maps_and_probabilities_are_compared_region_by_region() -> None:
    label = np.zeros((1, *SHAPE), np.uint8)
    label[0, 1:4], label[0, 2, 2], label[0, 2, 3] = 2, 1, 3
    truth = np.stack([label[0] > 0, np.isin(label[0], (1, 3)), label[0] == 3])
    metric = RegionQuality(REGIONS)
    metric.update(([image(truth * 0.6)], [image(label)]))
    assert [(row["region"], row["dice"]) for row in metric.table()] == [("WT", 1.0), ("TC", 1.0), ("ET", 1.0)]
    metric.update(([image(truth * 0.4)], [image(truth, case="case_1")]))
    assert [row["dice"] for row in metric.table() if row["case"] == "case_1"] == [0.0, 0.0, 0.0]


def evaluated(count: int = 4) -> RegionQuality:
    """Cases of which the first has no ET and gets none, and the second has none and gets one."""
    metric = RegionQuality(REGIONS, surface=False)
    for number in range(count):
        truth = np.zeros((3, *SHAPE), np.uint8)
        truth[0, 1:5, 1:5, 1:4] = truth[1, 1:3, 1:3, 1:3] = 1
        predicted = truth.copy()
        predicted[0, 1, 1, : number + 1] = 0
        truth[2, 1, 1, 1] = number > 1
        predicted[2, 2, 2, 2] = number == 1
        metric.update(([image(predicted)], [image(truth, case=f"case_{number}")]))
    return metric


def test_the_score_is_the_mean_dice_over_cases_and_regions() -> None:
    metric = evaluated()
    assert metric.compute() == pytest.approx(np.mean([row["dice"] for row in metric.table()]))


def test_the_summary_tells_of_each_region_with_intervals_and_counts_the_empty() -> None:
    metric = evaluated()
    summary = metric.summary()
    enhancing = summary["regions"]["ET"]
    assert {key: enhancing[key] for key in ("n", "n_empty", "n_both_empty", "n_missed")} == {
        "n": 4,
        "n_empty": 2,
        "n_both_empty": 1,
        "n_missed": 2,
    }
    dice = np.array([row["dice"] for row in metric.table() if row["region"] == "WT"])
    resampled = resampling_weights(4) @ dice / 4
    assert summary["regions"]["WT"]["intervals"]["dice"] == pytest.approx(list(np.quantile(resampled, [0.025, 0.975])))
    assert summary["n"] == 4
    assert summary["regions"]["WT"]["hd95_mm"] is None  # not measured: surface is False


def batches() -> list[dict[str, Any]]:
    made = []
    for number in range(3):
        label = torch.zeros(1, 8, 8, 8)
        label[..., 2:6, 2:6, 2:5] = 2
        label[..., 3:5, 3:5, 3] = 3 if number else 1
        item = {key: MetaTensor(label.clone(), meta={"case": f"case_{number}"}) for key in ("image", "label")}
        made.append(list_data_collate([item]))
    return made


class Threefold(torch.nn.Module):
    """Takes a label map for its own regions, as probabilities."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return torch.cat([(image > 0).float(), (image > 2).float(), (image > 2).float()], dim=1)


def evaluator(metric: RegionQuality, data: list[dict[str, Any]]) -> SupervisedEvaluator:
    return SupervisedEvaluator(
        device=torch.device("cpu"), val_data_loader=data, network=Threefold(), key_val_metric={"dice": metric}
    )


def test_an_evaluator_knows_the_score_of_each_region() -> None:
    engine = evaluator(RegionQuality(REGIONS), batches())
    engine.run()
    found = engine.state.metrics
    assert found["WT_dice"] == 1.0
    assert found["TC_dice"] == pytest.approx(2 / 3)
    assert found["dice"] == pytest.approx((1 + 2 / 3 + 1) / 3)


def worker(rank: int, folder: str) -> None:
    torch.distributed.init_process_group("gloo", f"file://{folder}/store", rank=rank, world_size=2)
    metric = RegionQuality(REGIONS)
    evaluator(metric, batches()[rank::2] + batches()[:1] * rank).run()  # a sampler hands case_0 out twice
    if rank == 0:
        Path(folder, "table.txt").write_text("\n".join(f"{row['case']} {row['region']}" for row in metric.table()))
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_processes_have_the_rows_of_all_cases_once(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(worker, (str(tmp_path),), nprocs=2)
    rows = (tmp_path / "table.txt").read_text().splitlines()
    assert rows == [f"case_{number} {region}" for number in range(3) for region in REGIONS]


@pytest.mark.parametrize(
    ("channels", "label_shape", "said"),
    [(2, (1, *SHAPE), "with 3 channel"), (3, (1, 7, 6, 4), "on one grid"), (3, (2, *SHAPE), "label has 2 channel")],
)
def test_tensors_that_do_not_fit_the_regions_are_refused(
    channels: int, label_shape: tuple[int, ...], said: str
) -> None:
    with pytest.raises(ConfigurationError, match=said):
        RegionQuality(REGIONS).update(([torch.zeros(channels, *SHAPE)], [torch.zeros(label_shape)]))


def test_a_prediction_of_nan_is_refused_with_its_case() -> None:
    with pytest.raises(DataError, match=r"TRN003.*case_0"):
        measured(np.full(SHAPE, np.nan), np.zeros(SHAPE))


def test_without_an_affine_nothing_is_said_in_millimeters() -> None:
    metric = RegionQuality(["lesion"])
    full = torch.ones(1, *SHAPE)
    metric.update(([full], [full]))
    row = metric.table()[0]
    assert (row["dice"], row["hd95_mm"], row["truth_ml"]) == (1.0, None, None)


@pytest.mark.parametrize(("regions", "tolerance"), [({}, 1.0), (REGIONS, -1.0)])
def test_settings_without_meaning_are_refused(regions: dict[str, list[int]], tolerance: float) -> None:
    with pytest.raises(ConfigurationError):
        RegionQuality(regions, tolerance_mm=tolerance)


def test_a_label_of_one_channel_is_a_label_map_even_where_there_is_one_region() -> None:
    label = np.zeros((1, *SHAPE), np.uint8)
    label[0, 1:4], label[0, 2] = 2, 3
    metric = RegionQuality({"ET": [3]})
    metric.update(([image(label == 3)], [image(label)]))
    assert metric.compute() == 1.0
