"""A training of seconds with everything that must survive a resume: two networks, optimizers, schedules, an average."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from ignite.metrics import Metric
from monai.data import DataLoader, Dataset
from monai.engines import SupervisedEvaluator, SupervisedTrainer
from monai.handlers import LrScheduleHandler, from_engine
from monai.transforms import Compose, RandGaussianNoised
from torch import nn

from medbundles.components.handlers import (
    EpochReseed,
    History,
    ResumableCheckpoint,
    ScheduledValidation,
    WeightAverage,
)

CASES = 8
BATCH_SIZE = 2


def make_network(channels: int = 4) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, channels, 3, padding=1),
        nn.BatchNorm2d(channels),
        nn.Dropout(0.2),
        nn.ReLU(),
        nn.Conv2d(channels, 1, 1),
    )


def make_dataset(cases: int = CASES) -> Dataset:
    generator = torch.Generator().manual_seed(1)
    images = torch.rand((cases, 1, 8, 8), generator=generator)
    items = [{"image": image, "label": 2 * image, "case": f"case{n}"} for n, image in enumerate(images)]
    return Dataset(items, Compose([RandGaussianNoised(keys="image", prob=0.5, std=0.1)]))


class MeanError(Metric):
    """Mean absolute error of everything seen."""

    def reset(self) -> None:
        self.errors: list[float] = []

    def update(self, output: Any) -> None:
        predictions, labels = output
        self.errors += [float((p - t).abs().mean()) for p, t in zip(predictions, labels, strict=True)]

    def compute(self) -> float:
        return sum(self.errors) / len(self.errors)


class ScriptedScore(Metric):
    """A metric that gives the scores it was told to, one for each validation epoch."""

    def __init__(self, scores: Sequence[float]) -> None:
        super().__init__()
        self.scores = scores

    def attach(self, engine: Any, name: str) -> None:
        self.engine = engine
        super().attach(engine, name)

    def reset(self) -> None:
        pass

    def update(self, output: Any) -> None:
        pass

    def compute(self) -> float:
        return self.scores[self.engine.state.epoch - 1]


@dataclass
class TinyTraining:
    """Builds trainer and evaluator from scratch, as a new process would."""

    output_dir: Path
    epochs: int = 4
    workers: int = 0
    resume: Any = False
    epoch_length: int | None = None
    interval: int = 2
    scores: Sequence[float] | None = None
    lower_is_better: bool = True
    decay: float = 0.5
    extra_handlers: Sequence[Any] = ()
    channels: int = 4
    weight_files: dict[str, str] | None = None
    checkpoint_interval: int = 1
    history: dict[str, Any] | None = None
    losses: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        torch.manual_seed(0)
        self.generator, self.discriminator = make_network(self.channels), make_network(self.channels)
        self.average = WeightAverage(self.generator, self.decay)
        self.optimizers = {
            "generator": torch.optim.Adam(self.generator.parameters(), 0.01),
            "discriminator": torch.optim.SGD(self.discriminator.parameters(), 0.01, momentum=0.9),
        }
        self.schedules = {
            "generator": torch.optim.lr_scheduler.CosineAnnealingLR(self.optimizers["generator"], self.epochs),
            "discriminator": torch.optim.lr_scheduler.StepLR(self.optimizers["discriminator"], 2),
        }
        metric = MeanError(from_engine(["pred", "label"])) if self.scores is None else ScriptedScore(self.scores)
        self.evaluator = SupervisedEvaluator(
            device="cpu",
            val_data_loader=DataLoader(make_dataset(4), batch_size=1),
            network=self.average.model,
            key_val_metric={"score": metric},
            val_handlers=[EpochReseed(0)],
        )
        self.checkpoint = ResumableCheckpoint(
            self.output_dir,
            networks={"generator": self.generator, "discriminator": self.discriminator},
            objects={
                "average": self.average,
                **{f"{name}_optimizer": item for name, item in self.optimizers.items()},
                **{f"{name}_schedule": item for name, item in self.schedules.items()},
            },
            evaluator=self.evaluator,
            resume=self.resume,
            interval=self.checkpoint_interval,
            lower_is_better=self.lower_is_better,
            weight_files=self.weight_files or {"average": "model.pt", "discriminator": "discriminator.pt"},
        )
        self.trainer = SupervisedTrainer(
            device="cpu",
            max_epochs=self.epochs,
            epoch_length=self.epoch_length,
            train_data_loader=DataLoader(make_dataset(), batch_size=BATCH_SIZE, shuffle=True, num_workers=self.workers),
            network=self.generator,
            optimizer=self.optimizers["generator"],
            loss_function=nn.MSELoss(),
            iteration_update=self._step,
            decollate=False,
            train_handlers=[
                EpochReseed(0),
                self.average,
                *(LrScheduleHandler(schedule) for schedule in self.schedules.values()),
                *self._history(),
                *self.extra_handlers,
                self.checkpoint,
                ScheduledValidation(self.evaluator, self.interval),
            ],
        )

    def _history(self) -> list[History]:
        options = {"tensorboard": False} | (self.history or {})
        return [] if self.history is None else [History(self.output_dir, self.evaluator, self.optimizers, **options)]

    def _step(self, engine: Any, batch: dict[str, Any]) -> dict[str, Any]:
        image, label = batch["image"], batch["label"]
        self.generator.train()
        self.discriminator.train()
        fake = self.generator(image)
        loss = (fake - label).square().mean() + 0.1 * (self.discriminator(fake) - 1).square().mean()
        self._descend("generator", loss)
        real_loss = (self.discriminator(label) - 1).square().mean()
        self._descend("discriminator", real_loss + self.discriminator(fake.detach()).square().mean())
        loss = loss.detach()
        self.losses.append(float(loss))
        return {"image": image, "label": label, "pred": fake.detach(), "loss": loss}

    def _descend(self, name: str, loss: torch.Tensor) -> None:
        self.optimizers[name].zero_grad()
        loss.backward()
        self.optimizers[name].step()

    def run(self) -> TinyTraining:
        self.trainer.run()
        return self
