"""The GAN trainer: what is real, which steps are made, what its output and its state hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from ignite.engine import Events
from monai.engines.utils import IterationEvents
from monai.networks.nets import PatchDiscriminator
from torch import Tensor, nn

from medbundles.components.engines import PairedAdversarialTrainer
from medbundles.components.losses import AdversarialLoss, MaskedReconstructionLoss
from medbundles.components.networks import SliceDiscriminator
from medbundles.errors import ConfigurationError

EDGE = 16


def batches(count: int = 2, items: int = 2) -> list[dict[str, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    made = []
    for _ in range(count):
        image = torch.rand(items, 2, EDGE, EDGE, EDGE, generator=generator)
        mask = torch.zeros(items, 1, EDGE, EDGE, EDGE)
        mask[..., 4:12] = 1
        made.append({"image": image, "label": image[:, :1] * 2 * mask, "mask": mask})
    return made


class Judge(SliceDiscriminator):
    """A slice discriminator that remembers what it was asked."""

    def __init__(self, channels: int = 1) -> None:
        super().__init__(PatchDiscriminator(2, channels=4, in_channels=channels, num_layers_d=1, norm="instance"))
        self.asked: list[tuple[Tensor, list[Tensor], Tensor | None]] = []

    def forward(self, volume: Tensor, slices: Any, condition: Tensor | None = None) -> Any:
        self.asked.append((volume.detach().clone(), list(slices), condition))
        return super().forward(volume, slices, condition)


Make = Callable[..., PairedAdversarialTrainer]


@pytest.fixture
def make() -> Make:
    def build(channels: int = 1, **more: Any) -> PairedAdversarialTrainer:
        torch.manual_seed(0)
        generator, judge = nn.Conv3d(2, 1, 3, padding=1), Judge(channels)
        return PairedAdversarialTrainer(
            device="cpu",
            max_epochs=1,
            g_network=generator,
            d_network=judge,
            g_optimizer=torch.optim.Adam(generator.parameters(), 1e-2),
            d_optimizer=torch.optim.Adam(judge.parameters(), 1e-2),
            adversarial_loss=AdversarialLoss(),
            **({"train_data_loader": batches(), "recon_loss_function": MaskedReconstructionLoss()} | more),
        )

    return build


def weights(network: nn.Module) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in network.parameters()]


def changed(before: list[Tensor], network: nn.Module) -> bool:
    return any(not torch.equal(old, new) for old, new in zip(before, network.parameters(), strict=True))


def test_real_is_the_target_and_not_the_input(make: Make) -> None:
    data = batches(1)
    trainer = make(train_data_loader=data)
    trainer.run()
    judged, reals, fakes = (volume for volume, _, _ in trainer.state.d_network.asked)
    assert torch.equal(reals, data[0]["label"])
    assert torch.equal(judged, fakes)
    assert torch.equal(fakes[1], trainer.state.output[1]["pred"])


def test_mixed_precision_on_a_cpu_computes_in_bfloat16_and_keeps_weights_and_losses_in_float32(make: Make) -> None:
    trainer = make(amp=True, train_data_loader=batches(1), decollate=False)
    before = weights(trainer.state.g_network)
    trainer.run()
    output = trainer.state.output
    assert output["fakes"].dtype == torch.bfloat16
    assert output["loss"].dtype == next(trainer.state.g_network.parameters()).dtype == torch.float32
    assert changed(before, trainer.state.g_network)


def test_mixed_precision_on_a_cpu_learns_what_single_precision_learns(make: Make) -> None:
    single, mixed = (make(amp=amp, train_data_loader=batches(20), decollate=False) for amp in (False, True))
    for trainer in (single, mixed):
        trainer.run()
    losses = [trainer.state.output["reconstruction_loss"].item() for trainer in (single, mixed)]
    assert losses[1] == pytest.approx(losses[0], rel=0.05)


def test_mixed_precision_on_a_cpu_makes_no_scaler(make: Make, recwarn: pytest.WarningsRecorder) -> None:
    trainer = make(amp=True, train_data_loader=batches(1))
    trainer.run()
    assert trainer.state.g_scaler is None
    assert not [one for one in recwarn if "CUDA" in str(one.message)]


def test_real_and_synthetic_are_judged_at_the_same_slices(make: Make) -> None:
    trainer = make(train_data_loader=batches(1), slices_per_axis=3)
    trainer.run()
    first, *others = [slices for _, slices, _ in trainer.state.d_network.asked]
    assert len(others) == 2
    assert all(torch.equal(a, b) for other in others for a, b in zip(first, other, strict=True))
    assert [len(chosen) for chosen in first] == [6, 6, 6]
    assert set(first[2][:, 1].tolist()) <= set(range(4, 12))  # where the mask has tissue


def test_both_networks_learn(make: Make) -> None:
    trainer = make()
    generator, judge = weights(trainer.state.g_network), weights(trainer.state.d_network)
    trainer.run()
    assert changed(generator, trainer.state.g_network)
    assert changed(judge, trainer.state.d_network)


def test_the_generator_s_step_leaves_the_discriminator_s_gradients_alone(make: Make) -> None:
    trainer = make(train_data_loader=batches(1), d_train_steps=0)
    before = weights(trainer.state.d_network)
    trainer.run()
    assert not changed(before, trainer.state.d_network)
    assert all(parameter.grad is None for parameter in trainer.state.d_network.parameters())
    assert all(parameter.requires_grad for parameter in trainer.state.d_network.parameters())


def test_with_weight_zero_no_discriminator_runs(make: Make) -> None:
    trainer = make(adversarial_weight=0.0)
    trainer.run()
    assert trainer.state.d_network.asked == []
    assert float(trainer.state.output[0]["loss"]) == float(trainer.state.output[0]["reconstruction_loss"])


def test_the_loss_is_the_reconstruction_plus_the_weighted_judgement(make: Make) -> None:
    trainer = make(train_data_loader=batches(1, items=1), adversarial_weight=0.25)
    trainer.run()
    (output,) = trainer.state.output
    expected = float(output["reconstruction_loss"]) + 0.25 * float(output["generator_loss"])
    assert float(output["loss"]) == pytest.approx(expected)


def test_the_discriminator_sees_the_input_where_it_is_conditional(make: Make) -> None:
    data = batches(1)
    trainer = make(channels=3, conditional=True, train_data_loader=data)
    trainer.run()
    assert all(torch.equal(condition, data[0]["image"]) for _, _, condition in trainer.state.d_network.asked)


@pytest.mark.parametrize(("d_steps", "g_steps", "calls"), [(1, 1, 3), (2, 1, 5), (1, 3, 5)])
def test_the_ratio_of_steps(make: Make, d_steps: int, g_steps: int, calls: int) -> None:
    trainer = make(train_data_loader=batches(1), d_train_steps=d_steps, g_train_steps=g_steps)
    trainer.run()
    assert len(trainer.state.d_network.asked) == calls


@pytest.mark.parametrize(("gate", "learns"), [(1.0, True), (1.0e-9, False)])
def test_a_discriminator_that_is_right_enough_does_not_learn(make: Make, gate: float, learns: bool) -> None:
    trainer = make(train_data_loader=batches(1), accuracy_gate=gate)
    before = weights(trainer.state.d_network)
    trainer.run()
    assert changed(before, trainer.state.d_network) is learns


@pytest.mark.parametrize("name", ["g_network", "d_network"])
def test_no_gradient_is_longer_than_the_limit(make: Make, name: str) -> None:
    trainer = make(train_data_loader=batches(1), gradient_clip=1.0e-3)
    trainer.run()
    gradients = [parameter.grad for parameter in getattr(trainer.state, name).parameters()]
    assert torch.linalg.vector_norm(torch.cat([gradient.flatten() for gradient in gradients])) <= 1.001e-3


def test_blocks_without_tissue_teach_the_generator_only(make: Make) -> None:
    (data,) = batches(1)
    trainer = make(train_data_loader=[data | {"mask": torch.zeros_like(data["mask"])}])
    before = weights(trainer.state.d_network)
    trainer.run()
    assert not changed(before, trainer.state.d_network)
    assert "discriminator_loss" not in trainer.state.output[0]


def test_without_a_mask_tissue_is_where_the_target_is_not_zero(make: Make) -> None:
    (data,) = batches(1)
    data.pop("mask")
    trainer = make(train_data_loader=[data])
    trainer.run()
    axial = trainer.state.d_network.asked[0][1][2]
    assert sorted(set(axial[:, 1].tolist())) == list(range(4, 12))


def test_feature_matching_pulls_the_feature_maps_together(make: Make) -> None:
    losses = []
    for weight in (0.0, 10.0):
        trainer = make(train_data_loader=batches(1, items=1), feature_matching_weight=weight)
        trainer.run()
        losses.append(float(trainer.state.output[0]["loss"]))
    assert losses[1] > losses[0]


def test_postprocessing_runs_and_the_output_comes_item_by_item(make: Make) -> None:
    fired = []
    trainer = make(postprocessing=lambda item: item | {"pred": item["pred"] + 100})
    trainer.add_event_handler(IterationEvents.MODEL_COMPLETED, lambda: fired.append(1))
    trainer.run()
    assert len(trainer.state.output) == 2
    assert all(float(item["pred"].min()) > 50 for item in trainer.state.output)
    assert len(fired) == 2


def test_every_iteration_has_a_loss_to_report(make: Make) -> None:
    seen = []
    trainer = make()
    trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda e: seen.append(float(e.state.output[0]["loss"])))
    trainer.run()
    assert len(seen) == 2
    assert seen[1] != seen[0]


def test_the_state_holds_no_networks(make: Make) -> None:
    trainer = make()
    trainer.run()
    assert not any(isinstance(value, nn.Module | torch.optim.Optimizer) for value in trainer.state_dict().values())


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"adversarial_weight": -1.0}, "must not be negative"),
        ({"g_train_steps": 0}, "g_train_steps at least 1"),
        ({"d_train_steps": -1}, "d_train_steps at least 0"),
        ({"accuracy_gate": 0.0}, r"accuracy_gate is a share in \(0, 1\]"),
        ({"accuracy_gate": 80}, "accuracy_gate is a share"),
        ({"gradient_clip": 0.0}, "gradient_clip is a norm above 0"),
    ],
)
def test_numbers_out_of_range_are_refused(make: Make, wrong: dict[str, float], text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        make(**wrong)
