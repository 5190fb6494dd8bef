"""Files of tensors: written complete or not at all, read without running any code that may be in them."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from collections import Counter, OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from medbundles.errors import ConfigurationError, DataError, Finding, UntrustedContent
from medbundles.io.atomic import atomic_path

SHOWN_DIFFERENCES = 5
PLAIN_TYPES = (str, bytes, int, float, complex, bool, type(None))
NEWEST_PICKLE_PROTOCOL = 5


def write_tensor_file(path: str | os.PathLike[str], content: Mapping[str, Any]) -> None:
    """Write tensors and plain containers with ``torch.save``, atomically and flushed to the disk.

    The file is serialized in memory first: on a full disk ``torch.save`` itself raises a ``RuntimeError`` about
    stream positions, whereas writing bytes fails with the ``OSError`` that says what is wrong.

    Args:
        path: where the finished file shall be; an existing one is replaced only when the new one is complete.
        content: what to write; see :func:`plain_state`.

    Raises:
        ConfigurationError: something in it could not be read back with ``weights_only=True``.
        EnvironmentFailure: the disk is full; the previous file is still there.
    """
    buffer = io.BytesIO()
    torch.save(plain_state(content), buffer)
    with atomic_path(path) as temporary, temporary.open("wb") as handle:
        handle.write(buffer.getbuffer())


def read_tensor_file(path: str | os.PathLike[str]) -> Any:
    """Read what :func:`write_tensor_file` wrote onto the CPU, checksums included (torch itself does not check them).

    Raises:
        DataError: the file is missing (TRN011) or damaged (TRN007).
        UntrustedContent: it holds more than tensors and plain containers (TRU002).
    """
    file = Path(path)
    if not file.is_file():
        raise DataError(findings=[Finding("TRN011", "error", f"no file {file}", file=file.name)])
    try:
        if zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as archive:
                damaged = archive.testzip()
            if damaged is not None:
                raise _damaged(file, f"wrong checksum of its part {damaged}")
        return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # A whole archive or a plain pickle that is refused holds foreign objects; anything else is broken.
        if not (zipfile.is_zipfile(file) or _is_pickle(file) or "GLOBAL " in str(error)):
            raise _damaged(file, "cut short or no file of torch.save") from error
        message = "holds more than tensors and plain containers; loading it could run code"
        fix = "ask its author for a weights-only file"
        raise UntrustedContent(findings=[Finding("TRU002", "error", message, fix, file=file.name)]) from error
    except (RuntimeError, EOFError, OSError, zipfile.BadZipFile, KeyError) as error:
        raise _damaged(file, "cut short or no file of torch.save") from error


def plain_state(content: Any, where: str = "state") -> Any:
    """Return ``content`` with numpy scalars and tensor subclasses made plain, so that ``weights_only`` loads it.

    Args:
        content: nested dictionaries, lists, tuples and sets of tensors and plain values.
        where: name of ``content`` in error messages.

    Raises:
        ConfigurationError: an object that would make the file unreadable without running code.
    """
    if isinstance(content, Tensor):
        return content.detach().as_subclass(Tensor)
    if isinstance(content, np.generic):
        return content.item()
    if isinstance(content, np.ndarray):
        return torch.from_numpy(content)
    if isinstance(content, Mapping):
        return _plain_mapping(content, where)
    for kind in (list, tuple, set):
        if isinstance(content, kind):
            return kind(plain_state(value, f"{where}[{index}]") for index, value in enumerate(content))
    if type(content) in PLAIN_TYPES:
        return content
    raise ConfigurationError(f"{where} is a {type(content).__name__}: a checkpoint holds tensors and plain values only")


def _plain_mapping(content: Mapping[Any, Any], where: str) -> dict[Any, Any]:
    plain = {key: plain_state(value, f"{where}.{key}") for key, value in content.items()}
    if isinstance(content, Counter):
        return Counter(plain)
    if not hasattr(content, "_metadata"):
        return plain
    # Module.state_dict keeps the versions of its layers in an attribute; torch.save keeps it, too.
    state = OrderedDict(plain)
    state._metadata = content._metadata  # type: ignore[attr-defined]  # torch's own convention
    return state


def load_state(network: nn.Module, state: Mapping[str, Any], file_name: str) -> None:
    """Load a state dictionary into a network after comparing keys and shapes.

    Args:
        network: the network to fill, on whatever device it is.
        state: tensors by name.
        file_name: where they come from, for the message.

    Raises:
        ConfigurationError: they belong to another network; the first differing keys are named (TRN007).
    """
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
        raise ConfigurationError(findings=[Finding("TRN007", "error", message, fix, file=file_name)])
    network.load_state_dict(state)


def _is_pickle(file: Path) -> bool:
    with file.open("rb") as handle:
        start = handle.read(2)
    return len(start) == 2 and start[:1] == pickle.PROTO and start[1] <= NEWEST_PICKLE_PROTOCOL


def _damaged(file: Path, why: str) -> DataError:
    return DataError(findings=[Finding("TRN007", "error", f"damaged: {why}", file=file.name)])
