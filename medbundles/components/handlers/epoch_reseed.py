"""Every epoch starts from random generators that depend on the seed and the epoch alone."""

from __future__ import annotations

import logging
import random
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events
from monai.data.utils import set_rnd

from medbundles.components.distributed import rank

logger = logging.getLogger(__name__)


class EpochReseed:
    """Reseed all generators from ``(seed, epoch, rank)`` when an epoch starts.

    MONAI's random transforms keep private generators that no checkpoint restores. Reseeded here, an epoch draws the
    same numbers whether the run was just resumed or never stopped, so a run resumed at an epoch's boundary is
    bit-equal on a CPU. Reseeded are ``torch`` (all devices), ``numpy``, ``random`` and every randomizable transform of
    the loader's dataset; ``set_epoch`` is called on the loader's batch sampler, sampler and dataset where they have it.

    Attached to an evaluator as well, it makes random steps of a validation independent of what ran before.

    Args:
        seed: seed of the run.
        data_loader: the engine's loader; ``None`` takes the one the engine runs over.
    """

    def __init__(self, seed: int, data_loader: Any = None) -> None:
        self.seed = seed
        self.data_loader = data_loader

    def attach(self, engine: Engine) -> None:
        """Reseed at every start of an epoch of this engine."""
        engine.add_event_handler(Events.STARTED, self._warn_of_lasting_workers)
        engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Reseed for the epoch that starts; ignite makes the loader's iterator after this event."""
        epoch = int(engine.state.epoch)
        seed = epoch_seed(self.seed, epoch, rank())
        torch.manual_seed(seed)
        np.random.seed(seed)
        random.seed(seed)
        loader = self._loader(engine)
        for owner in self._followers(engine):
            if hasattr(owner, "set_epoch"):
                owner.set_epoch(epoch)
        set_rnd(self._dataset(engine), seed=seed)
        self._start_loader_anew(engine, loader)

    def _start_loader_anew(self, engine: Engine, loader: Any) -> None:
        """Drop an iterator that the previous epoch left half-used: a resumed run would not have it."""
        ends_with_the_loader = hasattr(loader, "__len__") and len(loader) == engine.state.epoch_length
        if loader is not None and not ends_with_the_loader:
            engine.set_data(loader)

    def _warn_of_lasting_workers(self, engine: Engine) -> None:
        loader = self._loader(engine)
        batch_sampler = getattr(loader, "batch_sampler", None)
        if getattr(loader, "persistent_workers", False) and not hasattr(batch_sampler, "set_epoch"):
            logger.warning(
                "persistent workers keep their random state over epochs: a resumed run will differ from an "
                "uninterrupted one; set persistent_workers to false"
            )

    def _followers(self, engine: Engine) -> list[Any]:
        """Return what may want to know the epoch."""
        loader = self._loader(engine)
        return [getattr(loader, name, None) for name in ("batch_sampler", "sampler", "dataset")]

    def _loader(self, engine: Engine) -> Any:
        return self.data_loader if self.data_loader is not None else engine.state.dataloader

    def _dataset(self, engine: Engine) -> Any:
        return getattr(self._loader(engine), "dataset", None)


def epoch_seed(seed: int, epoch: int, process: int = 0) -> int:
    """Mix the run's seed, an epoch and a process's rank into one seed in ``[0, 2**32)``."""
    return int(np.random.SeedSequence([seed, epoch, process]).generate_state(1, np.uint32)[0])
