"""The environment of worker processes."""

from __future__ import annotations

_POOLS = ("OMP_NUM", "MKL_NUM", "OPENBLAS_NUM", "TF_NUM_INTRAOP", "TF_NUM_INTEROP")


def environment(threads: int) -> dict[str, str]:
    """Bound the threads of the libraries in a worker, which read it when they are imported."""
    return {
        **{f"{pool}_THREADS": str(threads) for pool in _POOLS},
        "TF_FORCE_GPU_ALLOW_GROWTH": "true",  # workers that share a GPU must not take all its memory
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
