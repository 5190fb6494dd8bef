"""A bundle of a few lines whose run trains on random tensors for a second, for tests of everything around a run."""

from __future__ import annotations

from pathlib import Path

TRAIN = """\
imports:
  - $import torch
bundle_root: .
output_dir: run
device: cpu
seed: 0
overwrite: false
resume: false
allow: []
max_epochs: 1
learning_rate: 1.0e-3
weights: null
session:
  _target_: medbundles.components.workflows.RunSession
  kind: train
  bundle: tiny
  output_dir: '@output_dir'
  device: '@device'
  seed: '@seed'
  overwrite: '@overwrite'
  resume: '@resume'
  allow: '@allow'
  weights: '@weights'
network_def:
  _target_: torch.nn.Linear
  in_features: 2
  out_features: 1
optimizer:
  _target_: torch.optim.SGD
  params: $@network_def.parameters()
  lr: '@learning_rate'
data: '$[{"image": torch.zeros(2), "label": torch.ones(1)}] * 4'
train:
  handlers:
    - _target_: medbundles.components.handlers.RunStatus
      session: '@session'
    - _target_: medbundles.components.handlers.StopOnSignal
    - _target_: medbundles.components.handlers.StopOnNan
  trainer:
    _target_: SupervisedTrainer
    device: '@device'
    max_epochs: '@max_epochs'
    train_data_loader: {_target_: DataLoader, dataset: '@data', batch_size: 2}
    network: '@network_def'
    optimizer: '@optimizer'
    loss_function: $torch.nn.MSELoss()
    train_handlers: '@train::handlers'
run:
  - $@session.begin()
  - $@train::trainer.run()
  - $@session.complete(@train::trainer)
training: '%run'
"""


def write_tiny_bundle(folder: Path, train: str = TRAIN) -> Path:
    """Write the bundle and return its folder."""
    (folder / "configs").mkdir(parents=True)
    (folder / "configs" / "metadata.json").write_text('{"version": "0.1.0"}', encoding="utf-8")
    (folder / "configs" / "train.yaml").write_text(train, encoding="utf-8")
    return folder
