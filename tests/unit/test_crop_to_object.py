"""What a close look is trained on, and mirroring along the axes that allow it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data.meta_tensor import MetaTensor

from medbundles.components.transforms import CropToObjectd, RandAxisMirrord, TissuePointsd
from medbundles.errors import ConfigurationError

AFFINE = torch.tensor([[-1.0, 0, 0, 30], [0, 1, 0, -7], [0, 0, 2, 5], [0, 0, 0, 1]], dtype=torch.float64)
SHAPE = (40, 30, 20)


def item(*labeled: slice) -> dict[str, MetaTensor]:
    label = torch.zeros(1, *SHAPE, dtype=torch.uint8)
    if labeled:
        label[(0, *labeled)] = 2
    image = torch.arange(label.numel()).reshape(label.shape).float()
    return {key: MetaTensor(value, affine=AFFINE) for key, value in (("image", image), ("label", label))}


def test_image_and_label_are_cut_alike_with_a_margin() -> None:
    found = CropToObjectd(["image", "label"], smallest_mm=1.0)(item(slice(10, 20), slice(10, 15), slice(8, 9)))
    assert tuple(found["label"].shape) == tuple(found["image"].shape) == (1, 14, 7, 3)
    assert int((found["label"] > 0).sum()) == 50


def test_what_is_cut_keeps_its_place_in_the_world() -> None:
    given = item(slice(10, 20), slice(10, 15), slice(8, 9))
    found = CropToObjectd(["image"], smallest_mm=1.0)(given)["image"]
    first = np.argwhere(np.asarray(given["image"][0]) == float(found[0, 0, 0, 0]))[0]
    assert np.allclose(found.affine.numpy() @ [0, 0, 0, 1], AFFINE.numpy() @ [*first, 1])


def test_the_shortest_edge_is_in_millimeters() -> None:
    found = CropToObjectd(["label"], margin=0.0, smallest_mm=(12, 10, 16))(item(*[slice(8, 9)] * 3))
    assert tuple(found["label"].shape) == (1, 12, 10, 8)


def test_nothing_labeled_leaves_the_volumes_whole() -> None:
    assert tuple(CropToObjectd(["image"])(item())["image"].shape) == (1, *SHAPE)


@pytest.mark.parametrize("arguments", [{"margin": -1.0}, {"smallest_mm": 0.0}, {"smallest_mm": (1.0, 2.0)}])
def test_numbers_that_cannot_be_meant_are_refused(arguments: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError, match="expected a margin from 0 and edges above 0"):
        CropToObjectd(["image"], **arguments)


def test_image_and_label_are_mirrored_alike() -> None:
    given = item(slice(10, 20), slice(10, 15), slice(8, 9))
    found = RandAxisMirrord(["image", "label"], axes=[0, 2], probability=1.0)(given)
    for key in ("image", "label"):
        assert torch.equal(found[key].as_tensor(), given[key].as_tensor().flip([1, 3]))


def test_every_axis_is_drawn_by_itself() -> None:
    mirror = RandAxisMirrord(["image"], axes=[0, 1], probability=0.5)
    mirror.set_random_state(0)
    corners = {float(mirror(item())["image"][0, 0, 0, 0]) for _ in range(40)}
    assert len(corners) == 4


def test_without_axes_nothing_is_mirrored() -> None:
    given = item()
    assert RandAxisMirrord(["image"], axes=[], probability=1.0)(given)["image"] is given["image"]


@pytest.mark.parametrize(("axes", "probability"), [([0, 0], 0.5), ([3], 0.5), ([0], 1.5)])
def test_axes_and_probabilities_that_are_none_are_refused(axes: list[int], probability: float) -> None:
    with pytest.raises(ConfigurationError, match="different axes from 0 to 2"):
        RandAxisMirrord(["image"], axes, probability)


def test_without_a_mask_points_lie_anywhere_in_the_image() -> None:
    points = TissuePointsd(mask_key=None)(item())["tissue_points"]
    assert points.shape == (4096, 3)
    assert (points.min(axis=0) == 0).all()
    assert (points.max(axis=0) == np.array(SHAPE) - 1).all()
