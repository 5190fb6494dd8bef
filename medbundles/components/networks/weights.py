"""Loading weights: only tensors, and only those of this very network."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from medbundles.components.tensor_file import load_state, read_tensor_file
from medbundles.errors import DataError, Finding, UntrustedContent

SAFETENSORS = ".safetensors"
# What a network that was wrapped for several GPUs when it was saved puts before every name.
WRAPPER = "module."
EPOCH_IN_NAME = re.compile(r"epoch[=_-]?(\d+)")


def load_weights(network: nn.Module, path: str | os.PathLike[str]) -> None:
    """Load ``model.pt`` or ``model.safetensors`` into a network on whatever device its parameters are.

    Args:
        network: the network to fill; one wrapped for several processes is filled inside of its wrapper.
        path: a state dictionary, or a dictionary that holds one under ``model``, saved by ``torch.save``.

    Raises:
        DataError: the file is missing (TRN011) or damaged (TRN007); another weights file beside it that is good is
            named.
        ConfigurationError: it belongs to another network; the first differing keys are named (TRN007).
        UntrustedContent: it holds more than tensors and plain containers (TRU002).
    """
    inner = network.module if isinstance(network, DistributedDataParallel) else network
    load_state(inner, read_weights_or_advise(path), Path(path).name)


def read_weights_or_advise(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Do as :func:`read_weights`; a refusal of damaged weights names a good file beside them."""
    try:
        return read_weights(path)
    except DataError as error:
        advice = _good_file_beside(Path(path))
        raise DataError(findings=[replace(found, fix=found.fix or advice) for found in error.findings]) from error


def read_weights(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Read a state dictionary onto the CPU without running any code of the file.

    Raises:
        DataError: the file is missing (TRN011), damaged or no state dictionary (TRN007).
        UntrustedContent: it holds more than tensors and plain containers (TRU002).
    """
    file = Path(path)
    content = _read_safetensors(file) if file.suffix == SAFETENSORS else read_tensor_file(file)
    state = content.get("model", content) if isinstance(content, Mapping) else None
    if not isinstance(state, Mapping) or not state or not all(isinstance(value, Tensor) for value in state.values()):
        fix = "give the model.pt of a training run"
        finding = Finding("TRN007", "error", "it holds no dictionary of tensors", fix, file=file.name)
        raise DataError(findings=[finding])
    wrapped = all(name.startswith(WRAPPER) for name in state)
    return {name.removeprefix(WRAPPER): value for name, value in state.items()} if wrapped else dict(state)


def _read_safetensors(file: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not file.is_file():
        raise DataError(findings=[Finding("TRN011", "error", f"no file {file}", file=file.name)])
    try:
        return load_file(file)
    except (SafetensorError, OSError) as error:
        finding = Finding("TRN007", "error", f"damaged: {error}", file=file.name)
        raise DataError(findings=[finding]) from error


def _good_file_beside(bad: Path) -> str:
    """Say which weights file in the folder of a bad one can be read: that of the latest epoch where names say it."""
    beside = [other for other in bad.parent.glob("*") if other.suffix in (".pt", SAFETENSORS) and other != bad]
    for other in sorted(beside, key=lambda file: (-_epoch_in(file.name), file.name)):
        try:
            read_weights(other)
        except (DataError, UntrustedContent):
            continue
        return f"{other.name} beside it is good"
    return "copy it again, or choose others with --weights"


def _epoch_in(name: str) -> int:
    """Return the epoch a file's name says (``model_epoch12.pt``, ``model_epoch=12.pt``), -1 where it says none."""
    found = EPOCH_IN_NAME.search(name)
    return int(found[1]) if found else -1
