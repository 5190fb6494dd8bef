"""Skipping empty windows changes nothing where there is tissue."""

from __future__ import annotations

import pytest
import torch
from monai.data.meta_tensor import MetaTensor
from monai.inferers import SlidingWindowInferer
from monai.networks.nets import UNet
from torch import nn

from medbundles.components.inferers import TissueWindowInferer


def unet(spatial_dims: int = 3) -> nn.Module:
    torch.manual_seed(0)
    return UNet(spatial_dims, 2, 3, (4, 8), (2,), norm="batch").eval()


def head(shape: tuple[int, ...] = (40, 36, 30)) -> torch.Tensor:
    """Two channels of noise in a corner, zero around it."""
    image = torch.zeros(1, 2, *shape)
    image[:, :, 4:22, 6:20, :14] = torch.rand(1, 2, *image[0, 0, 4:22, 6:20, :14].shape) + 0.1
    return image


class Counting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.windows = 0

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        self.windows += len(batch)
        return batch[:, :1]


@pytest.mark.parametrize("mode", ["gaussian", "constant"])
@pytest.mark.parametrize("overlap", [0.0, 0.5, (0.25, 0.5, 0.0)])
@pytest.mark.parametrize("roi_size", [(16, 16, 16), 12, (16, -1, 8)])
def test_equals_monai_where_there_is_tissue(mode: str, overlap: float | tuple, roi_size: int | tuple) -> None:
    image, network = head(), unet()
    options = {"roi_size": roi_size, "sw_batch_size": 3, "overlap": overlap, "mode": mode}
    with torch.no_grad():
        expected = SlidingWindowInferer(**options)(image, network)
    result = TissueWindowInferer(**options, backend="eager")(image, network)
    tissue = (image != 0).any(dim=1, keepdim=True).expand_as(expected)
    torch.testing.assert_close(result[tissue], expected[tissue])


def test_two_dimensions_work_alike() -> None:
    image, network = head()[..., 0], unet(2)
    options = {"roi_size": (16, 16), "overlap": 0.5, "mode": "gaussian"}
    with torch.no_grad():
        expected = SlidingWindowInferer(**options)(image, network)
    result = TissueWindowInferer(**options, backend="channels_last")(image, network)
    tissue = (image != 0).any(dim=1, keepdim=True).expand_as(expected)
    torch.testing.assert_close(result[tissue], expected[tissue], atol=1e-4, rtol=1e-4)


def test_windows_without_tissue_are_not_run() -> None:
    network = Counting()
    TissueWindowInferer((10, 12, 10), overlap=0.0, backend="eager")(head(), network)
    assert network.windows == 3 * 2 * 2


def test_voxels_that_no_window_saw_get_the_outside_value() -> None:
    result = TissueWindowInferer((10, 12, 10), overlap=0.0, outside_value=-20.0, backend="eager")(head(), Counting())
    assert (result[..., 30:, :, :] == -20).all()


def test_windows_over_the_tissues_box_are_fewer() -> None:
    whole, cropped = Counting(), Counting()
    image = head()
    TissueWindowInferer(16, overlap=0.5, backend="eager")(image, whole)
    result = TissueWindowInferer(16, overlap=0.5, crop_to_foreground=True, backend="eager")(image, cropped)
    assert cropped.windows < whole.windows
    torch.testing.assert_close(result, image[:, :1])


@pytest.mark.parametrize("crop", [False, True])
def test_images_smaller_than_a_window_are_filled_up_as_in_monai(crop: bool) -> None:
    image, network = torch.rand(1, 2, 9, 20, 7) + 0.1, unet()
    with torch.no_grad():
        expected = SlidingWindowInferer((16, 16, 16), mode="gaussian")(image, network)
    result = TissueWindowInferer((16, 16, 16), crop_to_foreground=crop, backend="eager")(image, network)
    torch.testing.assert_close(result, expected)


@pytest.mark.parametrize("crop", [False, True])
def test_an_empty_image_is_outside(crop: bool) -> None:
    inferer = TissueWindowInferer(16, outside_value=-5.0, crop_to_foreground=crop, backend="eager")
    result = inferer(torch.zeros(1, 2, 20, 20, 20), unet())
    assert result.shape == (1, 3, 20, 20, 20)
    assert (result == -5).all()


def test_each_image_of_a_batch_has_its_own_tissue() -> None:
    image = head()
    both = torch.cat([image, image.flip(2)])
    result = TissueWindowInferer(16, crop_to_foreground=True, backend="eager")(both, Counting())
    torch.testing.assert_close(result, both[:, :1])


def test_meta_data_pass_through() -> None:
    image = MetaTensor(head(), meta={"filename_or_obj": "a.nii.gz"})
    result = TissueWindowInferer(16, backend="eager")(image, Counting())
    assert isinstance(result, MetaTensor)
    assert result.meta["filename_or_obj"] == "a.nii.gz"


def test_arguments_for_the_network_are_passed_on() -> None:
    def network(batch: torch.Tensor, factor: float) -> torch.Tensor:
        return batch[:, :1] * factor

    image = head()
    torch.testing.assert_close(TissueWindowInferer(16)(image, network, factor=2.0), image[:, :1] * 2)
