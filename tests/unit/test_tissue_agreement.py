"""The tissues of a synthetic T1w are compared with those of the real one, found the same way."""

from __future__ import annotations

import importlib.util
import warnings

import numpy as np
import pytest
import torch
from scipy.spatial.distance import dice as scipy_dice_distance

from medbundles.components.handlers.metric_tables import headlines
from medbundles.components.metrics import TissueAgreement
from medbundles.components.metrics.tissue_agreement import classify_tissues
from medbundles.errors import ConfigurationError, EnvironmentFailure

pytest.importorskip("dipy", reason="the extra dwi is not installed")

# Means of fluid, gray and white matter of a z-scored T1w.
MEANS = np.array([0.0, -1.6, 0.0, 1.0])


def head(seed: int = 0, noise: float = 0.15, edge: int = 22) -> tuple[np.ndarray, np.ndarray]:
    """A T1w of white matter in gray matter in fluid, all balls, and the tissues it is made of (0 outside)."""
    places = np.moveaxis(np.indices((edge,) * 3), 0, -1) - (edge - 1) / 2
    radius = np.linalg.norm(places, axis=-1) / (edge / 2)
    tissues = np.select([radius < 0.6, radius < 0.8, radius < 0.95], [3, 2, 1], 0)
    return MEANS[tissues] + np.random.default_rng(seed).normal(0, noise, tissues.shape), tissues


def tensors(*arrays: np.ndarray) -> tuple[list[torch.Tensor], ...]:
    return tuple([torch.as_tensor(np.asarray(array, dtype=np.float32))[None]] for array in arrays)


def agreement(synthetic: np.ndarray, real: np.ndarray, mask: np.ndarray) -> dict[str, float | None]:
    metric = TissueAgreement()
    metric.update(tensors(synthetic, real, mask))
    return {key: value for key, value in metric.table()[0].items() if key != "case"}


def test_tissues_are_told_apart_from_dark_to_bright() -> None:
    volume, tissues = head()
    found = classify_tissues(volume, tissues > 0)
    assert (found == tissues)[tissues > 0].mean() > 0.98
    assert not found[tissues == 0].any()


def test_the_same_head_scanned_twice_agrees() -> None:
    (first, tissues), (second, _) = head(0), head(1)
    assert min(agreement(first, second, tissues > 0).values()) > 0.95


def test_brightness_and_contrast_do_not_matter() -> None:
    volume, tissues = head()
    assert set(agreement(40.0 * volume + 300.0, volume, tissues > 0).values()) == {1.0}


def test_dice_of_each_tissue_equals_scipy_s() -> None:
    (first, tissues), (second, _) = head(0, noise=0.5), head(1, noise=0.5)
    mask = tissues > 0
    found = [classify_tissues(np.float32(volume), mask)[mask] for volume in (first, second)]
    row = agreement(first, second, mask)
    for number, name in enumerate(("csf_dice", "gm_dice", "wm_dice"), start=1):
        assert row[name] == pytest.approx(1 - scipy_dice_distance(found[0] == number, found[1] == number), abs=2e-3)
    assert row["tissue_dice"] == pytest.approx(np.mean([row["csf_dice"], row["gm_dice"], row["wm_dice"]]))


def test_an_inverted_contrast_is_no_agreement() -> None:
    volume, tissues = head()
    row = agreement(-volume, volume, tissues > 0)
    assert row["csf_dice"] == row["wm_dice"] == 0.0


def test_the_same_volume_always_has_the_same_tissues() -> None:
    volume, tissues = head(noise=0.4)
    first, second = (classify_tissues(volume, tissues > 0) for _ in range(2))
    assert np.array_equal(first, second)


def test_a_larger_field_of_view_changes_nothing() -> None:
    (first, tissues), (second, _) = head(0, noise=0.4), head(1, noise=0.4)
    arrays = (first, second, tissues > 0)
    assert agreement(*(np.pad(array, (2, 5)) for array in arrays)) == agreement(*arrays)


@pytest.mark.parametrize("levels", [1, 2])
def test_a_synthetic_volume_without_three_tissues_does_not_agree(levels: int) -> None:
    volume, tissues = head()
    flat = np.minimum(tissues, levels).astype(float)
    assert set(agreement(flat, volume, tissues > 0).values()) == {0.0}


def test_a_real_volume_without_tissues_leaves_the_agreement_undefined() -> None:
    volume, tissues = head()
    metric = TissueAgreement()
    metric.update(tensors(volume, 0.0 * volume, tissues > 0))
    metric.update(tensors(volume, volume, tissues > 0))
    assert metric.summary()["undefined"]["tissue_dice"] == 1
    assert metric.compute() == 1.0


def test_a_single_voxel_has_no_tissues() -> None:
    mask = np.zeros((5, 5, 5), bool)
    mask[2, 2, 2] = True
    assert not classify_tissues(np.ones((5, 5, 5)), mask).any()


def test_nothing_is_printed_and_nothing_warned_of(capfd: pytest.CaptureFixture[str]) -> None:
    volume, tissues = head()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        agreement(volume, volume, tissues > 0)
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""


def test_the_summary_says_how_tissues_were_told_apart_and_the_headline_its_mean() -> None:
    volume, tissues = head()
    metric = TissueAgreement(beta=0.2, tolerance=1e-3)
    metric.update(tensors(volume, volume, tissues > 0))
    summary = metric.summary()
    assert (summary["beta"], summary["tolerance"], summary["n"]) == (0.2, 1e-3, 1)
    assert list(headlines({"tissues": summary})) == ["tissue dice 1.00"]


@pytest.mark.parametrize("options", [{"beta": -0.1}, {"tolerance": 0.0}], ids=["beta", "tolerance"])
def test_arguments_out_of_their_range_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError, match="beta must be at least 0 and tolerance above 0"):
        TissueAgreement(**options)


def test_without_dipy_it_says_so_before_anything_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(EnvironmentFailure, match=r"medbundles\[dwi\]"):
        TissueAgreement()
