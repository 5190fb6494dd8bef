from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from medbundles.components.transforms import SegmentationAugmentation
from medbundles.components.transforms.item_affines import ItemAffines, affine_grid, rotation_matrices

STILL = {"flip": 0.0, "offset": 0.0, "scale": 0.0, "rotation": 0.0, "noise": 0.0}


def sample(image: torch.Tensor, affines: ItemAffines, target: tuple[int, ...]) -> torch.Tensor:
    grid = affine_grid(affines, image.shape[2:], target)
    return torch.nn.functional.grid_sample(image, grid, mode="nearest", padding_mode="zeros", align_corners=False)


def one_affine(matrix: list[list[float]], offset: list[float]) -> ItemAffines:
    return ItemAffines(torch.tensor([matrix]), torch.tensor([offset]))


@pytest.mark.parametrize("shape", [(2, 3, 16, 24), (2, 1, 15, 9), (1, 2, 8, 6, 10)])
def test_without_any_change_image_and_label_return_as_they_are(shape: tuple[int, ...]) -> None:
    image, label = torch.randn(shape) * 500, torch.randint(0, 3, shape)
    moved, moved_label = SegmentationAugmentation(spatial_dims=len(shape) - 2, **STILL)(image, label)
    assert torch.allclose(moved, image, atol=0.05)
    assert torch.equal(moved_label, label)


@pytest.mark.parametrize("size", [(12, 20), (13, 21)])
def test_smaller_output_without_change_is_exactly_the_center_crop(size: tuple[int, int]) -> None:
    image, label = torch.randn(2, 1, *size), torch.randint(0, 2, (2, 1, *size))
    augmentation = SegmentationAugmentation(output_size=(8, 8), **STILL)
    in_training = augmentation(image, label)
    in_evaluation = augmentation.eval()(image, label)
    assert torch.equal(in_training[1], in_evaluation[1])
    assert torch.allclose(in_training[0], in_evaluation[0], atol=0.01)


def test_evaluation_crops_without_any_random_number() -> None:
    image = torch.arange(36.0).reshape(1, 1, 6, 6)
    state = torch.get_rng_state()
    cropped, _ = SegmentationAugmentation(output_size=(2, 4)).eval()(image, image)
    assert torch.equal(cropped, image[:, :, 2:4, 1:5])
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(("offset", "moved_to"), [([2.0, 0.0], (3, 4)), ([0.0, -3.0], (5, 7)), ([-1.0, 4.0], (6, 0))])
def test_offset_moves_by_exact_pixels_along_the_right_axis(offset: list[float], moved_to: tuple[int, int]) -> None:
    image = torch.zeros(1, 1, 10, 12)
    image[0, 0, 5, 4] = 1
    moved = sample(image, one_affine([[1.0, 0.0], [0.0, 1.0]], offset), (10, 12))
    assert moved.nonzero()[:, 2:].tolist() == [list(moved_to)]


def test_quarter_turn_equals_rot90() -> None:
    image = torch.arange(1.0, 50.0).reshape(1, 1, 7, 7)
    turned = sample(
        image, ItemAffines(rotation_matrices(torch.tensor([math.pi / 2]), 2, None), torch.zeros(1, 2)), (7, 7)
    )
    assert torch.equal(turned, torch.rot90(image, 1, (2, 3)))


def test_quarter_turn_of_a_non_square_image_keeps_pixels_square() -> None:
    image = torch.zeros(1, 1, 9, 15)
    image[0, 0, 4, 7:10] = 1  # a bar three pixels long, starting at the center
    turned = sample(
        image, ItemAffines(rotation_matrices(torch.tensor([math.pi / 2]), 2, None), torch.zeros(1, 2)), (9, 15)
    )
    assert turned.nonzero()[:, 2:].tolist() == [[2, 7], [3, 7], [4, 7]]


@pytest.mark.parametrize(("about", "plane"), [(0, (3, 4)), (1, (2, 4)), (2, (2, 3))])
def test_3d_quarter_turn_leaves_the_chosen_axis_alone(about: int, plane: tuple[int, int]) -> None:
    image = torch.arange(1.0, 126.0).reshape(1, 1, 5, 5, 5)
    matrix = rotation_matrices(torch.tensor([math.pi / 2]), 3, about)
    turned = sample(image, ItemAffines(matrix, torch.zeros(1, 3)), (5, 5, 5))
    assert torch.equal(turned, torch.rot90(image, 1, plane))


