"""Memory that a training frees stays with its process: the next step needs as much again."""

from __future__ import annotations

import ctypes
import sys

# Parameters of glibc's mallopt (malloc.h).
TRIM_THRESHOLD, TOP_PAD, MMAP_MAX = -1, -2, -4
NEVER, AT_ONCE = 2**31 - 1, 64 * 2**20


def keep_freed_memory() -> bool:
    """Let the C library keep what is freed instead of giving it back to the system; return whether it does now.

    By default glibc maps each large block anew and trims what lies free at the heap's end. A training step frees and
    asks for the same hundreds of megabytes again and again, and the system fills every page with zeros each time:
    a tenth of a step of a small 3D UNet on a CPU, 43 % of one of a SwinUNETR on blocks of 64^3. The process then never
    becomes smaller than it was at its largest, which is why inference leaves the default alone. Nothing happens where
    there is no glibc (macOS, Windows, musl).
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is None:
        return False
    return all([mallopt(MMAP_MAX, 0), mallopt(TRIM_THRESHOLD, NEVER), mallopt(TOP_PAD, AT_ONCE)])
