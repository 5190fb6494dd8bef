"""Writing ``model.json`` whenever better weights are written."""

from __future__ import annotations

import os
import platform
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import monai
import torch
from ignite.engine import Engine

from medbundles import __version__
from medbundles.components.distributed import is_writer
from medbundles.components.handlers.events import TrainingEvents, register_training_events
from medbundles.io.datalist import DATALIST_NAME
from medbundles.io.hashing import sha256_file
from medbundles.io.model_json import WEIGHTS_NAME, write_model


class ModelRecord:
    """Describe the weights for those who use them: network, preprocessing, labels, thresholds, origin.

    It is written after the weight files at every new best validation, so a run that is stopped early leaves a model
    that inference can use.

    Args:
        output_dir: where ``model.pt`` lies.
        bundle: the bundle's name.
        network: plain description (:func:`medbundles.components.networks.describe_network`).
        image_channels: names of the image files' contrasts, in order.
        labels: name of each label value, ``{"0": "background", "1": "nodule"}``.
        colors: RGB 0..255 of each label name, for pictures and viewers.
        preprocessing: what inference repeats: HU window, slices, orientation, spacing.
        postprocessing: what inference repeats of the way from probabilities to findings, such as smoothing; or a
            function that is called at every new best validation and returns it.
        thresholds: called at every new best validation; returns plain data fixed on validation cases.
        dataset_dir: prepared folder, whose data list's hash is recorded.
        seed: seed of the run.
        fold: fold that validated.
        learning_rate: initial learning rate.
        weight_files: names of the weight files to hash.
        regions: label values that make each of the network's outputs, ``{"WT": [1, 2, 3], "ET": [3]}``; None where
            each label has an output of its own.
    """

    def __init__(
        self,
        output_dir: str | os.PathLike[str],
        bundle: str,
        network: Mapping[str, Any],
        image_channels: Sequence[str],
        labels: Mapping[str, str],
        colors: Mapping[str, Sequence[int]],
        preprocessing: Mapping[str, Any],
        postprocessing: Mapping[str, Any] | Callable[[], Mapping[str, Any]] | None = None,
        thresholds: Callable[[], Mapping[str, Any]] | None = None,
        dataset_dir: str | os.PathLike[str] | None = None,
        seed: int | None = None,
        fold: int | None = None,
        learning_rate: float | None = None,
        weight_files: Sequence[str] = (WEIGHTS_NAME,),
        regions: Mapping[str, Sequence[int]] | None = None,
    ) -> None:
        self.output_dir = Path(output_dir)
        self.thresholds = thresholds
        self.postprocessing = postprocessing
        self.weight_files = list(weight_files)
        self.training = {"seed": seed, "fold": fold, "learning_rate": learning_rate, "data": _data_hashes(dataset_dir)}
        self.description = {
            "bundle": bundle,
            "network": dict(network),
            "image_channels": list(image_channels),
            "labels": {str(value): name for value, name in labels.items()},
            "colors": {name: list(color) for name, color in colors.items()},
            "preprocessing": dict(preprocessing),
        }
        if regions is not None:
            self.description["regions"] = {name: list(values) for name, values in regions.items()}

    def attach(self, engine: Engine) -> None:
        """Write after this trainer's checkpoint has written better weights."""
        register_training_events(engine)
        engine.add_event_handler(TrainingEvents.WEIGHTS_WRITTEN, self)

    def __call__(self, engine: Engine) -> None:
        """Write ``model.json`` for the weights just written."""
        # Every process takes part: what is chosen is gathered from all of them.
        thresholds = dict(self.thresholds()) if self.thresholds else {}
        chosen = self.postprocessing() if callable(self.postprocessing) else self.postprocessing
        if not is_writer():
            return
        training = self.training | {
            "epoch": int(engine.state.epoch),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "command": command_line(),
            "versions": versions(),
        }
        fixed = {"postprocessing": dict(chosen or {}), "thresholds": thresholds}
        model = self.description | fixed | {"training": training}
        write_model(self.output_dir, model, self.weight_files)


def command_line() -> str:
    """Return the command of this process as one would type it anywhere: without the folder Python lies in."""
    program = Path(sys.argv[0])
    words: tuple[str, ...] = (program.name,)
    if program.name == "__main__.py":
        words = ("medbundles",) if program.parent.name == "medbundles" else ("python", "-m", "monai.bundle")
    return shlex.join([*words, *sys.argv[1:]])


def versions() -> dict[str, str]:
    """Return the versions of what computes here."""
    return {
        "medbundles": __version__,
        "monai": monai.__version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def _data_hashes(dataset_dir: str | os.PathLike[str] | None) -> dict[str, str]:
    if dataset_dir is None:
        return {}
    root = Path(dataset_dir)
    files = (root / name for name in (DATALIST_NAME, "fingerprint.json"))
    return {file.name: sha256_file(file) for file in files if file.is_file()}
