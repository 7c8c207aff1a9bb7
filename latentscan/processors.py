"""How many processors this process may use."""

from __future__ import annotations

import os


def processors() -> int:
    """Count the processors that the system grants this process; a batch system may grant a few of many."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
