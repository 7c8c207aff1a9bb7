"""How well an embedding, or another model, preserves neighbourhoods."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

QUERY_TILE = 64  # by 140,000 rows, 36 MB of float32


def trustworthiness(
    rows: NDArray[np.float32],
    embedding: NDArray[np.floating],
    queries: NDArray[np.integer],
    neighbours: int,
) -> float:
    """Estimate how far neighbours in an embedding are neighbours in the rows, too.

    Each of a query's nearest `neighbours` in the embedding costs as much as its rank among all n rows
    exceeds their number: 1 if none does, about 0.5 for a random embedding.

    Venna, J., Kaski, S. (2001), Neighborhood preservation in nonlinear projection methods, ICANN 2001.

    Parameters
    ----------
    rows
        (n, components).
    embedding
        (n, axes).
    queries
        Row numbers, (m,).
    neighbours
        How many of each query are ranked.

    Raises
    ------
    ValueError
        If `neighbours` is not below n / 2, where the measure is not defined.

    Examples
    --------
    >>> rows = np.arange(10, dtype=np.float32)[:, np.newaxis]
    >>> trustworthiness(rows, -2 * rows, np.arange(10), 3)
    1.0
    """
    n, k = len(rows), neighbours
    if not 1 <= k < n / 2:
        raise ValueError(f"neighbours = {k}: expected at least 1 and below half of {n:,} rows")
    # about the mean: the squares of a cloud far from zero would cost the distances their digits
    centred = rows - rows.mean(axis=0, dtype=np.float64).astype(np.float32)
    squares = np.einsum("ij,ij->i", centred, centred)
    axes = embedding.T.astype(np.float64, order="C")
    beyond = 0
    for start in range(0, len(queries), QUERY_TILE):
        tile = queries[start : start + QUERY_TILE]
        # less the square of the query, which is the same for all rows
        tile_distances = squares - 2 * (centred[tile] @ centred.T)
        for query, distances in zip(tile, tile_distances, strict=True):
            distances[query] = np.inf
            near = _nearest(axes, query, k)
            beyond += int(np.maximum(_ranks(distances, near) - k, 0).sum())
    return 1 - 2 * beyond / (len(queries) * k * (2 * n - 3 * k - 1))


def _nearest(axes: NDArray[np.float64], query: np.integer, k: int) -> NDArray[np.int64]:
    """Find the k points nearest to one, in any order, in an embedding (axes, n)."""
    # axis by axis: a matrix product would round away the short distances of a wide map
    distances = sum((axis - axis[query]) ** 2 for axis in axes)
    distances[query] = np.inf
    return np.argpartition(distances, k - 1)[:k]


def _ranks(distances: NDArray[np.float32], chosen: NDArray[np.int64]) -> NDArray[np.int64]:
    """Rank some distances among all (n,), from 1."""
    wanted = distances[chosen]
    closest = np.sort(distances[distances <= wanted.max()])
    return 1 + np.searchsorted(closest, wanted)


def neighbour_overlap(a: NDArray[np.integer], b: NDArray[np.integer]) -> float:
    """Compute the mean share of neighbours that two lists have in common.

    Parameters
    ----------
    a, b
        The neighbours of each row, (n, k).

    Examples
    --------
    >>> neighbour_overlap(np.array([[1, 2], [0, 2]]), np.array([[2, 1], [2, 3]]))
    0.75
    """
    both = np.sort(np.concatenate([a, b], axis=1), axis=1)
    return float(np.count_nonzero(both[:, 1:] == both[:, :-1]) / a.size)
