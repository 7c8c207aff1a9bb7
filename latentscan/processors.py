"""How many processors and how much memory this process may use."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")  # of containers


def processors() -> int:
    """Count the processors that the system grants this process; a batch system may grant a few of many."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def memory_bytes() -> int | None:
    """Return the bytes of memory of this machine, or of its container; None where the system does not say."""
    found = []
    with suppress(OSError, ValueError, AttributeError):
        found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    for file in map(Path, _LIMITS):
        with suppress(OSError, ValueError):  # "max" is no number
            found.append(int(file.read_text(encoding="ascii")))
    return min((count for count in found if count > 0), default=None)
