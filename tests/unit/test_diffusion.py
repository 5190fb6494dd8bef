"""Tensors of known diffusion, in the world's axes, and the channels made from them."""

from __future__ import annotations

import numpy as np
import pytest

from medbundles.checks.gradients import Weighting
from medbundles.components.diffusion import (
    CHANNELS,
    SYNTHESIZED_DIRECTIONS,
    DiffusionMaps,
    compute_channels,
    fit_tensor,
)
from medbundles.components.diffusion.channels import flip_left_right, parse_channels
from medbundles.components.diffusion.tensor import Floats, world_directions
from medbundles.errors import ConfigurationError
from medbundles.io.diffusion_channels import DEFAULT
from medbundles.io.gradients import GradientTable

pytest.importorskip("dipy", reason="the extra dwi is not installed")

# Fiber along the patient's left-right axis, tilted; eigenvalues of white matter in um2/ms.
VALUES = np.array([1.7, 0.4, 0.2])
ANGLE = np.deg2rad(25)
VECTORS = np.array([[np.cos(ANGLE), -np.sin(ANGLE), 0], [np.sin(ANGLE), np.cos(ANGLE), 0], [0, 0, 1]])
TENSOR = VECTORS @ np.diag(VALUES) @ VECTORS.T
RAS = np.diag([2.0, 2.0, 2.0, 1.0])
LAS = np.diag([-2.0, 2.0, 2.0, 1.0])
PIR = np.array([[0, 0, 2.0, 0], [-2.0, 0, 0, 0], [0, -2.0, 0, 0], [0, 0, 0, 1]])
COSINE, SINE = np.cos(np.deg2rad(20)), np.sin(np.deg2rad(20))
OBLIQUE = np.eye(4)
OBLIQUE[:3, :3] = np.array([[COSINE, 0, SINE], [0, 1, 0], [-SINE, 0, COSINE]]) @ np.diag([-1.5, 2.0, 2.5])


def fsl_directions(world: Floats, affine: Floats) -> Floats:
    """The inverse of what is tested: what dcm2niix would write into the .bvec file."""
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    return (world @ axes) * [-1.0 if np.linalg.det(axes) > 0 else 1.0, 1.0, 1.0]


def sphere(count: int = 24) -> Floats:
    """Directions all around."""
    index = np.arange(count) + 0.5
    polar, azimuth = np.arccos(1 - 2 * index / count), np.pi * (1 + 5**0.5) * index
    return np.stack([np.cos(azimuth) * np.sin(polar), np.sin(azimuth) * np.sin(polar), np.cos(polar)], axis=1)


def scan(affine: Floats, tensor: Floats = TENSOR, b: float = 1000.0) -> tuple[Floats, Weighting]:
    """A few voxels of one tensor, b0 1000 in scanner's units."""
    world = np.vstack([np.zeros(3), sphere()])
    b_values = np.array([0.0, *[b] * 24])
    signal = 1000 * np.exp(-b_values / 1000 * np.einsum("ni,ij,nj->n", world, tensor, world))
    table = GradientTable(b_values, fsl_directions(world, affine))
    return np.tile(signal, (3, 3, 3, 1)), Weighting(table, b_values == 0, b_values > 0, b)


def fit(affine: Floats = RAS, tensor: Floats = TENSOR, b: float = 1000.0) -> DiffusionMaps:
    volumes, weighting = scan(affine, tensor, b)
    return fit_tensor(volumes, affine, weighting, np.ones((3, 3, 3), bool))


def channel(maps: DiffusionMaps, name: str) -> float:
    return float(compute_channels(maps, [name])[0, 1, 1, 1])


@pytest.mark.parametrize("affine", [RAS, LAS, PIR, OBLIQUE], ids=["RAS", "LAS", "PIR", "oblique"])
def test_the_tensor_lies_in_the_world_whatever_the_image_s_orientation(affine: Floats) -> None:
    expected = [TENSOR[0, 0], TENSOR[0, 1], TENSOR[0, 2], TENSOR[1, 1], TENSOR[1, 2], TENSOR[2, 2]]
    assert fit(affine).tensor[1, 1, 1] == pytest.approx(expected, abs=1e-3)


def test_world_directions_undo_the_mirrored_axis_of_fsl() -> None:
    assert world_directions(np.array([[1.0, 0, 0]]), RAS).tolist() == [[-1, 0, 0]]
    assert world_directions(np.array([[1.0, 0, 0]]), LAS).tolist() == [[-1, 0, 0]]


def test_eigenvalues_and_what_is_made_of_them() -> None:
    maps = fit()
    assert [channel(maps, name) for name in ("l1", "l2", "l3")] == pytest.approx(VALUES.tolist(), abs=1e-3)
    mean = VALUES.mean()
    anisotropy = np.sqrt(1.5 * ((VALUES - mean) ** 2).sum() / (VALUES**2).sum())
    assert (channel(maps, "md"), channel(maps, "fa")) == pytest.approx((mean, anisotropy), abs=1e-3)


