"""Random streams that do not disturb each other: one per (seed, case, purpose)."""

from __future__ import annotations

import zlib

import numpy as np


def stream(seed: int, case: int, purpose: str) -> np.random.Generator:
    """Return the generator of one purpose in one scan.

    A structure that is added later gets its own purpose, so the rest of every scan stays as it was.

    Args:
        seed: the data set's seed, >= 0.
        case: the scan's number within the data set, >= 0.
        purpose: a name such as ``"vessels"``.
    """
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(case, zlib.crc32(purpose.encode()))))
