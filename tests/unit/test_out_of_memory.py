"""What libraries say when memory runs out is recognized and told in a few words."""

from __future__ import annotations

import re

import pytest
import torch

from medbundles.components.out_of_memory import is_out_of_memory, memory_failure, reason_in_words
from medbundles.io.memory import highest_memory_bytes

CUDA = (
    "CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 79.10 GiB of which 1.02 GiB is "
    "free. If reserved but unallocated memory is large try setting PYTORCH_ALLOC_CONF=expandable_segments:True"
)
CPU = (
    "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate "
    "2147483648 bytes. Error code 12 (Cannot allocate memory)"
)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (torch.OutOfMemoryError(CUDA), "it wanted 20.00 GiB more"),
        (RuntimeError(CPU), "it wanted 2.00 GiB more"),
        (MemoryError("Unable to allocate 2.29 TiB for an array"), "Unable to allocate 2.29 TiB for an array"),
        (MemoryError(), "MemoryError"),
        (
            RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
            "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        ),
        (
            MemoryError(
                "Caught MemoryError in DataLoader worker process 0.\nOriginal ...\nMemoryError: case A: no room\n"
            ),
            "case A: no room",
        ),
    ],
)
def test_every_way_to_say_it_is_told_in_a_few_words(error: Exception, words: str) -> None:
    wrapped = RuntimeError("applying transform Crop")
    wrapped.__cause__ = error
    assert is_out_of_memory(wrapped)
    assert reason_in_words(wrapped) == words


def test_other_failures_are_no_lack_of_memory() -> None:
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied (2x3 and 4x5)"))
    assert not is_out_of_memory(ValueError("not enough memory of the past"))


def test_the_refusal_says_what_was_taken_and_what_is_left() -> None:
    refusal = memory_failure("no room for the batch", torch.device("cpu"), "make it smaller")
    taken = re.search(
        r"no room for the batch: the process took up to ([\d.]+) GiB of the machine's memory", str(refusal)
    )
    assert taken
    assert float(taken[1]) == pytest.approx((highest_memory_bytes() or 0) / 2**30, abs=0.05)
    assert "GiB are left for it now; make it smaller" in str(refusal)