def test_fa_and_md_are_dipy_s() -> None:
    from dipy.core.gradients import gradient_table
    from dipy.reconst.dti import TensorModel

    volumes, weighting = scan(RAS)
    volumes = volumes + np.random.default_rng(0).normal(0, 10, volumes.shape)
    table = gradient_table(weighting.table.b_values, bvecs=world_directions(weighting.table.directions, RAS))
    theirs = TensorModel(table).fit(volumes)
    ours = compute_channels(fit_tensor(volumes, RAS, weighting, np.ones((3, 3, 3), bool)), ["fa", "md"])
    assert ours[0] == pytest.approx(theirs.fa, abs=1e-4)
    assert ours[1] == pytest.approx(theirs.md * 1000, abs=1e-4)


def test_an_eigenvector_s_products_do_not_depend_on_its_sign() -> None:
    maps = fit()
    x, y, z = VECTORS[:, 0]
    names = parse_channels(["v1"])
    assert compute_channels(maps, names)[:, 1, 1, 1] == pytest.approx(
        [x * x, x * y, x * z, y * y, y * z, z * z], abs=1e-3
    )


@pytest.mark.parametrize("b", [700.0, 1000.0, 1400.0])
def test_synthesized_volumes_are_the_same_for_every_b_value(b: float) -> None:
    maps = fit(b=b)
    for number, direction in enumerate(np.array(SYNTHESIZED_DIRECTIONS), start=1):
        expected = 1000 * np.exp(-(direction @ TENSOR @ direction))
        assert channel(maps, f"dwi{number}") == pytest.approx(expected, rel=1e-3)


def test_synthesized_directions_have_length_one() -> None:
    assert np.linalg.norm(SYNTHESIZED_DIRECTIONS, axis=1) == pytest.approx(1.0)


def test_outside_of_the_mask_everything_is_zero() -> None:
    volumes, weighting = scan(RAS)
    mask = np.zeros((3, 3, 3), bool)
    mask[1] = True
    made = compute_channels(fit_tensor(volumes, RAS, weighting, mask), CHANNELS)
    assert not made[:, ~mask].any()
    assert made[CHANNELS.index("fa"), mask].all()


def test_voxels_without_signal_are_left_out_and_counted() -> None:
    volumes, weighting = scan(RAS)
    volumes[0, 0, 0], volumes[0, 0, 1, 0] = 0, 0
    maps = fit_tensor(volumes, RAS, weighting, np.ones((3, 3, 3), bool))
    assert (maps.mask.sum(), maps.silent) == (25, pytest.approx(2 / 27))
    assert np.isfinite(compute_channels(maps, CHANNELS)).all()


def test_impossible_eigenvalues_are_brought_back_and_counted() -> None:
    volumes, weighting = scan(RAS)
    volumes[0, 0, 0, 1:] = 2000  # brighter than unweighted: diffusion would be negative
    maps = fit_tensor(volumes, RAS, weighting, np.ones((3, 3, 3), bool))
    values = compute_channels(maps, ["l1", "l2", "l3"])
    assert maps.unphysical == pytest.approx(1 / 27)
    assert 0 <= values.min() <= values.max() <= 5.0


def test_only_the_chosen_shell_is_fitted() -> None:
    volumes, weighting = scan(RAS)
    other = np.full((3, 3, 3, 4), 123.0)
    table = GradientTable(
        np.append(weighting.table.b_values, [3000.0] * 4), np.vstack([weighting.table.directions, sphere()[:4]])
    )
    both = Weighting(table, table.b_values == 0, table.b_values == 1000, 1000.0)
    maps = fit_tensor(np.concatenate([volumes, other], axis=-1), RAS, both, np.ones((3, 3, 3), bool))
    assert maps.tensor == pytest.approx(fit().tensor, abs=1e-4)


@pytest.mark.parametrize("names", [DEFAULT, ("fa", "v1"), CHANNELS])
def test_mirroring_the_channels_is_mirroring_the_scan(names: tuple[str, ...]) -> None:
    # The mean of the measured volumes depends on their directions, which are not mirrored here.
    channels = [name for name in parse_channels(names) if name != "mean_dwi"]
    mirror = np.diag([-1.0, 1.0, 1.0])
    order, factors = flip_left_right(channels)
    made = compute_channels(fit(), channels)[order] * np.array(factors)[:, None, None, None]
    expected = compute_channels(fit(tensor=mirror @ TENSOR @ mirror), channels)
    assert made == pytest.approx(expected, abs=1e-3, rel=1e-3)


def test_mirroring_refuses_a_channel_without_its_partner() -> None:
    with pytest.raises(ConfigurationError, match="mirroring needs dwi4 beside dwi1"):
        flip_left_right(["mean_b0", "dwi1"])


def test_groups_stand_for_their_channels_in_order() -> None:
    assert parse_channels(["fa", "eigenvalues"]) == ("fa", "l1", "l2", "l3")
    assert len(parse_channels(["eigenvectors"])) == 18


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["mean_bo"], "did you mean mean_b0"),
        (["fa", "fa"], "named twice"),
        (["l1", "eigenvalues"], "l1 is named twice"),
        ([], "no channel"),
    ],
)
def test_channels_that_cannot_be_meant_are_refused(names: list[str], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        parse_channels(names)


def test_directions_keep_their_length_on_a_grid_that_rounding_has_skewed() -> None:
    skewed = np.diag([-2.0, 2.0, 2.5, 1.0])
    skewed[0, 1] = 0.05
    directions = world_directions(np.eye(3), skewed)
    assert np.linalg.norm(directions, axis=1) == pytest.approx(1.0, abs=1e-6)
