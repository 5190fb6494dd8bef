"""The GAN trainer for regions: what the discriminator sees and when it learns, one generator pass a step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from monai.networks.nets import PatchDiscriminator
from torch import Tensor, nn

from medbundles.components.engines import RegionAdversarialTrainer
from medbundles.components.losses import AdversarialLoss, RegionGeneralizedDiceLoss
from medbundles.components.networks import Vox2VoxGenerator
from medbundles.errors import ConfigurationError

EDGE = 16


def batches(count: int = 2, items: int = 2) -> list[dict[str, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    made = []
    for _ in range(count):
        label = torch.zeros(items, 3, EDGE, EDGE, EDGE, dtype=torch.uint8)
        for region, edge in enumerate((12, 8, 5)):
            label[:, region, :edge, :edge, :edge] = 1
        noise = torch.rand(items, 2, EDGE, EDGE, EDGE, generator=generator)
        made.append({"image": noise + label[:, :2], "label": label})
    return made


class Counted(nn.Module):
    """A network that remembers what it was given."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.given: list[Tensor] = []

    def forward(self, volume: Tensor) -> Any:
        self.given.append(volume.detach().clone())
        return self.network(volume)


Make = Callable[..., RegionAdversarialTrainer]


@pytest.fixture
def make() -> Make:
    def build(channels: int = 5, network: nn.Module | None = None, **more: Any) -> RegionAdversarialTrainer:
        torch.manual_seed(0)
        generator = Counted(network or nn.Conv3d(2, 3, 3, padding=1))
        judge = Counted(PatchDiscriminator(3, channels=4, in_channels=channels, num_layers_d=1, norm="instance"))
        return RegionAdversarialTrainer(
            device="cpu",
            max_epochs=1,
            g_network=generator,
            d_network=judge,
            g_optimizer=torch.optim.Adam(generator.parameters(), 1e-2),
            d_optimizer=torch.optim.Adam(judge.parameters(), 1e-2),
            recon_loss_function=RegionGeneralizedDiceLoss(batch=True),
            adversarial_loss=AdversarialLoss("least_squares"),
            decollate=False,
            **({"train_data_loader": batches()} | more),
        )

    return build


def weights(network: nn.Module) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in network.parameters()]


def changed(before: list[Tensor], network: nn.Module) -> bool:
    return any(not torch.equal(old, new) for old, new in zip(before, network.parameters(), strict=True))


def test_the_generator_runs_once_a_step(make: Make) -> None:
    trainer = make()
    trainer.run()
    assert len(trainer.state.g_network.given) == 2
    assert len(trainer.state.d_network.given) == 6  # the fake for either network, the real one


def test_the_fake_of_the_generator_s_step_serves_the_discriminator(make: Make) -> None:
    trainer = make(train_data_loader=batches(1))
    trainer.run()
    judged, _, learned = trainer.state.d_network.given
    assert torch.equal(judged, learned)


def test_the_discriminator_sees_contrasts_and_regions(make: Make) -> None:
    data = batches(1)
    trainer = make(train_data_loader=data)
    trainer.run()
    _, real, fake = trainer.state.d_network.given
    assert torch.equal(real, torch.cat([data[0]["image"], data[0]["label"].float()], dim=1))
    assert torch.equal(fake[:, :2], data[0]["image"])
    assert torch.equal(fake[:, 2:], trainer.state.output["pred"].sigmoid())


def test_an_unconditional_discriminator_sees_regions_alone(make: Make) -> None:
    trainer = make(channels=3, conditional=False, train_data_loader=batches(1))
    trainer.run()
    assert {tuple(volume.shape[1:2]) for volume in trainer.state.d_network.given} == {(3,)}


def test_the_loss_is_lambda_dice_plus_least_squares(make: Make) -> None:
    trainer = make(train_data_loader=batches(1), reconstruction_weight=7.0, adversarial_weight=0.5)
    trainer.run()
    output = trainer.state.output
    expected = 7.0 * output["reconstruction_loss"] + 0.5 * output["generator_loss"]
    assert output["loss"].item() == pytest.approx(expected.item())


