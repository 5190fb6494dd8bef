"""Slices of blocks: which are judged, along which axes, and that gradients flow back into the block."""

from __future__ import annotations

import pytest
import torch
from monai.networks.nets import PatchDiscriminator
from torch import Tensor, nn

from medbundles.components.networks import SliceDiscriminator, select_slices
from medbundles.errors import ConfigurationError


class Recorder(nn.Module):
    """Keeps what it is shown; says of each slice its mean."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Tensor] = []

    def forward(self, images: Tensor) -> Tensor:
        self.seen.append(images)
        return images.mean(dim=(1, 2, 3))


def block(*shape: int) -> Tensor:
    return torch.arange(float(torch.tensor(shape).prod())).reshape(shape)


def every(items: int, *extents: int) -> list[Tensor]:
    return [torch.cartesian_prod(torch.arange(items), torch.arange(extent)) for extent in extents]


def test_slices_of_a_cube_are_judged_in_one_batch_axis_by_axis() -> None:
    volume, network = block(2, 1, 4, 4, 4), Recorder()
    (logits,), _ = SliceDiscriminator(network)(volume, every(2, 4, 4, 4))
    assert logits.shape == (24,)
    (seen,) = network.seen
    assert torch.equal(seen[1, 0], volume[0, 0, 1])  # sagittal
    assert torch.equal(seen[8 + 5, 0], volume[1, 0, :, 1])  # coronal
    assert torch.equal(seen[16 + 7, 0], volume[1, 0, :, :, 3])  # axial


def test_other_blocks_are_judged_by_the_shape_of_their_slices() -> None:
    network = Recorder()
    logits, _ = SliceDiscriminator(network)(block(1, 1, 4, 6, 8), every(1, 4, 6, 8))
    assert [tuple(images.shape) for images in network.seen] == [(4, 1, 6, 8), (6, 1, 4, 8), (8, 1, 4, 6)]
    assert [len(each) for each in logits] == [4, 6, 8]


def test_the_condition_is_judged_at_the_same_slices() -> None:
    volume, condition, network = block(1, 1, 4, 4, 4), -block(1, 3, 4, 4, 4), Recorder()
    SliceDiscriminator(network)(volume, [torch.tensor([[0, 2]]), *[torch.zeros(0, 2, dtype=torch.long)] * 2], condition)
    assert torch.equal(network.seen[0][0], torch.cat([volume, condition], dim=1)[0, :, 2])


def test_feature_maps_are_told_apart_from_logits() -> None:
    network = PatchDiscriminator(2, channels=4, in_channels=1, num_layers_d=2, norm="instance")
    logits, features = SliceDiscriminator(network)(torch.rand(1, 1, 32, 32, 32), every(1, 32, 32, 32))
    assert (len(logits), len(features), len(features[0])) == (1, 1, 3)
    assert logits[0].shape[:2] == (96, 1)


def test_only_judged_voxels_get_a_gradient() -> None:
    volume = torch.rand(1, 1, 8, 8, 8, requires_grad=True)
    chosen = [torch.tensor([[0, 3]]), *[torch.zeros(0, 2, dtype=torch.long)] * 2]
    (logits,), _ = SliceDiscriminator(Recorder())(volume, chosen)
    logits.sum().backward()
    assert volume.grad is not None
    touched = volume.grad[0, 0].abs().sum(dim=(1, 2)) > 0
    assert touched.nonzero().flatten().tolist() == [3]


def test_nothing_chosen_is_nothing_judged() -> None:
    nothing = [torch.zeros(0, 2, dtype=torch.long)] * 3
    assert SliceDiscriminator(Recorder())(block(1, 1, 4, 4, 4), nothing) == ([], [])


@pytest.mark.parametrize(("shape", "axes"), [((1, 1, 8, 8), 3), ((1, 1, 8, 8, 8), 2)])
def test_what_is_no_block_with_three_axes_is_refused(shape: tuple[int, ...], axes: int) -> None:
    with pytest.raises(ConfigurationError, match=r"expected a block \(B, C, H, W, D\) and three lists"):
        SliceDiscriminator(Recorder())(torch.zeros(shape), [torch.zeros(1, 2, dtype=torch.long)] * axes)


def test_slices_without_tissue_are_left_out() -> None:
    mask = torch.zeros(2, 1, 8, 8, 8)
    mask[0, 0, 2:4, :, 1:7] = 1
    sagittal, coronal, axial = select_slices(mask)
    assert sagittal.tolist() == [[0, 2], [0, 3]]
    assert coronal.tolist() == [[0, index] for index in range(8)]
    assert axial.tolist() == [[0, index] for index in range(1, 7)]


def test_a_slice_needs_its_share_of_tissue() -> None:
    mask = torch.zeros(1, 1, 10, 10, 10)
    mask[0, 0, 0, 0, :3] = mask[0, 0, 1, 0, :5] = 1
    assert select_slices(mask, minimum_share=0.05)[0].tolist() == [[0, 1]]
    assert select_slices(mask, minimum_share=0.0)[0].tolist() == [[0, 0], [0, 1]]


def test_of_many_slices_some_are_drawn_and_only_with_tissue() -> None:
    mask = torch.zeros(3, 1, 16, 16, 16)
    mask[:, :, 4:12] = 1
    mask[2, :, 5:12] = 0
    sagittal, _, axial = select_slices(mask, most_per_axis=3, generator=torch.Generator().manual_seed(0))
    assert sagittal[:, 0].tolist() == [0, 0, 0, 1, 1, 1, 2]
    assert set(sagittal[:, 1].tolist()) <= set(range(4, 12))
    assert len(axial) == 9


def test_the_same_seed_draws_the_same_slices() -> None:
    def draw() -> list[Tensor]:
        return select_slices(torch.ones(1, 1, 16, 16, 16), 0.05, 4, torch.Generator().manual_seed(3))

    assert all(torch.equal(first, second) for first, second in zip(draw(), draw(), strict=True))