@pytest.mark.parametrize("axis", [0, 1])
def test_certain_flip_reverses_only_its_axis(axis: int) -> None:
    image = torch.arange(30.0).reshape(1, 1, 5, 6)
    augmentation = SegmentationAugmentation(**{**STILL, "flip": 1.0}, flip_axes=[axis])
    moved, label = augmentation(image, image.long())
    assert torch.equal(label, image.long().flip(axis + 2))
    assert torch.allclose(moved, image.flip(axis + 2), atol=0.01)


def test_growth_by_two_doubles_an_object_about_the_center() -> None:
    image = torch.zeros(1, 1, 16, 16)
    image[0, 0, 6:10, 7:9] = 1
    grown = sample(image, one_affine([[0.5, 0.0], [0.0, 0.5]], [0.0, 0.0]), (16, 16))
    assert torch.equal(grown.nonzero().amin(0)[2:], torch.tensor([4, 6]))
    assert grown.sum().item() == 8 * 4


def test_drawn_offset_shifts_items_by_up_to_the_fraction() -> None:
    image = torch.zeros(64, 1, 40, 40)
    image[:, :, 20, 20] = 1
    _, label = SegmentationAugmentation(**{**STILL, "offset": 0.25})(image, image)
    places = label.nonzero()[:, 2:].float()
    assert len(places) == 64
    assert 8 < (places - 20).abs().max() <= 10
    assert places.std(0).min() > 3


def test_crop_from_a_larger_input_never_needs_padding() -> None:
    image = torch.full((256, 1, 96, 96), 40.0)
    augmentation = SegmentationAugmentation(output_size=(64, 64), offset=0.5, scale=0.2, noise=0.0)
    moved, label = augmentation(image, torch.ones(256, 1, 96, 96))
    assert torch.allclose(moved, torch.tensor(40.0), atol=1e-2)
    assert label.min() == 1


def test_an_axis_that_is_not_cut_does_not_narrow_the_others() -> None:
    affines = one_affine([[1.2, 0.0, 0.0], [0.0, 1.2, 0.0], [0.0, 0.0, 1.2]], [3.0, 0.0, 2.0])
    kept = affines.kept_inside((96, 96, 7), (64, 64, 7))
    assert torch.equal(kept.matrix, affines.matrix)
    assert torch.equal(kept.offset, affines.offset)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), height=st.integers(24, 40), width=st.integers(24, 40))
def test_image_and_label_move_together(seed: int, height: int, width: int) -> None:
    torch.manual_seed(seed)
    label = torch.zeros(2, 1, height, width)
    label[:, :, height // 3 : height // 2 + 3, width // 4 : width // 2 + 3] = 1
    image = (label * 1000.0 - 1000.0).repeat(1, 3, 1, 1)
    moved, moved_label = SegmentationAugmentation(noise=0.0)(image, label)
    # Bilinear and nearest sampling agree where the image is halfway or more: they differ on the edge pixels only.
    inside = moved[:, :1] > -500
    edge = (moved[:, :1] > -999) & (moved[:, :1] < -1)
    assert torch.equal(inside[~edge], moved_label[~edge] > 0)
    assert edge.float().mean() < 0.3


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), dtype=st.sampled_from([torch.uint8, torch.int64, torch.float32, torch.bool]))
def test_label_values_stay_in_their_set(seed: int, dtype: torch.dtype) -> None:
    torch.manual_seed(seed)
    label = (torch.randint(0, 3, (2, 2, 20, 24)) * 2).to(dtype)
    _, moved = SegmentationAugmentation(output_size=(12, 12))(torch.zeros(2, 1, 20, 24), label)
    assert moved.dtype == dtype
    assert set(moved.unique().tolist()) <= set(label.unique().tolist()) | {0}


def test_outside_is_air_in_the_image_and_background_in_the_label() -> None:
    torch.manual_seed(0)
    image, label = torch.full((8, 1, 32, 32), 100.0), torch.ones(8, 1, 32, 32)
    moved, moved_label = SegmentationAugmentation(**{**STILL, "offset": 0.5})(image, label)
    outside = moved_label == 0
    assert 0.05 < outside.float().mean() < 0.7
    assert (moved[outside] < 100).all()
    assert (moved == -1000).any()
