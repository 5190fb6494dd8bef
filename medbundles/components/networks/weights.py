"""Loading weights: only tensors, and only those of this very network."""

from __future__ import annotations

import os
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from medbundles.errors import ConfigurationError, DataError, Finding, UntrustedContent

SHOWN_DIFFERENCES = 5


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
    file = Path(path)
    state = read_weights(file)
    own = network.state_dict()
    differences = [
        *(f"{key}: missing in the file" for key in own if key not in state),
        *(f"{key}: not in the network" for key in state if key not in own),
        *(
            f"{key}: {tuple(state[key].shape)} in the file, {tuple(own[key].shape)} in the network"
            for key in own
            if key in state and state[key].shape != own[key].shape
        ),
    ]
    if differences:
        shown = "; ".join(differences[:SHOWN_DIFFERENCES])
        message = f"weights of another network, {len(differences)} differences, first: {shown}"
        fix = "choose the network and channels they were trained with"
        raise ConfigurationError(findings=[Finding("TRN007", "error", message, fix, file=file.name)])
    network.load_state_dict(state)


def read_weights(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Read a state dictionary onto the CPU without running any code of the file.

    Raises:
        DataError: the file is missing (TRN011), damaged or no state dictionary (TRN007).
        UntrustedContent: it holds more than tensors and plain containers (TRU002).
    """
    file = Path(path)
    if not file.is_file():
        fix = "train first, or choose others with --weights"
        raise DataError(findings=[Finding("TRN011", "error", f"no weights at {file}", fix, file=file.name)])
    try:
        content: Any = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # A file cut short is a broken zip; what is a whole zip and still refused holds foreign objects.
        if not zipfile.is_zipfile(file) and not file.read_bytes()[:2] == b"\x80\x02":
            raise _damaged(file, "not a file of torch.save") from error
        message = "holds more than tensors and plain containers; loading it could run code"
        fix = "ask its author for a weights-only file"
        raise UntrustedContent(findings=[Finding("TRU002", "error", message, fix, file=file.name)]) from error
    except (RuntimeError, EOFError, OSError) as error:
        raise _damaged(file, str(error).splitlines()[0]) from error
    state = content.get("model", content) if isinstance(content, Mapping) else None
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise _damaged(file, "no dictionary of tensors in it")
    return dict(state)


def _damaged(file: Path, why: str) -> DataError:
    others = sorted(other.name for other in file.parent.glob("*.pt") if other != file)
    fix = f"try another file of this folder ({', '.join(others)})" if others else "copy it again from its source"
    return DataError(findings=[Finding("TRN007", "error", f"damaged weights: {why}", fix, file=file.name)])
