"""The environment of worker processes."""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress

_TRIM, _MMAP = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of malloc.h
_LARGEST_KEPT = 32 * 2**20  # bytes of an array; glibc's own limit
_POOLS = ("OMP_NUM", "MKL_NUM", "OPENBLAS_NUM", "TF_NUM_INTRAOP", "TF_NUM_INTEROP")


def environment(threads: int) -> dict[str, str]:
    """Bound the threads of the libraries in a worker, which read it when they are imported."""
    return {
        **{f"{pool}_THREADS": str(threads) for pool in _POOLS},
        "TF_FORCE_GPU_ALLOW_GROWTH": "true",  # workers that share a GPU must not take all its memory
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }


def keep_freed_memory() -> None:
    """Let this process keep the memory of arrays for the next ones, as glibc does by itself.

    Dask's nannies, unless they are told otherwise, have it given back at once: every array is then new
    memory, which costs a page fault for each 4 KiB, and work that makes many takes up to three times as long.
    """
    if os.environ.get("MALLOC_TRIM_THRESHOLD_") == "65536":  # what nannies say
        with suppress(AttributeError, OSError):  # another C library
            libc = ctypes.CDLL(None)
            libc.mallopt(_MMAP, _LARGEST_KEPT)
            libc.mallopt(_TRIM, 2 * _LARGEST_KEPT)
