"""What an exception in the middle of a run means for the user: memory that ran out, a loader worker that died."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from ignite.engine import Events
from torch import Tensor

from medbundles.components.datasets.reading_journal import last_read, last_read_by_the_dead
from medbundles.components.handlers.outputs import case_names
from medbundles.components.out_of_memory import is_out_of_memory, memory_failure, reason_in_words
from medbundles.errors import EnvironmentFailure, Finding, MedbundlesError, causes

# Torch's words about a loader worker that is gone, and about an exception in one that is not.
GONE = re.compile(r"DataLoader worker \(pid(?:\(s\))? ([\d, ]+)\)")
SIGNAL = re.compile(r"killed by signal: ([^.]+)")
RAISED = re.compile(r"Caught \w+ in DataLoader worker process \d+\.\nOriginal Traceback")
# Keys of a configuration that decide how much memory a step takes.
SIZES = ("batch_size", "patch_size")
SMALLER = "lower batch_size or patch_size, or on a GPU pass --amp true; the checkpoint of the last complete epoch stays"


def explained(error: BaseException, engine: Any = None, config: Mapping[str, Any] | None = None) -> BaseException:
    """Return the refusal that an exception amounts to, or the exception itself where it says all there is to say.

    Args:
        error: what ended the run.
        engine: the ignite engine that ran, for where it was and what it held.
        config: the run's configuration, for the sizes in it.
    """
    chain = list(causes(error))
    if any(isinstance(cause, KeyboardInterrupt | SystemExit) for cause in chain):
        return error
    ours = next((cause for cause in chain if isinstance(cause, MedbundlesError)), None)
    if ours is not None:
        return _without_traceback(ours) if RAISED.match(ours.message) else error
    if is_out_of_memory(error):
        where, sizes = _place_of(engine), _sizes_of(engine, config or {})
        message = f"out of memory{where}{sizes} ({reason_in_words(error)})"
        return memory_failure(message, _device_of(engine), SMALLER)
    gone = next((match for cause in chain if (match := GONE.search(str(cause)))), None)
    if gone is not None:
        signal = next((match[1] for cause in chain if (match := SIGNAL.search(str(cause)))), None)
        return _worker_gone(last_read([int(number) for number in gone[1].split(",")]), signal)
    # A worker that dies with a batch still to be handed over shows as its end of the line, before torch has noticed.
    if isinstance(chain[-1], ConnectionError | EOFError) and (cases := last_read_by_the_dead()):
        return _worker_gone(cases)
    return error


def _without_traceback(error: MedbundlesError) -> MedbundlesError:
    """Return a refusal of a loader worker as it was raised there; torch hands on only its class and a traceback."""
    name = f"{type(error).__module__}.{type(error).__qualname__}: "
    return type(error)(error.message.rpartition(name)[2].strip())


def _worker_gone(cases: list[str], signal: str | None = None) -> EnvironmentFailure:
    how = f"was ended by the signal {signal}" if signal else "has ended"
    read = f"it was reading {', '.join(cases)}" if cases else "what it was reading is not known"
    message = f"a loader worker {how}; {read}"
    fix = (
        "memory may have run out or the case's files may be damaged: lower num_workers; "
        "with --num_workers 0 the error itself is shown"
    )
    return EnvironmentFailure(
        findings=[Finding("TRN008", "error", message, fix, case=cases[0] if len(cases) == 1 else None)]
    )


def _place_of(engine: Any) -> str:
    state = getattr(engine, "state", None)
    if state is None or not state.epoch:
        return ""
    if engine.last_event_name == Events.EPOCH_COMPLETED:
        return f" after epoch {state.epoch}, in its validation or when it was saved"
    return f" in epoch {state.epoch}" + (f", iteration {state.iteration}" if state.iteration else "")


def _sizes_of(engine: Any, config: Mapping[str, Any]) -> str:
    said = [f"{key} {config[key]}" for key in SIZES if isinstance(config.get(key), int | list)]
    batch = getattr(getattr(engine, "state", None), "batch", None)
    shape = _shape_of(batch)
    if shape:
        said.append(f"a batch of {' x '.join(map(str, shape))}")
    cases = ", ".join(dict.fromkeys(case_names(batch))) if batch is not None else ""
    return f" with {', '.join(said)}" * bool(said) + f", cases {cases}" * bool(cases)


def _shape_of(batch: Any) -> tuple[int, ...] | None:
    """Return the shape of a batch's images, the items of one taken apart counted."""
    if isinstance(batch, list) and batch:
        shape = _shape_of(batch[0])
        return None if shape is None else (len(batch), *shape)
    if not isinstance(batch, Mapping):
        return None
    image = batch.get("image", next((value for value in batch.values() if isinstance(value, Tensor)), None))
    return tuple(image.shape) if isinstance(image, Tensor) else None


def _device_of(engine: Any) -> torch.device:
    network = getattr(engine, "network", None)
    parameter = next(network.parameters(), None) if isinstance(network, torch.nn.Module) else None
    return torch.device("cpu") if parameter is None else parameter.device
