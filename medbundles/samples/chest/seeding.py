"""Random streams that do not disturb each other: one per (seed, case, purpose)."""

from __future__ import annotations

import hashlib
import uuid
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


def series_uid(seed: int, case: int) -> str:
    """Return a DICOM series UID under the UUID root 2.25 (ITU-T X.667), which no archive's own root contains."""
    digest = hashlib.sha256(f"lung nodule samples {seed} {case}".encode()).digest()
    return f"2.25.{uuid.UUID(bytes=digest[:16], version=4).int}"
