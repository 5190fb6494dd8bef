"""The GAN trainer for regions in a group of two processes: both have the same networks at the end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from monai.networks.nets import PatchDiscriminator
from torch import Tensor, nn

from medbundles.components.distributed import wrap_for_distributed
from medbundles.components.engines import RegionAdversarialTrainer
from medbundles.components.losses import AdversarialLoss, RegionGeneralizedDiceLoss
from tests.unit.test_handlers_processes import iterations_in_a_group

EDGE = 12


class Judges(AdversarialLoss):
    """Least squares, with an accuracy that is given instead of measured."""

    def __init__(self, accuracy: float) -> None:
        super().__init__("least_squares")
        self.given = accuracy

    def accuracy(self, real_logits: Any, fake_logits: Any) -> float:
        return self.given


def batches(rank: int, count: int = 2) -> list[dict[str, Tensor]]:
    generator = torch.Generator().manual_seed(rank)
    images = torch.rand(count, 1, 1, EDGE, EDGE, EDGE, generator=generator)
    return [{"image": image, "label": (image > 0.5).to(torch.uint8)} for image in images]


def trained(rank: int, accuracy: float) -> RegionAdversarialTrainer:
    """Train on this process's own blocks, from the same initial weights."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    generator = wrap_for_distributed(nn.Conv3d(1, 1, 3, padding=1), "cpu")
    judge = PatchDiscriminator(3, channels=2, in_channels=2, num_layers_d=1, norm="INSTANCE")
    judge = wrap_for_distributed(judge, "cpu")
    trainer = RegionAdversarialTrainer(
        device="cpu",
        max_epochs=1,
        train_data_loader=batches(rank),
        g_network=generator,
        d_network=judge,
        g_optimizer=torch.optim.Adam(generator.parameters(), 1e-2),
        d_optimizer=torch.optim.Adam(judge.parameters(), 1e-2),
        recon_loss_function=RegionGeneralizedDiceLoss(batch=True),
        adversarial_loss=Judges(accuracy),
        accuracy_gate=0.8,
        decollate=False,
    )
    trainer.run()
    return trainer


def mark(network: nn.Module) -> int:
    """Return a number that two networks share if they are equal to the last bit."""
    weights = torch.cat([weight.detach().flatten() for weight in network.parameters()])
    return int(weights.view(torch.int32).long().mul(torch.arange(1, len(weights) + 1)).sum())


def untrained_judge() -> int:
    torch.manual_seed(0)
    nn.Conv3d(1, 1, 3, padding=1)
    return mark(PatchDiscriminator(3, channels=2, in_channels=2, num_layers_d=1, norm="INSTANCE"))


def test_both_networks_are_the_same_in_all_processes(tmp_path: Path) -> None:
    def work(rank: int) -> int:
        trainer = trained(rank, accuracy=0.5)
        return mark(nn.ModuleList([trainer.state.g_network, trainer.state.d_network]))

    first, second = iterations_in_a_group(tmp_path, work)
    assert first == second


def test_the_discriminator_learns_in_all_processes_while_it_is_wrong_in_one(tmp_path: Path) -> None:
    first, second = iterations_in_a_group(tmp_path, lambda rank: mark(trained(rank, (0.9, 0.5)[rank]).state.d_network))
    assert first == second != untrained_judge()


def test_the_discriminator_pauses_in_all_processes_where_it_is_right_in_all(tmp_path: Path) -> None:
    marks = iterations_in_a_group(tmp_path, lambda rank: mark(trained(rank, 0.9).state.d_network))
    assert marks == [untrained_judge()] * 2
