"""The device rule: say which device computes and why; asked for and absent is an error, never a silent CPU."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import torch

from medbundles.components.distributed import is_writer, local_rank, world_size
from medbundles.errors import ConfigurationError, EnvironmentFailure, Finding

KINDS = ("cpu", "cuda", "mps")
_announced: set[str] = set()


@dataclass(frozen=True)
class DeviceChoice:
    """A device and the sentence that says why it was taken."""

    device: torch.device
    reason: str


def select_device(request: str | torch.device = "auto") -> torch.device:
    """Return the device to compute on and print, once per choice, which it is and why.

    Args:
        request: ``auto`` (a CUDA GPU when there is one, else the CPU), ``cpu``, ``cuda``, ``cuda:1``, ``mps`` or a
            ``torch.device``. Under torchrun ``auto`` and ``cuda`` mean the GPU of this process.

    Raises:
        ConfigurationError: the request names no device (CFG002).
        EnvironmentFailure: the device was asked for and is absent (TRN010).
    """
    choice = choose_device(request)
    sentence = f"device: {choice.device} ({choice.reason})"
    if is_writer() and sentence not in _announced:
        _announced.add(sentence)
        print(sentence, file=sys.stderr, flush=True)
    return choice.device


def choose_device(request: str | torch.device = "auto") -> DeviceChoice:
    """Return the device and the reason without printing; same rule and errors as :func:`select_device`."""
    wanted = str(request).strip().lower()
    if wanted == "auto":
        return _choose_automatically()
    try:
        device = torch.device(wanted)
    except RuntimeError:
        device = None
    if device is None or device.type not in KINDS:
        message = f"device {request!r} is none of auto, {', '.join(KINDS)}, cuda:<number>"
        raise ConfigurationError(findings=[Finding("CFG002", "error", message, "choose one with --device")])
    if device.type == "cuda":
        return _choose_gpu(device)
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise _absent("mps", "this PyTorch sees no Apple GPU")
    return DeviceChoice(device, "asked for")


def has_mixed_precision(device: torch.device) -> bool:
    """Return whether 3D networks train faster there in mixed precision: on CUDA, and on CPUs with units for bfloat16.

    Other CPUs compute bfloat16 as well, but slower than float32.
    """
    if device.type != "cpu":
        return device.type == "cuda"
    return any(getattr(torch.cpu, name, bool)() for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))


def _choose_automatically() -> DeviceChoice:
    if torch.cuda.is_available():
        index = local_rank() if world_size() > 1 else 0
        choice = _choose_gpu(torch.device("cuda", index))
        return DeviceChoice(choice.device, f"auto: {torch.cuda.get_device_name(choice.device)}")
    if torch.backends.mps.is_available():
        # Not taken by itself: 3D resampling and some 3D layers are missing there.
        return DeviceChoice(torch.device("cpu"), "auto: no CUDA GPU; the Apple GPU is used only with --device mps")
    built = "" if _built_for_gpus() else ", this PyTorch is built without CUDA"
    return DeviceChoice(torch.device("cpu"), f"auto: no GPU found{built}")


def _choose_gpu(device: torch.device) -> DeviceChoice:
    present = torch.cuda.device_count() if torch.cuda.is_available() else 0
    index = device.index if device.index is not None else local_rank()
    if present == 0:
        built = "no CUDA GPU is visible" if _built_for_gpus() else "this PyTorch is built without CUDA"
        raise _absent(str(device), built)
    if index >= present:
        raise _absent(f"cuda:{index}", f"{present} CUDA GPU(s) are visible, numbered from 0")
    return DeviceChoice(torch.device("cuda", index), f"asked for: {torch.cuda.get_device_name(index)}")


def _absent(wanted: str, found: str) -> EnvironmentFailure:
    fix = "use --device auto or --device cpu"
    return EnvironmentFailure(findings=[Finding("TRN010", "error", f"device {wanted} was asked for, {found}", fix)])


def _built_for_gpus() -> bool:
    return torch.version.cuda is not None or torch.version.hip is not None
