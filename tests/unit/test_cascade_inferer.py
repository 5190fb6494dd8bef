"""Where the coarse look finds something, and only there, the closer one works."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from monai.data.meta_tensor import MetaTensor
from monai.inferers.inferer import Inferer
from torch import Tensor, nn

from medbundles.checks.notices import noticing
from medbundles.components.inferers import CascadeInferer
from medbundles.io.grids import spacing_of

AFFINE = torch.tensor([[-1.0, 0, 0, 30], [0, 1, 0, -7], [0, 0, 2, 5], [0, 0, 0, 1]], dtype=torch.float64)
SHAPE = (48, 40, 24)


class Bright(nn.Module):
    """Says that what is brighter than one half is the object."""

    def forward(self, image: Tensor) -> Tensor:
        return image[:, :1] * 20 - 10


class Watched(Inferer):
    """Says two classes by brightness, and remembers what it was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.shown: list[Tensor] = []

    def __call__(self, inputs: Tensor, network: Any, *args: Any, **kwargs: Any) -> Tensor:
        self.shown.append(inputs)
        bright = inputs[:, :1] * 20 - 10
        return torch.cat([-bright, bright], dim=1)


def image(*boxes: tuple[slice, ...]) -> MetaTensor:
    values = torch.zeros(1, 1, *SHAPE)
    for box in boxes:
        values[(0, 0, *box)] = 1
    return MetaTensor(values, affine=AFFINE[None], meta={"case": ["anna"]})


ONE = (slice(6, 18), slice(8, 20), slice(4, 10))
OTHER = (slice(34, 44), slice(26, 36), slice(16, 22))


def test_the_result_is_that_of_the_whole_image_on_its_own_grid() -> None:
    whole = Watched()(image(ONE), None)
    found = CascadeInferer(Watched(), Bright(), roi_spacing_mm=2.0)(image(ONE), None)
    assert torch.equal(found.argmax(dim=1), whole.argmax(dim=1))
    assert torch.equal(found.affine, image(ONE).affine)


def test_only_the_box_is_looked_at_closely() -> None:
    closer = Watched()
    CascadeInferer(closer, Bright(), roi_spacing_mm=2.0, smallest_mm=1.0)(image(ONE), None)
    (part,) = closer.shown
    assert part.shape[2:] < torch.Size(SHAPE)
    assert part.sum() == image(ONE).sum()


def test_a_box_knows_its_place_in_the_world() -> None:
    closer = Watched()
    CascadeInferer(closer, Bright(), roi_spacing_mm=2.0, smallest_mm=1.0)(image(ONE), None)
    affine = closer.shown[0].affine[0].numpy()
    brightest = np.argwhere(closer.shown[0][0, 0].numpy() > 0.5).min(axis=0)
    corner = AFFINE.numpy() @ [6, 8, 4, 1]
    assert np.allclose(affine @ [*brightest, 1], corner)
    assert spacing_of(affine) == (1.0, 1.0, 2.0)


def test_of_two_lesions_none_is_lost() -> None:
    closer = Watched()
    found = CascadeInferer(closer, Bright(), roi_spacing_mm=2.0, smallest_mm=1.0)(image(ONE, OTHER), None)
    assert len(closer.shown) == 2
    assert torch.equal(found.argmax(dim=1), image(ONE, OTHER)[:, 0].long())


def test_outside_of_the_boxes_there_is_background() -> None:
    found = CascadeInferer(Watched(), Bright(), roi_spacing_mm=2.0, smallest_mm=1.0)(image(ONE), None)
    assert found.softmax(dim=1)[0, 1, -1, -1, -1] < 1e-6


def test_where_nothing_is_found_the_whole_image_is_looked_at_and_said_so() -> None:
    closer = Watched()
    with noticing() as findings:
        CascadeInferer(closer, Bright(), roi_spacing_mm=2.0)(image(), None)
    assert closer.shown[0].shape[2:] == torch.Size(SHAPE)
    assert [(each.code, each.level, each.case) for each in findings] == [("ROI001", "warning", "anna")]


def test_without_a_coarse_network_the_whole_image_is_looked_at_without_a_word() -> None:
    closer = Watched()
    with noticing() as findings:
        CascadeInferer(closer)(image(ONE), None)
    assert closer.shown[0].shape[2:] == torch.Size(SHAPE)
    assert not findings


def test_the_shortest_edge_is_measured_in_millimeters() -> None:
    closer = Watched()
    CascadeInferer(closer, Bright(), roi_spacing_mm=2.0, smallest_mm=24.0)(image(ONE), None)
    assert tuple(closer.shown[0].shape[2:]) == (24, 24, 12)


@pytest.mark.parametrize("spacing", [1.0, 1.7, 3.0, (4.0, 4.0, 5.0)])
def test_every_voxel_of_the_object_lies_in_the_box_whatever_the_coarse_voxels(spacing: Any) -> None:
    closer = Watched()
    CascadeInferer(closer, Bright(), roi_spacing_mm=spacing, margin=0.2, smallest_mm=1.0)(image(ONE), None)
    assert sum(float(part.sum()) for part in closer.shown) == float(image(ONE).sum())
