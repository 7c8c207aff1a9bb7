"""Rows whose neighbours are searched, and the search that everything is compared with."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.neighbors import NearestNeighbors

from latentscan.analyses.neighbours.index import EXACT_ROWS

Rows = NDArray[np.float32]

MANY = EXACT_ROWS + 2_001  # sorted into cells
K = 15


def cloud(n: int, components: int = 24, away: float = 0.0) -> Rows:
    """An ellipsoid whose later components hold little, as latents are."""
    rng = np.random.default_rng(n)
    widths = 5 * 0.6 ** np.arange(components)
    return (rng.standard_normal((n, components)) * widths + away).astype(np.float32)


def brute_force(rows: Rows, queries: Rows, k: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    exact = NearestNeighbors(algorithm="brute").fit(rows.astype(np.float64))
    distances, indices = exact.kneighbors(queries.astype(np.float64), k)
    return distances, indices
