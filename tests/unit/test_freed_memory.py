"""A training keeps the memory that it frees."""

from __future__ import annotations

import subprocess
import sys

import pytest

STEPS = """
import resource
import sys

import torch

from medbundles.components.freed_memory import keep_freed_memory

kept = keep_freed_memory() if sys.argv[1] == "keep" else None
for _ in range(20):
    torch.zeros(16, 2**20)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    torch.zeros(16, 2**20)
print(kept, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str) -> tuple[str, int]:
    """Return what was said, and how many pages ten steps asked of the system that free 64 MB each."""
    answer = subprocess.run([sys.executable, "-c", STEPS, how], capture_output=True, text=True, check=True)
    kept, count = answer.stdout.split()
    return kept, int(count)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc alone gives memory back at once")
def test_a_step_does_not_ask_the_system_again_for_what_it_has_freed() -> None:
    kept, count = faults("keep")
    assert kept == "True"
    assert count < 1000  # 163 840 pages are 640 MB


def test_elsewhere_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    from medbundles.components import freed_memory

    monkeypatch.setattr(freed_memory.sys, "platform", "darwin")
    assert not freed_memory.keep_freed_memory()
