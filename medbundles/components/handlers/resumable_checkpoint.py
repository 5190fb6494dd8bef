"""Checkpoints from which a run goes on as if it had never stopped."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events
from torch import nn

from medbundles.components.distributed import is_writer
from medbundles.components.handlers.checkpoint_folder import BEST, CheckpointFolder
from medbundles.components.handlers.events import TrainingEvents, register_training_events, track_validations
from medbundles.components.networks.unwrap import unwrapped
from medbundles.components.tensor_file import load_state, plain_state
from medbundles.errors import ConfigurationError, Finding

# What a learning-rate schedule remembers of the run's length; a run resumed with more epochs must use its own.
SCHEDULE_LENGTHS = ("T_max", "total_steps")
EVALUATOR_STATE = ("best_metric", "best_metric_epoch")
logger = logging.getLogger(__name__)


class ResumableCheckpoint:
    """Save everything a run needs to go on, and the weights of the best model so far.

    ``last.pt`` holds networks, objects, the trainer's epoch and the evaluator's best score; it is written before each
    validation, so that one that crashes costs no training, and at the end of an epoch. ``previous.pt`` is the one
    before, ``best.pt`` that of the best score, and the weight files hold nothing but the best weights. Every file is
    complete or not there, whenever the process is killed. Random generators are not saved: :class:`EpochReseed` makes
    an epoch independent of them.

    ignite's ``Checkpoint`` forgets the best score over a resume and its ``DiskSaver`` does not flush to the disk, so
    this writes its own files. It is safe to list it anywhere: the end of an epoch is saved after all other handlers.

    Args:
        output_dir: where the files go.
        networks: networks by name, wrapped for distributed training or not.
        objects: anything else with ``state_dict`` and ``load_state_dict``, by name: optimizers, schedules, averages.
            The trainer's own gradient scaler is added.
        evaluator: the MONAI evaluator whose key metric chooses the best model; ``None`` (or one without a key metric)
            takes the last model for the best.
        resume: ``False``, ``True`` (go on from ``last.pt`` of ``output_dir``, or start where there is none yet), or
            the path of a checkpoint.
        interval: epochs between checkpoints; validated epochs and the last are always saved.
        lower_is_better: whether the key metric is an error; compared accordingly by the evaluator, too.
        weight_files: weight file of each network (or of an object with a network under ``model``, such as
            :class:`WeightAverage`), for example ``{generator: model.pt, discriminator: discriminator.pt}``; the
            default is the first network as ``model.pt``.

    Raises:
        ConfigurationError: ``weight_files`` names something unknown, or the interval is below 1.
    """

    def __init__(
        self,
        output_dir: str | os.PathLike[str],
        networks: Mapping[str, nn.Module],
        objects: Mapping[str, Any] | None = None,
        evaluator: Any = None,
        resume: bool | str | os.PathLike[str] = False,
        interval: int = 1,
        lower_is_better: bool = False,
        weight_files: Mapping[str, str] | None = None,
    ) -> None:
        if interval < 1:
            raise ConfigurationError(f"the checkpoint interval must be at least 1 epoch, got {interval}")
        self.folder = CheckpointFolder(output_dir)
        self.networks = {name: unwrapped(network) for name, network in networks.items()}
        self.objects = {name: item for name, item in (objects or {}).items() if item is not None}
        self.evaluator = evaluator
        self.resume = resume
        self.interval = interval
        self.lower_is_better = lower_is_better
        files = weight_files or {next(iter(self.networks)): "model.pt"}
        self._weights = {file: self._network_named(name) for name, file in files.items()}

    def attach(self, engine: Engine) -> None:
        """Save and restore this trainer."""
        register_training_events(engine)
        engine.add_event_handler(Events.STARTED, self._start)
        if self.evaluator is not None:
            self.evaluator.metric_cmp_fn = self._is_better
            track_validations(self.evaluator)
            self.evaluator.add_event_handler(Events.STARTED, self._save_before_validation, engine)

    def state(self, trainer: Engine) -> dict[str, Any]:
        """Return everything that ``last.pt`` holds, as tensors and plain values."""
        content = {
            "networks": {name: network.state_dict() for name, network in self.networks.items()},
            "objects": {name: item.state_dict() for name, item in self._all_objects(trainer).items()},
            "trainer": {"epoch": trainer.state.epoch, "iteration": trainer.state.iteration},
            "evaluator": {key: getattr(self.evaluator.state, key) for key in self._evaluator_keys()},
        }
        return dict(plain_state(content, "checkpoint"))

    def restore(self, trainer: Engine, path: str | os.PathLike[str]) -> None:
        """Load a checkpoint into the networks, objects, trainer and evaluator.

        Raises:
            DataError: the file is missing or damaged; the newest good one beside it is named (TRN007).
            ConfigurationError: it belongs to other networks or objects (TRN007).
        """
        file = Path(path)
        content = self.folder.read(file)
        objects = self._all_objects(trainer)
        _refuse_other_names(file.name, "networks", content["networks"], self.networks)
        _refuse_other_names(file.name, "objects", content["objects"], objects)
        for name, network in self.networks.items():
            load_state(network, content["networks"][name], file.name)
        for name, item in objects.items():
            state = content["objects"][name]
            item.load_state_dict({key: value for key, value in state.items() if key not in SCHEDULE_LENGTHS})
        for key in self._evaluator_keys():
            if key in content["evaluator"]:
                setattr(self.evaluator.state, key, content["evaluator"][key])
        # The iteration is that of the epoch's end even when the epochs are of another length now.
        trainer.state.epoch = content["trainer"]["epoch"]
        length = trainer.state.epoch_length
        trainer.state.iteration = trainer.state.epoch * length if length else content["trainer"]["iteration"]
        logger.info("resumed from %s: %d epochs are done", file, trainer.state.epoch)

    def _start(self, trainer: Engine) -> None:
        # Registered now, the handler comes after those of the configuration: whatever they changed is saved.
        if not trainer.has_event_handler(self._finish_epoch, Events.EPOCH_COMPLETED):
            trainer.add_event_handler(Events.EPOCH_COMPLETED, self._finish_epoch)
        path = self.folder.to_resume(self.resume)
        if path is None:
            # Whatever cannot be saved shall be known now, not after the first epoch.
            self.state(trainer)
            if is_writer():
                self.folder.forget()
            return
        self.restore(trainer, path)
        validated = getattr(getattr(self.evaluator, "state", None), "validated_epoch", 0)
        trainer.fire_event(TrainingEvents.RESTORED)
        if self.evaluator is not None and self.evaluator.state.validated_epoch != validated:
            self._finish_epoch(trainer)

    def _save_before_validation(self, _: Engine, trainer: Engine) -> None:
        if is_writer() and trainer.last_event_name == Events.EPOCH_COMPLETED:
            self.folder.write_last(self.state(trainer))

    def _finish_epoch(self, trainer: Engine) -> None:
        epoch = trainer.state.epoch
        is_last = epoch == trainer.state.max_epochs or bool(trainer.should_terminate)
        if not (self._validated(epoch) or is_last or epoch % self.interval == 0):
            return
        content = self.state(trainer)
        # The best model first: killed in between, the run resumes before this validation and repeats it.
        if self._is_best(epoch):
            self._write_best(content)
            trainer.fire_event(TrainingEvents.WEIGHTS_WRITTEN)
        if is_writer():
            self.folder.write_last(content)

    def _write_best(self, content: Mapping[str, Any]) -> None:
        if is_writer():
            self.folder.write(BEST, content)
            for file, network in self._weights.items():
                self.folder.write(file, network.state_dict())

    def _validated(self, epoch: int) -> bool:
        return self.evaluator is not None and self.evaluator.state.validated_epoch == epoch

    def _is_best(self, epoch: int) -> bool:
        if self.evaluator is None or self.evaluator.state.key_metric_name is None:
            return True
        return self._validated(epoch) and self.evaluator.state.best_metric_epoch == epoch

    def _is_better(self, current: float, best: float) -> bool:
        """Compare key metrics: of equal scores the later wins, it has learned longer; a number always beats NaN."""
        if math.isnan(current) or math.isnan(best):
            return not math.isnan(current)
        return current <= best if self.lower_is_better else current >= best

    def _evaluator_keys(self) -> list[str]:
        if self.evaluator is None:
            return []
        return [*EVALUATOR_STATE, "validated_epoch", *self.evaluator.state_dict_user_keys]

    def _all_objects(self, trainer: Any) -> dict[str, Any]:
        scaler = getattr(trainer, "scaler", None)
        return self.objects | ({"scaler": scaler} if scaler is not None else {})

    def _network_named(self, name: str) -> nn.Module:
        network = self.networks.get(name, getattr(self.objects.get(name), "model", None))
        if not isinstance(network, nn.Module):
            known = ", ".join([*self.networks, *self.objects])
            raise ConfigurationError(f"weight_files: {name} is no network; known are {known}")
        return unwrapped(network)


def _refuse_other_names(file_name: str, kind: str, saved: Mapping[str, Any], own: Mapping[str, Any]) -> None:
    if saved.keys() != own.keys():
        message = f"checkpoint with other {kind}: {', '.join(saved) or 'none'}; here {', '.join(own) or 'none'}"
        fix = "resume with the configuration of the run"
        raise ConfigurationError(findings=[Finding("TRN007", "error", message, fix, file=file_name)])
