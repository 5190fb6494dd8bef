"""A plain supervised training in bfloat16 on a CPU: what is learned stays in single precision."""

from __future__ import annotations

import pytest
import torch
from monai.engines import SupervisedTrainer
from monai.networks.nets import UNet
from torch import Tensor, nn

from medbundles.components.inferers import MixedPrecisionInferer


def network() -> nn.Module:
    """Return a network whose coarsest level has 2 voxels along each axis of a block of 16."""
    torch.manual_seed(0)
    return UNet(3, 1, 1, channels=(4, 8, 16, 16), strides=(2, 2, 2), norm="batch")


def blocks(count: int = 1) -> list[dict[str, Tensor]]:
    label = torch.zeros(2, 1, 16, 16, 16)
    label[:, :, 4:12, 4:12, 4:12] = 1
    noise = torch.randn(count, *label.shape, generator=torch.Generator().manual_seed(0))
    return [{"image": label + 0.3 * each, "label": label} for each in noise]


def train(enabled: bool, count: int) -> SupervisedTrainer:
    learner = network()
    trainer = SupervisedTrainer(
        device="cpu",
        max_epochs=1,
        train_data_loader=blocks(count),
        network=learner,
        optimizer=torch.optim.Adam(learner.parameters(), 1e-2),
        loss_function=nn.BCEWithLogitsLoss(),
        inferer=MixedPrecisionInferer(enabled),
        decollate=False,
    )
    trainer.run()
    return trainer


def test_it_learns_what_single_precision_learns() -> None:
    quick, exact = (float(train(enabled, 12).state.output["loss"].detach()) for enabled in (True, False))
    assert quick == pytest.approx(exact, abs=0.02)
    assert quick < 0.4  # an undecided network has log 2


def test_weights_gradients_and_what_the_loss_sees_are_in_single_precision() -> None:
    trainer = train(enabled=True, count=1)
    parameters = list(trainer.network.parameters())
    assert {weight.dtype for weight in parameters} == {torch.float32}
    assert {weight.grad.dtype for weight in parameters} == {torch.float32}
    assert trainer.state.output["pred"].dtype == torch.float32


def test_in_a_whole_network_only_the_coarsest_level_is_computed_in_single_precision() -> None:
    """There kernels are longer than their images: oneDNN's gradients in bfloat16 are undefined where it has AVX512."""
    learner, seen = network(), set()
    for layer in learner.modules():
        if isinstance(layer, nn.Conv3d | nn.ConvTranspose3d):
            layer.register_forward_hook(lambda _, given, made: seen.add((given[0].shape[-1], made.dtype)))
    MixedPrecisionInferer()(blocks()[0]["image"], learner)
    assert seen == {(2, torch.float32), (4, torch.bfloat16), (8, torch.bfloat16), (16, torch.bfloat16)}


def test_gradients_are_near_those_of_single_precision() -> None:
    data = blocks()[0]
    gradients = []
    for enabled in (False, True):
        learner = network()
        torch.full((1 << 18,), 1e34)  # what the memory held before is no gradient
        MixedPrecisionInferer(enabled)(data["image"], learner).square().mean().backward()
        gradients.append([weight.grad for weight in learner.parameters() if weight.ndim == 5])
    for exact, quick in zip(*gradients, strict=True):
        assert (quick - exact).norm() < 0.2 * exact.norm()


def test_arguments_reach_the_network() -> None:
    image = torch.ones(1, 1, 4, 4, 4)
    answer = MixedPrecisionInferer()(image, lambda volume, factor, shift: factor * volume + shift, 2.0, shift=1.0)
    assert torch.equal(answer, torch.full_like(image, 3.0))


def test_the_network_s_own_error_comes_through_and_leaves_no_mixed_precision_behind() -> None:
    with pytest.raises(RuntimeError, match="channels"):
        MixedPrecisionInferer()(torch.zeros(1, 3, 16, 16, 16), network())
    assert not torch.is_autocast_enabled("cpu")
    assert nn.Conv3d(1, 1, 1)(torch.zeros(1, 1, 8, 8, 8)).dtype == torch.float32
