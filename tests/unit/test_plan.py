"""What is chosen for a data set, from its fingerprint alone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medbundles.errors import DataError
from medbundles.io.images import Volume
from medbundles.io.plan import read_plan
from medbundles.prepare._task_case import describe_case
from medbundles.prepare.plan import (
    PATCH_VOXELS,
    ROI_VOXELS,
    choose_mirroring,
    choose_normalization,
    choose_patch,
    choose_spacing,
    label_names,
    make_plan,
)

LABELS = {"background": (0,), "organ": (1,)}


def entry(
    spacing: Sequence[float] = (1, 1, 1),
    shape: Sequence[int] = (100, 100, 100),
    box: Sequence[int] = (20, 20, 20),
    mean: float = 50.0,
    std: float = 10.0,
    count: int = 100,
) -> dict[str, Any]:
    return {
        "ras_shape": list(shape),
        "ras_spacing_mm": list(spacing),
        "box_voxels": list(box),
        "intensities": {"CT": {"count": count, "mean": mean, "std": std}},
    }


def cases(*entries: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {f"case_{number}": each for number, each in enumerate(entries)}


def test_the_same_cases_in_another_order_give_the_same_plan() -> None:
    many = cases(*(entry(spacing=(0.5 + number / 10, 1, 2), mean=number) for number in range(7)))
    plan = make_plan("Organ", ["CT"], LABELS, many)
    assert json.dumps(plan) == json.dumps(make_plan("Organ", ["CT"], LABELS, dict(reversed(many.items()))))


def test_every_choice_has_its_reason() -> None:
    plan = make_plan("Organ", ["CT"], LABELS, cases(entry()))
    assert set(plan["reasons"]) == {"normalization", "spacing_mm", "patch_size", "mirror_axes", "roi"}
    assert set(plan["reasons"]) <= set(plan)


def test_voxels_have_the_median_size() -> None:
    spacing, _ = choose_spacing([entry(spacing=(edge, 1, 1)) for edge in (0.5, 0.8, 2.5)])
    assert spacing == [0.8, 1.0, 1.0]


def test_thick_slices_are_brought_to_those_of_the_finer_cases() -> None:
    spacing, reason = choose_spacing([entry(spacing=(1, 1, edge)) for edge in np.linspace(3, 7, 41)])
    assert spacing == [1.0, 1.0, 3.4]
    assert "10th percentile" in reason


def test_the_long_edge_does_not_become_shorter_than_the_others() -> None:
    spacing, _ = choose_spacing([entry(spacing=(1, 1, edge)) for edge in (0.5, 0.5, 4, 4, 4, 4)])
    assert spacing == [1.0, 1.0, 1.0]


def test_the_window_of_a_ct_is_three_deviations_around_what_is_labeled() -> None:
    chosen, reason = choose_normalization("CT", [entry(mean=0.0, std=0.0), entry(mean=100.0, std=0.0)])
    assert chosen == {"kind": "CT", "window_hu": [-100, 200]}  # 50 and a deviation of 50
    assert "50 HU" in reason


def test_larger_objects_count_more_in_the_window() -> None:
    chosen, _ = choose_normalization("CT", [entry(mean=0, std=10, count=1), entry(mean=100, std=10, count=10**9)])
    assert chosen["window_hu"] == [70, 130]


@pytest.mark.parametrize(
    ("name", "kind"), [("CT", "CT"), ("ct", "CT"), ("CT portal", "CT"), ("T1ct", "MR"), ("ADC", "MR")]
)
def test_hounsfield_units_are_told_by_the_channel_s_name(name: str, kind: str) -> None:
    of = entry() | {"intensities": {name: {"count": 1, "mean": 1.0, "std": 1.0}}}
    assert choose_normalization(name, [of])[0]["kind"] == kind


def test_a_small_object_is_looked_for_first() -> None:
    plan = make_plan("Organ", ["CT"], LABELS, cases(entry(shape=(300, 300, 200), box=(40, 50, 30))))
    assert plan["roi"]["use"]
    assert plan["patch_size"] == [56, 72, 48]  # 1.4 times the box, in steps of 8


def test_an_object_that_fills_its_image_is_not() -> None:
    plan = make_plan("Organ", ["CT"], LABELS, cases(entry(shape=(36, 50, 34), box=(24, 40, 22))))
    assert not plan["roi"]["use"]
    assert plan["patch_size"] == [40, 56, 40]


def test_whole_images_are_looked_at_coarsely_enough() -> None:
    shape, spacing = (512, 512, 300), (0.8, 0.8, 1.0)
    plan = make_plan("Organ", ["CT"], LABELS, cases(entry(shape=shape, spacing=spacing)))
    edge = plan["roi"]["spacing_mm"]
    assert np.prod([size * step / edge for size, step in zip(shape, spacing, strict=True)]) <= ROI_VOXELS


def test_a_patch_stays_within_what_memory_takes() -> None:
    patch, reason = choose_patch(np.array([400.0, 300.0, 90.0]), (1, 1, 1))
    assert np.prod(patch) <= PATCH_VOXELS
    assert "windows slide" in reason


def test_a_case_without_anything_labeled_does_not_count_for_boxes() -> None:
    plan = make_plan("Organ", ["CT"], LABELS, cases(entry(), entry(box=(0, 0, 0))))
    assert plan == make_plan("Organ", ["CT"], LABELS, cases(entry(), entry())) | {}


@pytest.mark.parametrize("name", ["left kidney", "kidney_right", "L", "Hippocampus R"])
def test_labels_with_sides_are_never_mirrored(name: str) -> None:
    assert choose_mirroring(["spleen", name])[0] == []


@pytest.mark.parametrize("name", ["liver", "bright spot", "cleft", "Anterior"])
def test_labels_without_sides_are_mirrored_left_to_right(name: str) -> None:
    assert choose_mirroring([name])[0] == [0]


def test_regions_of_several_values_do_not_hide_the_values_own_names() -> None:
    assert label_names({"background": (0,), "whole": (1, 2), "core": (2,)}) == {"1": "1", "2": "core"}


def test_a_case_is_described_along_anatomical_axes() -> None:
    affine = np.array([[0, 0, 3.0, 0], [-1.0, 0, 0, 0], [0, 2.0, 0, 0], [0, 0, 0, 1]])  # files axes: P, S, R
    label = np.zeros((10, 12, 14), np.uint8)
    label[2:4, 3:6, 5:9] = 1
    found = describe_case([Volume(np.ones(label.shape), affine)], label, ("CT",))
    assert found["ras_shape"] == [14, 10, 12]
    assert found["ras_spacing_mm"] == [3.0, 1.0, 2.0]
    assert found["box_voxels"] == [4, 2, 3]
    assert found["label_ml"] == {"1": 24 * 6 / 1000}


@pytest.mark.parametrize(("content", "said"), [("{", "not JSON"), ("[]", "format 1"), ('{"format": 2}', "format 1")])
def test_a_damaged_plan_is_refused(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "plan.json").write_text(content)
    with pytest.raises(DataError, match=f"TRN007.*{said}"):
        read_plan(tmp_path)


def test_a_folder_without_a_plan_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"TRN011.*no plan\.json"):
        read_plan(tmp_path)
