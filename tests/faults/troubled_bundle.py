"""A training of a second that gets into trouble once it has saved its first checkpoint."""

from __future__ import annotations

from pathlib import Path

from tests.tiny_bundle import write_tiny_bundle

CASES = 6
# Which of them is in trouble.
BAD_CASE = "case3"
CHECKPOINT_BYTES = 80_000  # about; the smallest of what the run writes but for its lock and record

OVERLAY = f"""\
trouble: none
batch_size: 2
num_workers: 0
multiprocessing_context: null
persistent_workers: false
max_epochs: 3
network_def::in_features: 20000
dataset:
  _target_: medbundles.components.datasets.CaseDataset
  data: '$[dict(case=f"case{{number}}") for number in range({CASES})]'
  transform: {{_target_: trouble.Read, trouble: '@trouble', output_dir: '@output_dir'}}
train::trainer::train_data_loader:
  _target_: DataLoader
  dataset: '@dataset'
  batch_size: '@batch_size'
  num_workers: '@num_workers'
  multiprocessing_context: '@multiprocessing_context'
  persistent_workers: '@persistent_workers'
train::trainer::device: {{_target_: medbundles.components.device.select_device, request: '@device'}}
train::trainer::loss_function: {{_target_: trouble.Loss, trouble: '@trouble', output_dir: '@output_dir'}}
train::handlers:
  - _target_: medbundles.components.handlers.HandlerGroup
    status: {{_target_: medbundles.components.handlers.RunStatus, session: '@session'}}
    reseed: {{_target_: medbundles.components.handlers.EpochReseed, seed: '@seed'}}
    signals: {{_target_: medbundles.components.handlers.StopOnSignal}}
    nan: {{_target_: medbundles.components.handlers.StopOnNan}}
    checkpoint:
      _target_: medbundles.components.handlers.ResumableCheckpoint
      output_dir: '@output_dir'
      networks: {{network: '@network_def'}}
      objects: {{optimizer: '@optimizer'}}
      resume: '@resume'
"""

# Beside the configuration, as code of a user's own would be.
CODE = """\
import ctypes
import os
import resource
import signal
import time
from pathlib import Path

import torch


class Trouble:
    def __init__(self, trouble, output_dir):
        self.trouble, self.checkpoint = trouble, Path(output_dir) / "last.pt"

    def has_come(self, kind):
        return self.trouble.startswith(kind) and self.checkpoint.exists()


class Read(Trouble):
    def __call__(self, record):
        if record["case"] == "case3" and self.has_come("case "):
            kind = self.trouble.removeprefix("case ")
            if kind == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            if kind == "crashes":
                ctypes.string_at(0)
            if kind == "leaves":
                os._exit(7)
            if kind == "unreadable":
                raise OSError("the file ends after 7 bytes")
            if kind == "mistake":
                record.no_such_method()
            if kind == "huge":
                bytearray(1 << 60)
        number = int(record["case"].removeprefix("case"))
        return {"image": torch.full((20000,), number / 100), "label": torch.ones(1), "case": record["case"]}


class Loss(Trouble):
    def __call__(self, prediction, label):
        loss = ((prediction - label) ** 2).mean()
        if self.has_come("huge step"):
            torch.empty(1 << 50)
        if self.has_come("nan"):
            return loss * float("nan")
        if self.has_come("disk "):
            limit = int(self.trouble.removeprefix("disk "))
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        if self.has_come("slow"):
            time.sleep(0.02)
        return loss
"""


def write_troubled_bundle(folder: Path) -> None:
    """Write ``tiny/``, ``troubled.yaml`` to be laid over it, and its code into a folder to start from."""
    write_tiny_bundle(folder / "tiny")
    (folder / "troubled.yaml").write_text(OVERLAY, encoding="utf-8")
    (folder / "trouble.py").write_text(CODE, encoding="utf-8")
