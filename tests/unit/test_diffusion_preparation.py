"""A scan as a network sees it: normalized, on the wanted grid, refused where no tensor can be fitted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from medbundles.components.diffusion.brain_mask import as_brain
from medbundles.components.diffusion.preparation import PreparedScan, prepare_scan, standardized
from medbundles.errors import DataError
from medbundles.io.gradients import GradientTable
from medbundles.samples.head.sites import sphere

pytest.importorskip("dipy", reason="the extra dwi is not installed")

AFFINE = np.diag([-4.0, 4.0, 6.0, 1.0])
SHAPE = (12, 12, 8)
MASK = np.zeros(SHAPE, bool)
MASK[2:10, 2:10, 1:7] = True
TABLE = GradientTable(np.array([0.0, *[1000.0] * 12]), np.vstack([np.zeros(3), sphere(12)]))


def volumes() -> np.ndarray:
    """Isotropic diffusion that changes from place to place, and noise."""
    diffusivity = 0.7 + 0.2 * np.random.default_rng(1).random(SHAPE)
    return varied() * np.exp(-TABLE.b_values / 1000 * diffusivity[..., None])


def varied(shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    """Unweighted signal that changes from place to place, ``(X, Y, Z, 1)``."""
    return 1000 * (1 + np.random.default_rng(0).random((*shape, 1)))


def prepare(channels: tuple[str, ...] = ("mean_b0", "md"), **options: Any) -> PreparedScan:
    given = {"volumes": volumes(), "affine": AFFINE, "table": TABLE, "mask": MASK} | options
    return prepare_scan(channels=channels, **given)


def test_signals_have_mean_0_and_deviation_1_inside_the_mask() -> None:
    scan = prepare(("mean_b0", "mean_dwi", "dwi3"))
    inside = scan.channels[:, scan.mask]
    assert inside.mean(axis=1) == pytest.approx(0, abs=1e-5)
    assert inside.std(axis=1) == pytest.approx(1, abs=1e-5)
    assert not scan.channels[:, ~scan.mask].any()


def test_diffusivities_keep_their_unit() -> None:
    (diffusivity,) = prepare(("md",)).channels
    assert 0.7 < diffusivity[MASK].min() < diffusivity[MASK].max() < 0.9


def test_the_gain_of_the_scanner_does_not_matter() -> None:
    names = ("mean_b0", "dwi1", "fa", "md")
    assert prepare(names).channels == pytest.approx(prepare(names, volumes=volumes() * 7).channels, abs=1e-4)


def test_on_another_grid_a_place_keeps_its_value() -> None:
    wanted = np.diag([4.0, 4.0, 4.0, 1.0])
    wanted[0, 3] = -44.0
    smooth = np.broadcast_to(np.linspace(0.6, 1.2, SHAPE[2]), SHAPE)
    scan = varied() * np.exp(-TABLE.b_values / 1000 * smooth[..., None])
    moved = prepare(("md",), volumes=scan, target=(wanted, (12, 12, 12)))
    assert moved.channels.shape == (1, 12, 12, 12)
    # 12 mm up is the third slice there and the fourth here.
    assert moved.channels[0, 6, 6, 3] == pytest.approx(smooth[0, 0, 2], abs=1e-3)


def test_the_edge_of_the_brain_is_not_darkened_by_what_lies_outside() -> None:
    scan = varied() * np.exp(-TABLE.b_values / 1000 * 0.8)
    moved = prepare(("md",), volumes=scan, target=(np.diag([-2.0, 2.0, 2.0, 1.0]), (24, 24, 24)))
    assert moved.channels[0][moved.mask] == pytest.approx(0.8, abs=1e-3)


def test_without_a_mask_the_brain_is_found() -> None:
    size = (30, 30, 20)
    places = (np.indices(size).transpose(1, 2, 3, 0) - (np.array(size) - 1) / 2) * [4, 4, 6]
    ball = np.linalg.norm(places, axis=-1) < 50
    scan = np.where(ball[..., None], varied(size) * np.exp(-TABLE.b_values / 1000 * 0.8), 5.0)
    found = prepare(("md",), volumes=scan, affine=np.diag([4.0, 4.0, 6.0, 1.0]), mask=None).mask
    assert 2 * (found & ball).sum() / (found.sum() + ball.sum()) > 0.9


def test_voxels_without_signal_are_reported() -> None:
    dark = volumes()
    dark[2:10, 2:10, 1] = 0
    (finding,) = [found for found in prepare(volumes=dark).findings if "no signal" in found.message]
    assert (finding.code, finding.level) == ("DWI008", "warning")
    assert "16.7 %" in finding.message


def emptied(numbers: list[int]) -> np.ndarray:
    """The scan with volumes that an interrupted one is filled up with."""
    scan = volumes()
    scan[..., numbers] = 0
    return scan


@pytest.mark.parametrize("numbers", [[5], [5, 12], [0]])
@pytest.mark.parametrize("mask", [MASK, None])
def test_a_volume_without_signal_is_refused_with_its_number(numbers: list[int], mask: np.ndarray | None) -> None:
    with pytest.raises(DataError, match=rf"DWI008.*volumes {', '.join(map(str, numbers))} .*remove these volumes"):
        prepare(volumes=emptied(numbers), mask=mask)


def test_an_empty_volume_of_another_shell_does_not_matter() -> None:
    table = GradientTable(np.append(TABLE.b_values, 3000.0), np.vstack([TABLE.directions, [[1.0, 0, 0]]]))
    scan = np.concatenate([volumes(), np.zeros((*SHAPE, 1))], axis=-1)
    assert np.array_equal(prepare(volumes=scan, table=table).channels, prepare().channels)


@pytest.mark.parametrize("part", ["dark", "reversed"])
def test_a_scan_most_of_which_cannot_be_is_refused_unless_allowed(part: str) -> None:
    scan = volumes()
    if part == "dark":
        scan[2:7, 2:10, 1:7] = 0
    else:
        scan = scan[..., ::-1]  # the images in another order than their b-values
    (error,) = [found for found in prepare(volumes=scan).findings if found.level == "error"]
    assert (error.code, error.allowable) == ("DWI008", True)
    assert "expected 50 % at most" in error.message


def test_a_scan_whose_weighting_gives_no_tensor_is_refused() -> None:
    with pytest.raises(DataError, match="DWI004"):
        prepare(table=replace(TABLE, b_values=np.full(13, 1000.0), directions=sphere(13)))


def test_an_empty_mask_is_refused() -> None:
    with pytest.raises(DataError, match=r"DWI012.*empty"):
        prepare(mask=np.zeros(SHAPE, bool))


@pytest.mark.parametrize(("affine", "voxels"), [(AFFINE, 1), (np.diag([0.004, 0.004, 0.006, 1.0]), MASK.sum())])
def test_a_mask_too_small_for_a_brain_is_refused_with_its_size(affine: np.ndarray, voxels: int) -> None:
    few = np.zeros(SHAPE, bool)
    few.flat[np.flatnonzero(MASK)[:voxels]] = True
    with pytest.raises(DataError, match=rf"DWI012.* {voxels} voxels of .* ml; expected 20 ml or more"):
        prepare(mask=few, affine=affine)


def test_a_brain_that_is_lost_on_the_networks_grid_is_refused() -> None:
    with pytest.raises(DataError, match=r"DWI012.*no voxel of the brain is left on a grid of 500 x 500 x 500 mm"):
        prepare(target=(np.diag([500.0, 500.0, 500.0, 1.0]), (1, 1, 1)))


@pytest.mark.parametrize(("inside", "edge", "kept"), [(1.0, 0.001, False), (0.9, 0.6, True), (7.0, 0.001, True)])
def test_a_mask_of_shares_is_brain_above_one_half(inside: float, edge: float, kept: bool) -> None:
    mask = np.where(MASK, inside, 0.0).astype(np.float32)
    mask[0, 0, 0] = edge
    brain = as_brain(mask)
    assert brain[0, 0, 0] == kept
    assert np.array_equal(brain[MASK], np.ones(MASK.sum(), bool))


def test_a_mask_of_whole_numbers_is_brain_above_0() -> None:
    assert np.array_equal(as_brain(np.where(MASK, 3, 0).astype(np.uint8)), MASK)


def test_a_mask_with_nan_is_refused_with_its_file() -> None:
    with pytest.raises(DataError, match=r"DWI012.*mask.nii.gz: 1 voxels of the brain mask are NaN"):
        as_brain(np.array([1.0, 0.0, np.nan]), "mask.nii.gz")


def test_a_mask_of_another_size_is_refused_with_both() -> None:
    with pytest.raises(DataError, match=r"DWI012.*\(4, 4, 4\).*\(12, 12, 8\)"):
        prepare(mask=np.ones((4, 4, 4), bool))


def test_a_constant_volume_becomes_zero() -> None:
    assert not standardized(np.full(SHAPE, 7.0), MASK).any()
