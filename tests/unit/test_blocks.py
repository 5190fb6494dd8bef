"""Training blocks: cut around the brain, alike out of all volumes, mirrored with their directions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from medbundles.components.diffusion import DiffusionMaps, compute_channels, parse_channels
from medbundles.components.transforms import RandBlockd, RandMirrorLeftRightd, TissuePointsd
from medbundles.errors import ConfigurationError, DataError


def item(shape: tuple[int, int, int] = (20, 24, 18)) -> dict[str, Any]:
    voxels = torch.arange(float(np.prod(shape))).reshape(1, *shape)
    mask = torch.zeros(1, *shape, dtype=torch.uint8)
    mask[:, *(slice(size // 4, -(size // 4)) for size in shape)] = 1
    return TissuePointsd()({"image": torch.cat([voxels, -voxels]), "label": voxels, "mask": mask, "case": "anna"})


def test_points_lie_in_the_mask_and_are_the_same_every_time() -> None:
    first, again = item(), item()
    assert first["mask"][0].numpy()[tuple(first["tissue_points"].T)].all()
    np.testing.assert_array_equal(first["tissue_points"], again["tissue_points"])


def test_an_empty_mask_is_refused_with_its_case() -> None:
    with pytest.raises(DataError, match=r"DWI012.*anna"):
        TissuePointsd()({"mask": torch.zeros(1, 4, 4, 4), "case": "anna"})


def test_a_block_is_the_same_place_of_every_volume() -> None:
    block = RandBlockd(["image", "label", "mask"], (8, 8, 8)).set_random_state(seed=1)(item())
    assert torch.equal(block["image"][:1], block["label"])
    assert torch.equal(block["image"][1:], -block["label"])
    assert block["mask"].any()
    assert block["case"] == "anna"


@pytest.mark.parametrize("seed", range(5))
def test_blocks_stay_inside_where_they_fit(seed: int) -> None:
    block = RandBlockd(["label"], (16, 16, 16), fill=-5.0).set_random_state(seed=seed)(item())
    assert block["label"].min() >= 0


def test_a_brain_smaller_than_the_block_is_whole_in_it() -> None:
    whole = item((6, 10, 12))
    block = RandBlockd(["label"], (16, 16, 16), fill=-1.0).set_random_state(seed=0)(whole)["label"]
    assert block.shape == (1, 16, 16, 16)
    assert torch.equal(block[block >= 0], whole["label"].flatten())


def test_a_block_without_three_sizes_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="three sizes"):
        RandBlockd(["image"], (64, 64))


def ramps(shape: tuple[int, int, int] = (40, 36, 30)) -> dict[str, Any]:
    """Volumes whose three channels are the voxels' own indices; a single point to cut around."""
    places = torch.from_numpy(np.indices(shape).astype(np.float32))
    return {"image": places, "label": (places[:1] > 20).to(torch.uint8), "tissue_points": np.array([[20, 18, 15]])}


def test_a_turned_block_shows_the_places_that_turning_about_its_middle_leads_to() -> None:
    cut = RandBlockd(["image"], (9, 11, 7), rotation=20, scaling=0.2).set_random_state(seed=3)
    block = cut(ramps())["image"].numpy().reshape(3, -1)
    voxels = np.indices((9, 11, 7)).reshape(3, -1) - np.array([[4], [5], [3]])
    turn, *_ = np.linalg.lstsq(voxels.T, (block - block.mean(axis=1, keepdims=True)).T, rcond=None)
    np.testing.assert_allclose(block.mean(axis=1), [20, 18, 15], atol=1e-3)
    np.testing.assert_allclose(turn.T @ voxels + block.mean(axis=1, keepdims=True), block, atol=1e-3)
    growth = np.cbrt(np.linalg.det(turn))
    assert 1 / 1.2 <= growth <= 1 / 0.8
    np.testing.assert_allclose(turn.T @ turn, np.eye(3) * growth**2, atol=1e-3)
    assert not np.allclose(turn, np.eye(3), atol=0.02)


def test_label_maps_are_not_interpolated_and_turn_with_the_image() -> None:
    cut = RandBlockd(["image", "label"], (9, 9, 9), rotation=30, nearest=["label"]).set_random_state(seed=0)
    block = cut(ramps())
    assert set(block["label"].unique().tolist()) == {0.0, 1.0}
    clear = (block["image"][:1] - 20.5).abs() > 0.9
    assert torch.equal(block["label"][clear], (block["image"][:1] > 20.5).float()[clear])


def test_a_turned_block_has_no_empty_corners_inside_of_a_volume() -> None:
    cut = RandBlockd(["image"], (12, 12, 12), fill=-1000.0, rotation=45).set_random_state(seed=0)
    assert float(cut(ramps())["image"].min()) > -1


