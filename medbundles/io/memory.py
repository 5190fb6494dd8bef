"""How much memory the machine can still give."""

from __future__ import annotations

import os
import sys
from pathlib import Path

PROC = Path("/proc/meminfo")
STATUS = Path("/proc/self/status")
# A container's own limit, in the two layouts that Linux has: what it may use, what it uses, and how much of that is
# a file cache that it can give back.
CONTAINERS = (
    ("memory.max", "memory.current", "inactive_file", Path("/sys/fs/cgroup")),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file", Path("/sys/fs/cgroup/memory")),
)


def available_memory_bytes() -> int | None:
    """Return the memory a process may still take before the system swaps or kills it; None where nobody says."""
    known = [value for value in (_system_bytes(), _container_bytes(), _limit_bytes()) if value is not None]
    return min(known) if known else None


def highest_memory_bytes() -> int | None:
    """Return the most memory this process has held at any time; None where nobody says."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return highest if sys.platform == "darwin" else highest * 1024


def _system_bytes() -> int | None:
    if PROC.is_file():
        for line in PROC.read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    if sys.platform == "win32":
        return _windows_bytes()
    # macOS does not tell what is free in a way that means much: half of what is built in is a cautious guess.
    names = os.sysconf_names
    if "SC_PHYS_PAGES" in names and "SC_PAGE_SIZE" in names:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    return None


def _limit_bytes() -> int | None:
    """Return what `ulimit -v`, as batch systems set it, leaves to this process."""
    if not STATUS.is_file():
        return None
    import resource

    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit == resource.RLIM_INFINITY:
        return None
    taken = next(line for line in STATUS.read_text(encoding="ascii", errors="replace").splitlines() if "VmSize" in line)
    return max(limit - int(taken.split()[1]) * 1024, 0)


def _container_bytes() -> int | None:
    for limit, used, cache, folder in CONTAINERS:
        if not (folder / limit).is_file() or not (folder / used).is_file():
            continue
        text = (folder / limit).read_text(encoding="ascii").strip()
        if not text.isdigit():  # "max": no limit
            return None
        lines = (folder / "memory.stat").read_text(encoding="ascii").splitlines()
        spare = next((int(line.split()[1]) for line in lines if line.startswith(f"{cache} ")), 0)
        return max(int(text) - int((folder / used).read_text(encoding="ascii")) + spare, 0)
    return None


if sys.platform == "win32":

    def _windows_bytes() -> int | None:
        import ctypes

        class MemoryStatus(ctypes.Structure):
            _fields_ = [
                ("length", ctypes.c_ulong),
                ("load", ctypes.c_ulong),
                *((name, ctypes.c_ulonglong) for name in ("total", "available", "a", "b", "c", "d", "e")),
            ]

        status = MemoryStatus(length=ctypes.sizeof(MemoryStatus))
        if not ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status)):
            return None
        return int(status.available)
