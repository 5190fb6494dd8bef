"""Lesions are joined, matched and averaged as in the BraTS challenge of 2023."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.data.meta_tensor import MetaTensor
from scipy import ndimage

from medbundles.components.lesion_components import LesionComponents, dilated
from medbundles.components.metrics import LesionWise
from medbundles.components.metrics.surface_distance import hausdorff_95, surface_distances
from medbundles.errors import ConfigurationError

SHAPE = (30, 24, 20)
# The interpreter of an environment that has panoptica (CONTRIBUTING.md says how to make it).
PANOPTICA = "MEDBUNDLES_PANOPTICA_PYTHON"
EIGHTEEN = ndimage.generate_binary_structure(3, 2)


def boxes(*places: tuple[int, int, int], edge: int = 4) -> np.ndarray:
    """Cubes of 64 voxels that begin at these places."""
    mask = np.zeros(SHAPE, bool)
    for place in places:
        mask[tuple(slice(start, start + edge) for start in place)] = True
    return mask


def measured(prediction: np.ndarray, truth: np.ndarray, affine: Any = None, **options: Any) -> LesionWise:
    metric = LesionWise(["lesion"], **options)
    grid = torch.eye(4) if affine is None else torch.as_tensor(affine)
    metric.update(tuple([MetaTensor(torch.as_tensor(mask[None].copy()), affine=grid)] for mask in (prediction, truth)))
    return metric


def row_of(*arguments: Any, **options: Any) -> dict[str, Any]:
    return measured(*arguments, **options).table()[0]


@given(seed=st.integers(0, 2**32 - 1), times=st.integers(0, 3))
@settings(deadline=None, max_examples=15)
def test_dilation_is_that_of_scipy_with_eighteen_neighbors(seed: int, times: int) -> None:
    mask = np.random.default_rng(seed).random((9, 8, 7)) < 0.05
    expected = ndimage.binary_dilation(mask, EIGHTEEN, iterations=times) if times else mask
    np.testing.assert_array_equal(dilated(mask, times), expected)


def by_hand(prediction: np.ndarray, truth: np.ndarray, times: int, smallest: int) -> tuple[float, float]:
    """The challenge's rules, one lesion after the other, with masks of the whole volume."""
    cube = np.ones((3, 3, 3))
    zones, _ = ndimage.label(ndimage.binary_dilation(truth, EIGHTEEN, iterations=times), cube)
    components, count = ndimage.label(prediction, cube)
    matched: set[int] = set()
    dice, distance = [], []
    for number in range(1, zones.max() + 1):
        lesion = truth & (zones == number)
        own = set(np.unique(components[ndimage.binary_dilation(lesion, EIGHTEEN, iterations=times)])) - {0}
        matched |= own
        if lesion.sum() > smallest:
            joined = np.isin(components, list(own))
            dice.append(2 * (joined & lesion).sum() / (joined.sum() + lesion.sum()))
            distance.append(hausdorff_95(*surface_distances(joined, lesion, np.eye(4))) if own else 374.0)
    wrong = count - len(matched)
    scored = len(dice) + wrong
    return (sum(dice) / scored, (sum(distance) + 374.0 * wrong) / scored) if scored else (1.0, 0.0)


