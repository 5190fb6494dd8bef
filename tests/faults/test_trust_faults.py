"""Content that would run code, through the real command."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import torch

from tests.tiny_bundle import TRAIN, write_tiny_bundle

REPOSITORY = Path(__file__).resolve().parents[2]
# The tiny bundle, starting from weights as fine-tuning does.
PRETRAINED = TRAIN.replace(
    "run:\n  - $@session.begin()\n",
    "run:\n  - $@session.begin()\n  - $weight_files.load_weights(@network_def, @weights)\n",
).replace("imports:\n", "imports:\n  - $import medbundles.components.networks.weights as weight_files\n")


class Payload:
    """Writes a file when it is unpickled."""

    def __init__(self, victim: Path) -> None:
        self.victim = victim

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.victim,)


def test_tru002_a_pickle_checkpoint_is_refused_and_never_run(
    tmp_path: Path, medbundles_command: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    bundle = write_tiny_bundle(tmp_path / "tiny", PRETRAINED)
    torch.save({"model": Payload(tmp_path / "victim")}, tmp_path / "stranger.pt")
    ended = medbundles_command(
        "train", bundle, "--weights", tmp_path / "stranger.pt", cwd=tmp_path, env={"PYTHONPATH": str(REPOSITORY)}
    )
    assert ended.returncode == 5
    assert "error[TRU002] stranger.pt: holds more than tensors" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not (tmp_path / "victim").exists()
    assert not (tmp_path / "run" / "run.json").exists()