def test_the_output_reports_every_loss(make: Make) -> None:
    trainer = make()
    trainer.run()
    reported = {"loss", "generator_loss", "reconstruction_loss", "discriminator_loss", "discriminator_accuracy"}
    assert reported <= set(trainer.state.output)
    assert 0.0 <= trainer.state.output["discriminator_accuracy"] <= 1.0


def test_both_networks_learn(make: Make) -> None:
    trainer = make()
    generator, judge = weights(trainer.state.g_network), weights(trainer.state.d_network)
    trainer.run()
    assert changed(generator, trainer.state.g_network)
    assert changed(judge, trainer.state.d_network)


def test_the_judgement_reaches_the_generator(make: Make) -> None:
    ends = []
    for weight in (0.0, 10.0):
        trainer = make(adversarial_weight=weight)
        trainer.run()
        ends.append(weights(trainer.state.g_network))
    assert not torch.equal(ends[0][0], ends[1][0])


def test_with_weight_zero_no_discriminator_runs(make: Make) -> None:
    trainer = make(adversarial_weight=0.0)
    trainer.run()
    assert trainer.state.d_network.given == []
    assert "discriminator_loss" not in trainer.state.output


@pytest.mark.parametrize(("gate", "learns"), [(1.0, True), (1.0e-9, False)])
def test_a_discriminator_that_is_right_enough_does_not_learn(make: Make, gate: float, learns: bool) -> None:
    trainer = make(train_data_loader=batches(1), accuracy_gate=gate)
    before = weights(trainer.state.d_network)
    trainer.run()
    assert changed(before, trainer.state.d_network) is learns


def test_mixed_precision_on_a_cpu_learns_what_single_precision_learns(make: Make) -> None:
    ends = []
    for amp in (False, True):
        trainer = make(amp=amp, train_data_loader=batches(20), network=Vox2VoxGenerator(2, 3, features=4))
        trainer.run()
        assert trainer.state.output["loss"].dtype == trainer.state.output["fakes"].dtype == torch.float32
        ends.append(float(trainer.state.output["reconstruction_loss"]))
    assert ends[1] == pytest.approx(ends[0], abs=0.05)
    assert ends[1] < 0.5


@pytest.mark.parametrize("name", ["g_network", "d_network"])
def test_no_gradient_is_longer_than_the_limit(make: Make, name: str) -> None:
    trainer = make(train_data_loader=batches(1), gradient_clip=1.0e-3)
    trainer.run()
    gradients = [parameter.grad for parameter in getattr(trainer.state, name).parameters()]
    assert torch.linalg.vector_norm(torch.cat([gradient.flatten() for gradient in gradients])) <= 1.001e-3


def test_regions_may_all_be_empty(make: Make) -> None:
    (data,) = batches(1)
    trainer = make(train_data_loader=[data | {"label": torch.zeros_like(data["label"])}])
    trainer.run()
    assert all(torch.isfinite(weight).all() for weight in trainer.state.g_network.parameters())


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"reconstruction_weight": 0.0}, "reconstruction_weight must be above 0"),
        ({"adversarial_weight": -1.0}, "must not be negative"),
        ({"accuracy_gate": 80}, "accuracy_gate is a share"),
        ({"gradient_clip": 0.0}, "gradient_clip is a norm above 0"),
    ],
)
def test_numbers_out_of_range_are_refused(make: Make, wrong: dict[str, float], text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        make(**wrong)


def test_a_discriminator_for_other_channels_is_refused(make: Make) -> None:
    with pytest.raises(RuntimeError, match="channels"):
        make(channels=4).run()


def test_a_label_map_in_place_of_regions_is_refused(make: Make) -> None:
    (data,) = batches(1)
    with pytest.raises(ConfigurationError, match="as many output channels as there are regions"):
        make(train_data_loader=[data | {"label": data["label"][:, :1]}]).run()