def blobs(seed: int, count: int, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    generator = np.random.default_rng(seed)
    places = np.moveaxis(np.indices(shape), 0, -1)
    mask = np.zeros(shape, bool)
    for _ in range(count):
        radius, center = generator.uniform(1.0, 4.0), generator.uniform(0, shape)
        mask |= np.linalg.norm(places - center, axis=-1) < radius
    return mask


@given(seed=st.integers(0, 10_000), lesions=st.integers(0, 4), found=st.integers(0, 4), smallest=st.integers(0, 60))
@settings(deadline=None, max_examples=15)
def test_figures_are_those_of_the_rules_taken_one_lesion_at_a_time(
    seed: int, lesions: int, found: int, smallest: int
) -> None:
    truth = blobs(seed, lesions)
    prediction = np.roll(truth, 1, 0) & (blobs(seed + 1, 6) | (seed % 2 == 0)) | blobs(seed + 2, found)
    row = row_of(prediction, truth, dilations=2, smallest_lesion_voxels=smallest)
    expected = by_hand(prediction, truth, 2, smallest)
    assert (row["lesion_dice"], row["lesion_hd95_mm"]) == pytest.approx(expected)


def test_parts_that_touch_when_dilated_are_one_lesion() -> None:
    near, far = boxes((2, 2, 2), (10, 2, 2)), boxes((2, 2, 2), (13, 2, 2))
    assert row_of(near, near)["lesions"] == 1
    assert row_of(far, far)["lesions"] == 2


def test_pieces_in_a_lesions_surroundings_are_scored_together() -> None:
    truth = boxes((4, 4, 4))
    pieces = truth.copy()
    pieces[5] = False
    pieces[10, 4, 4] = True
    row = row_of(pieces, truth)
    assert row["lesion_dice"] == pytest.approx(2 * 48 / (64 + 49))
    assert row["false_positive_components"] == 0


def test_a_missed_lesion_and_a_false_positive_have_the_challenges_penalty() -> None:
    row = row_of(boxes((2, 2, 2), (24, 18, 14)), boxes((2, 2, 2), (14, 2, 2)))
    assert (row["lesions"], row["lesions_found"], row["false_positive_components"]) == (2, 1, 1)
    assert row["lesion_dice"] == pytest.approx(1 / 3)
    assert row["lesion_hd95_mm"] == pytest.approx(2 * 374 / 3)


def test_a_small_lesion_counts_neither_found_nor_missed() -> None:
    small = boxes((2, 2, 2), edge=3)
    assert row_of(small, small)["small_lesions"] == 1
    for prediction in (small, np.zeros(SHAPE, bool)):
        assert row_of(prediction, small)["lesion_dice"] == 1.0
    assert row_of(small, small, smallest_lesion_voxels=26)["lesions"] == 1


def test_false_positives_may_be_too_small_to_count() -> None:
    nothing, speck = np.zeros(SHAPE, bool), boxes((2, 2, 2), edge=2)
    assert row_of(speck, nothing)["lesion_dice"] == 0.0
    assert row_of(speck, nothing, smallest_component_voxels=8)["lesion_dice"] == 1.0


def test_distances_are_millimeters_of_the_grid() -> None:
    row = row_of(boxes((4, 4, 5)), boxes((4, 4, 4)), np.diag([1.0, -1.0, 2.5, 1.0]))
    assert row["lesion_hd95_mm"] == 2.5


def test_each_lesion_has_a_row_of_its_own() -> None:
    table = measured(boxes((2, 2, 2)), boxes((2, 2, 2), (20, 2, 2))).lesion_table()
    assert [(row["lesion"], row["dice"], row["hd95_mm"]) for row in table] == [(1, 1.0, 0.0), (2, 0.0, 374.0)]


def test_the_summary_states_the_rules() -> None:
    summary = measured(boxes((2, 2, 2)), boxes((2, 2, 2))).summary()
    assert summary["lesion_dice"] == 1.0
    assert summary["regions"]["lesion"]["lesions_found"] == 1.0
    assert {key: summary[key] for key in ("dilations", "smallest_lesion_voxels", "smallest_component_voxels")} == {
        "dilations": 3,
        "smallest_lesion_voxels": 50,
        "smallest_component_voxels": 0,
    }


def test_without_distances_nothing_is_said_of_them() -> None:
    assert row_of(boxes((2, 2, 2)), boxes((2, 2, 2)), surface=False)["lesion_hd95_mm"] is None


@pytest.mark.parametrize("key", ["dilations", "smallest_lesion_voxels", "smallest_component_voxels"])
def test_a_number_below_zero_is_refused_by_its_name(key: str) -> None:
    with pytest.raises(ConfigurationError, match=key):
        LesionWise(["lesion"], **{key: -1})


@pytest.mark.parametrize("seed", range(3))
def test_left_out_components_take_their_share_with_them(seed: int) -> None:
    truth, prediction = blobs(seed, 3), blobs(seed, 3) | blobs(seed + 9, 4)
    found = LesionComponents.of(prediction, truth, 2)
    kept = found.component_voxels > 20
    fewer = np.isin(found.components, np.flatnonzero(kept) + 1)
    np.testing.assert_allclose(found.dice(kept), LesionComponents.of(fewer, truth, 2).dice())


SCRIPT = """
import json, sys
import numpy as np
from panoptica import InputType, Panoptica_Evaluator
from panoptica import ConnectedComponentsInstanceApproximator, NaiveThresholdMatching
evaluator = Panoptica_Evaluator(
    expected_input=InputType.SEMANTIC,
    instance_approximator=ConnectedComponentsInstanceApproximator(),
    instance_matcher=NaiveThresholdMatching(matching_threshold=1e-6),
)
results = []
with np.load(sys.argv[1]) as pairs:
    for number in range(len(pairs.files) // 2):
        found = evaluator.evaluate(pairs[f"prediction_{number}"], pairs[f"truth_{number}"], verbose=False)
        result = found["ungrouped"]
        results.append({"tp": int(result.tp), "fp": int(result.fp), "fn": int(result.fn),
                        "dice": float(result.sq_dsc) if result.tp else None})
print("RESULT" + json.dumps(results))
"""


def disjoint_lesions(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Cubes in cells of a grid, each found off by a voxel, missed or false: no component meets two lesions."""
    generator = np.random.default_rng(seed)
    truth, prediction = np.zeros((2, 48, 48, 48), np.uint8)
    for cell in np.ndindex(4, 4, 4):
        kind, edge = generator.integers(0, 8), generator.integers(3, 7)
        start = np.array(cell) * 12 + 2
        if kind in (0, 1, 2):
            truth[tuple(slice(low, low + edge) for low in start)] = 1
        if kind in (1, 2, 3):
            shift = generator.integers(0, 2, 3)
            prediction[tuple(slice(low, low + edge) for low in start + shift)] = 1
    return prediction, truth


@pytest.mark.slow
def test_matched_dice_is_that_of_panoptica(tmp_path: Path) -> None:
    python = os.environ.get(PANOPTICA)
    if not python or not Path(python).is_file():
        pytest.skip(f"{PANOPTICA} names no interpreter that has panoptica")
    pairs = [disjoint_lesions(seed) for seed in range(4)]
    arrays = {f"prediction_{number}": pair[0] for number, pair in enumerate(pairs)}
    np.savez(tmp_path / "pairs.npz", **arrays, **{f"truth_{number}": pair[1] for number, pair in enumerate(pairs)})
    (tmp_path / "oracle.py").write_text(SCRIPT)
    told = subprocess.run(
        [python, str(tmp_path / "oracle.py"), str(tmp_path / "pairs.npz")], capture_output=True, text=True, check=True
    )
    theirs = json.loads(told.stdout.split("RESULT")[1])
    for (prediction, truth), expected in zip(pairs, theirs, strict=True):
        metric = measured(prediction > 0, truth > 0, dilations=0, smallest_lesion_voxels=0)
        row = metric.table()[0]
        assert row["lesions_found"] == expected["tp"]
        assert row["lesions"] - row["lesions_found"] == expected["fn"]
        assert row["false_positive_components"] == expected["fp"]
        matched = [lesion["dice"] for lesion in metric.lesion_table() if lesion["components"]]
        assert np.mean(matched) == pytest.approx(expected["dice"], abs=1e-6)
