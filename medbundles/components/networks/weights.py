"""Loading weights: only tensors, and only those of this very network."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from medbundles.components.tensor_file import load_state, read_tensor_file
from medbundles.errors import DataError, Finding


def load_weights(network: nn.Module, path: str | os.PathLike[str]) -> None:
    """Load ``model.pt`` into a network on whatever device its parameters are.

    Args:
        network: the network to fill.
        path: a state dictionary, or a dictionary that holds one under ``model``, saved by ``torch.save``.

    Raises:
        DataError: the file is missing (TRN011) or damaged (TRN007).
        ConfigurationError: it belongs to another network; the first differing keys are named (TRN007).
        UntrustedContent: it holds more than tensors and plain containers (TRU002).
    """
    load_state(network, read_weights(path), Path(path).name)


def read_weights(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Read a state dictionary onto the CPU without running any code of the file.

    Raises:
        DataError: the file is missing (TRN011), damaged or no state dictionary (TRN007).
        UntrustedContent: it holds more than tensors and plain containers (TRU002).
    """
    content = read_tensor_file(path)
    state = content.get("model", content) if isinstance(content, Mapping) else None
    if not isinstance(state, Mapping) or not state or not all(isinstance(value, Tensor) for value in state.values()):
        fix = "give the model.pt of a training run"
        finding = Finding("TRN007", "error", "it holds no dictionary of tensors", fix, file=Path(path).name)
        raise DataError(findings=[finding])
    return dict(state)
