"""Recognizing that memory ran out, and saying it in numbers (TRN004)."""

from __future__ import annotations

import re
from contextlib import suppress

import torch

from medbundles.errors import EnvironmentFailure, Finding, causes
from medbundles.io.memory import available_memory_bytes, highest_memory_bytes

# What torch and its libraries say where they raise a plain RuntimeError; in lower case.
MESSAGES = (
    "defaultcpuallocator",
    "not enough memory",
    "can't allocate memory",
    "cannot allocate memory",
    "bad_alloc",
    "bad allocation",
    "cuda error: out of memory",
    "status_alloc_failed",
    "backend out of memory",
)
WANTED = re.compile(r"tried to allocate ([\d.]+) (bytes|\w+)", re.IGNORECASE)
SENTENCE_END = re.compile(r"\n|\. ")
GIB = 2**30


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an exception, or what led to it, means that memory ran out, on a GPU or on the CPU."""
    return any(_says_so(cause) for cause in causes(error))


def reason_in_words(error: BaseException) -> str:
    """Return in a few words what did not fit, as the library said it; its advice to developers is left out."""
    cause = next((cause for cause in causes(error) if _says_so(cause)), error)
    # What a loader worker raised arrives with the worker's traceback before it.
    text = str(cause).rpartition(f"{type(cause).__name__}: ")[2].strip()
    wanted = WANTED.search(text)
    if wanted is None:
        return SENTENCE_END.split(text)[0] or type(cause).__name__
    amount, unit = wanted.groups()
    return f"it wanted {_gib(int(amount)) if unit == 'bytes' else f'{amount} {unit}'} more"


def memory_failure(message: str, device: torch.device, fix: str) -> EnvironmentFailure:
    """Return the refusal (TRN004) of what did not fit, with what the process took and what is left.

    Args:
        message: what did not fit.
        device: where it was to fit.
        fix: what the user can do about it.
    """
    said = f"{message}: {memory_in_numbers(device)}"
    return EnvironmentFailure(findings=[Finding("TRN004", "error", said, fix)])


def memory_in_numbers(device: torch.device) -> str:
    """Return how much memory this process took at most, and how much is left, in words."""
    if device.type == "cuda":
        with suppress(RuntimeError):  # a device that has failed answers no more
            free, total = torch.cuda.mem_get_info(device)
            held = torch.cuda.max_memory_reserved(device)
            return f"the process held up to {_gib(held)} of {device}, {_gib(free)} of its {_gib(total)} are free now"
    taken, left = highest_memory_bytes(), available_memory_bytes()
    known = [
        f"the process took up to {_gib(taken)} of the machine's memory" if taken is not None else "",
        f"{_gib(left)} are left for it now" if left is not None else "",
    ]
    return ", ".join(filter(None, known)) or "how much there is, the system does not say"


def _says_so(error: BaseException) -> bool:
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(part in text for part in MESSAGES)


def _gib(size: int) -> str:
    return f"{size / GIB:.2f} GiB"
