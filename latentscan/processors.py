"""How many processors and how much memory this process may use."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

THREAD_BYTES = 112 << 20  # of address space: a heap (64 MiB), a stack, a buffer of BLAS (32 MiB)
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


def threads_that_fit(wanted: int) -> int:
    """Return how many of the wanted threads the address space has room for, where it is limited.

    OpenBLAS ends the process, and raises nothing, where it gets no buffer: what cannot run is not begun.

    Raises
    ------
    MemoryError
        There is no room for one beside the main thread.
    """
    left = _address_space_left()
    if left is None:
        return wanted
    fit = left // THREAD_BYTES - 1  # the main thread computes too
    if fit < 1:
        raise MemoryError(
            f"({left >> 20} MiB of address space are left of the limit, ulimit -v; "
            f"expected {2 * THREAD_BYTES >> 20} MiB)"
        )
    return min(wanted, fit)


def _address_space_left() -> int | None:
    """Return what this process may still map; None where there is no limit, or the system does not say."""
    with suppress(ImportError, OSError, ValueError):
        import resource

        most, _ = resource.getrlimit(resource.RLIMIT_AS)
        if most != resource.RLIM_INFINITY:
            pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
            return max(0, most - pages * resource.getpagesize())
    return None
