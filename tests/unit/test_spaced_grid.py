"""Other voxels, the same places in the world."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from monai.data.meta_tensor import MetaTensor
from scipy import ndimage

from medbundles.components.spaced_grid import SpacedGrid, axis_weights
from medbundles.components.transforms import SpacedVoxelsd
from medbundles.errors import ConfigurationError
from medbundles.io.grids import spacing_of, to_index, to_world

# Flipped and anisotropic; oblique and sheared by a scanner's tilt.
FLIPPED = np.array([[-0.7, 0, 0, 30], [0, 1.1, 0, -12], [0, 0, 3.0, 5], [0, 0, 0, 1.0]])
OBLIQUE = np.array([[0.9, 0.3, 0.1, 30], [-0.3, 0.9, 0.4, -12], [0, -0.4, 1.8, 5], [0, 0, 0, 1.0]])
SHAPE = (24, 20, 14)


def ramp(affine: np.ndarray, shape: tuple[int, ...] = SHAPE) -> torch.Tensor:
    """Return the world's x + 2y + 3z at every voxel."""
    world = to_world(affine, np.moveaxis(np.indices(shape), 0, -1))
    return torch.as_tensor(world @ [1.0, 2.0, 3.0], dtype=torch.float32)[None]


@pytest.mark.parametrize("affine", [FLIPPED, OBLIQUE])
@pytest.mark.parametrize("spacing", [0.6, 1.5, 2.5])
def test_every_voxel_holds_the_value_of_its_place_in_the_world(affine: np.ndarray, spacing: float) -> None:
    image = MetaTensor(ramp(affine), affine=torch.as_tensor(affine))
    found = SpacedVoxelsd(["image"], spacing)({"image": image})["image"]
    expected = ramp(found.affine.numpy(), tuple(found.shape[1:]))
    inner = (slice(None), *[slice(4, -4)] * 3) if min(found.shape[1:]) > 8 else (slice(None), *[slice(2, -2)] * 3)
    torch.testing.assert_close(found.as_tensor()[inner], expected[inner], atol=1e-2, rtol=0)
    np.testing.assert_allclose(spacing_of(found.affine.numpy()), spacing, rtol=1e-6)


@pytest.mark.parametrize("affine", [FLIPPED, OBLIQUE])
def test_back_and_forth_moves_nothing(affine: np.ndarray) -> None:
    grid = SpacedGrid(SHAPE, spacing_of(affine), 1.5)
    image = ramp(affine)[None]
    inner = (..., *[slice(4, -4)] * 3)
    torch.testing.assert_close(grid.back(grid.forth(image))[inner], image[inner], atol=1e-2, rtol=0)


def test_finer_voxels_are_interpolated_as_scipy_does_it() -> None:
    grid = SpacedGrid(SHAPE, (1.0, 1.5, 2.0), 0.8)
    image = torch.rand(SHAPE)
    affine = np.diag([1.0, 1.5, 2.0, 1.0])
    places = to_world(grid.affine(affine), np.moveaxis(np.indices(grid.new_shape), 0, -1))
    expected = ndimage.map_coordinates(
        image.numpy(), np.moveaxis(to_index(affine, places), -1, 0), order=1, mode="nearest"
    )
    np.testing.assert_allclose(grid.forth(image[None, None])[0, 0], expected, atol=1e-5)


def test_voxels_of_twice_the_edge_are_the_mean_of_what_they_cover() -> None:
    weights = axis_weights(6, 1.0, 3, 2.0)
    assert weights is not None
    expected = torch.tensor([[0.5, 0.5, 0, 0, 0, 0], [0, 0, 0.5, 0.5, 0, 0], [0, 0, 0, 0, 0.5, 0.5]])
    torch.testing.assert_close(weights, expected)


@pytest.mark.parametrize(("count", "edge", "new_edge"), [(31, 1.0, 1.5), (7, 6.5, 1.5), (1, 5.0, 1.0), (50, 0.4, 1.7)])
def test_weights_sum_to_1_so_that_brightness_stays(count: int, edge: float, new_edge: float) -> None:
    weights = axis_weights(count, edge, max(1, round(count * edge / new_edge)), new_edge)
    assert weights is not None
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(len(weights)))
    assert float(weights.min()) >= 0


def test_voxels_of_the_wanted_edge_stay_as_they_are() -> None:
    grid = SpacedGrid(SHAPE, (1.5, 1.5 + 1e-6, 3.0), 1.5)
    assert grid.new_shape == (24, 20, 28)
    assert axis_weights(24, 1.5, 24, 1.5) is None


def test_the_field_of_view_is_covered() -> None:
    assert SpacedGrid((10, 10, 3), (1.0, 1.0, 6.5), 1.5).new_shape == (7, 7, 13)


@pytest.mark.parametrize("edges", [(1.0, 1.0, 1.0), (0.7, 1.5, 4.0)])
def test_a_box_gives_what_the_whole_image_gives_there(edges: tuple[float, float, float]) -> None:
    grid, box = SpacedGrid(SHAPE, edges, 1.5), (slice(3, 19), slice(4, 20), slice(0, 9))
    image = torch.zeros(1, 2, *SHAPE)
    image[:, :, 5:17, 6:18, :7] = torch.rand(1, 2, 12, 12, 7)
    whole, inner = grid.forth(image), (..., *grid.new_box(box))
    part = grid.forth(image[(..., *box)], box)
    torch.testing.assert_close(part, whole[inner])
    torch.testing.assert_close(grid.back(part, box), grid.back(whole)[(..., *box)])


def test_labels_become_what_most_of_a_voxel_was_and_keep_their_type() -> None:
    label = torch.zeros(1, 8, 8, 8, dtype=torch.uint8)
    label[:, 2:6, 2:6, 2:6] = 3
    label[:, 7, 7, 7] = 1
    found = SpacedVoxelsd([], 2.0, ["label"])({"label": MetaTensor(label, affine=torch.eye(4))})["label"]
    assert found.dtype == torch.uint8
    assert found.shape == (1, 4, 4, 4)
    assert int((found == 3).sum()) == 8
    assert int((found == 1).sum()) == 0


def test_absent_items_are_skipped() -> None:
    assert SpacedVoxelsd(["image"], 1.0, ["mask"])({"case": "anna"}) == {"case": "anna"}


@pytest.mark.parametrize("edge", [0.0, -1.5])
def test_an_edge_that_is_none_is_refused(edge: float) -> None:
    with pytest.raises(ConfigurationError, match="spacing_mm"):
        SpacedVoxelsd(["image"], edge)
    with pytest.raises(ConfigurationError, match="spacing_mm"):
        SpacedGrid(SHAPE, (1.0, 1.0, 1.0), edge)


def test_every_axis_may_have_an_edge_of_its_own() -> None:
    grid = SpacedGrid((10, 10, 10), (1.0, 1.0, 1.0), (0.5, 1.0, 2.5))
    assert grid.new_shape == (20, 10, 4)
    assert grid.new_edges == (0.5, 1.0, 2.5)
    affine = np.diag([-1.0, 1.0, 1.0, 1.0])
    assert spacing_of(grid.affine(affine)) == (0.5, 1.0, 2.5)


@pytest.mark.parametrize("edges", [(1.0, 1.0), (1.0, 0.0, 1.0), (1.0, 1.0, math.inf)])
def test_edges_that_are_none_are_refused(edges: tuple[float, ...]) -> None:
    with pytest.raises(ConfigurationError, match="an edge above 0 or 3 of them"):
        SpacedGrid(SHAPE, (1.0, 1.0, 1.0), edges)