def test_a_turned_block_of_a_small_volume_is_filled_around() -> None:
    cut = RandBlockd(["image"], (16, 16, 16), fill=-7.0, rotation=10).set_random_state(seed=0)
    block = cut(ramps((6, 7, 5)) | {"tissue_points": np.array([[0, 0, 0]])})["image"]
    assert float(block[:, 0, 0, 0].max()) == -7.0
    assert float(block.max()) == pytest.approx(6, abs=0.1)


def test_without_turning_the_draws_are_as_they_were() -> None:
    plain, unlikely = (
        RandBlockd(["label"], (8, 8, 8), rotation=angle, probability=0.0).set_random_state(seed=5) for angle in (0, 30)
    )
    assert torch.equal(plain(item())["label"], unlikely(item())["label"])


@pytest.mark.parametrize(
    "wrong", [{"rotation": -1}, {"bending": -1}, {"scaling": 1.0}, {"rotation": 5, "probability": 2}]
)
def test_a_turn_that_cannot_be_drawn_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError, match="a block turns"):
        RandBlockd(["image"], (8, 8, 8), **wrong)


def maps_of(tensor: np.ndarray) -> DiffusionMaps:
    """One row of voxels along x, with tensors (n, 3, 3) in the world's axes."""
    entries = np.stack([tensor[:, i, j] for i, j in ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))], axis=1)
    shape = (len(tensor), 1, 1)
    ones = np.ones(shape, np.float32)
    return DiffusionMaps(np.ones(shape, bool), ones * 100, ones * 60, entries.reshape(*shape, 6), 0.0, 0.0)


def test_mirrored_channels_are_those_of_the_mirrored_head() -> None:
    generator = np.random.default_rng(0)
    factors = generator.normal(size=(6, 3, 3))
    tensors = factors @ factors.transpose(0, 2, 1) / 3
    mirror = np.diag([-1.0, 1.0, 1.0])
    names = parse_channels(["mean_b0", "mean_dwi", "eigenvalues", "fa", "md", "dwi", "eigenvectors"])
    image = torch.from_numpy(compute_channels(maps_of(tensors), names))
    expected = torch.from_numpy(compute_channels(maps_of((mirror @ tensors @ mirror)[::-1]), names))
    mirrored = RandMirrorLeftRightd(["image"], names, 1.0)({"image": image})["image"]
    torch.testing.assert_close(mirrored, expected, atol=1e-4, rtol=1e-4)


def test_all_volumes_are_mirrored_or_none() -> None:
    whole = item()
    mirrored = RandMirrorLeftRightd(["image", "label", "mask"], ["fa", "md"], 1.0)(whole)
    for key in ("image", "label", "mask"):
        assert torch.equal(mirrored[key], whole[key].flip(1))
    same = RandMirrorLeftRightd(["image"], ["fa", "md"], 0.0)(whole)
    assert torch.equal(same["image"], whole["image"])


def test_a_direction_without_its_mirror_image_is_refused_before_training() -> None:
    with pytest.raises(ConfigurationError, match="dwi4"):
        RandMirrorLeftRightd(["image"], ["mean_b0", "dwi1"], 0.5)
    RandMirrorLeftRightd(["image"], ["mean_b0", "dwi1"], 0.0)


@pytest.mark.parametrize("probability", [-0.1, 1.5])
def test_a_probability_that_is_none_is_refused(probability: float) -> None:
    with pytest.raises(ConfigurationError, match="probability"):
        RandMirrorLeftRightd(["image"], ["fa"], probability)


def test_a_bent_block_moves_places_by_as_much_as_asked_for() -> None:
    block = RandBlockd(["image"], (24, 24, 24), bending=1.5).set_random_state(seed=3)(ramps((40, 40, 40)))
    moved = block["image"] - ramps((40, 40, 40))["image"][:, 8:32, 6:30, 3:27]
    assert 0.5 < float(moved.std()) < 1.5
    assert float(moved.diff(dim=1).abs().max()) < 0.6  # neighbors stay neighbors


def test_image_and_label_bend_alike() -> None:
    transform = RandBlockd(["image", "label"], (24, 24, 24), bending=1.5, nearest=["label"])
    block = transform.set_random_state(seed=3)(ramps((40, 40, 40)))
    assert set(block["label"].unique().tolist()) == {0.0, 1.0}
    clear = (block["image"][0] - 20.5).abs() > 0.51
    assert torch.equal(block["label"][0][clear], (block["image"][0] > 20.5).float()[clear])


def test_a_bent_block_of_a_small_volume_is_filled_around() -> None:
    transform = RandBlockd(["label"], (60, 60, 60), fill=-5.0, bending=1.0)
    assert float(transform.set_random_state(seed=0)(ramps((40, 40, 40)))["label"][0, 0, 0, 0]) == -5.0
