"""How well an embedding, or another model, preserves neighbourhoods: figures of single points, and means."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from latentscan.kernels.nearest import count_nearer, squares_between

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Estimate(NamedTuple):
    """A mean over points, and its standard error."""

    value: float
    error: float


def estimate(values: NDArray[np.floating]) -> Estimate:
    """Return the mean of figures of some points, and its standard error: s / √m.

    The points are taken for a sample of many more, also where they are all that there are. Where there is
    one alone, the error is not known: NaN.

    Parameters
    ----------
    values
        Of the points, (m,).

    Examples
    --------
    >>> estimate(np.array([1.0, 3.0]))
    Estimate(value=2.0, error=1.0)
    """
    m = len(values)
    if m < 2:
        return Estimate(float(values[0]) if m else np.nan, np.nan)
    return Estimate(float(values.mean()), float(values.std(ddof=1) / np.sqrt(m)))


def nearest_on_map(
    embedding: NDArray[np.floating], queries: NDArray[np.integer], k: int
) -> NDArray[np.int64]:
    """Find the k other points nearest to some points of an embedding, (m, k), in any order.

    Parameters
    ----------
    embedding
        (n, axes).
    queries
        Numbers of points, (m,).
    k
        How many of each.

    Examples
    --------
    >>> nearest_on_map(np.array([[0.0], [1.0], [3.0]]), np.array([0, 2]), 1)
    array([[1],
           [1]])
    """
    axes = embedding.T.astype(np.float64, order="C")
    found = np.empty((len(queries), k), np.int64)
    for row, query in enumerate(queries):
        # axis by axis: a matrix product would round away the short distances of a wide map
        distances = sum((axis - axis[query]) ** 2 for axis in axes)
        distances[query] = np.inf
        found[row] = np.argpartition(distances, k - 1)[:k]
    return found


def neighbour_ranks(
    rows: NDArray[np.floating], near: NDArray[np.integer], queries: NDArray[np.integer]
) -> NDArray[np.int64]:
    """Rank some neighbours of rows by their distances among all other rows, (m, k), from 1.

    Parameters
    ----------
    rows
        (n, components).
    near
        The neighbours, (m, k).
    queries
        The rows whose neighbours they are, (m,).

    Examples
    --------
    >>> neighbour_ranks(np.array([[0.0], [1.0], [5.0], [6.0]]), np.array([[3, 1]]), np.array([0]))
    array([[3, 1]])
    """
    pairs = zip(queries, near, strict=True)
    squares = np.array([squares_between(rows, rows[query], others) for query, others in pairs])
    return ranks_of(count_nearer(rows, rows[queries], squares), squares)


def ranks_of(nearer: NDArray[np.int64], squares: NDArray[np.float64]) -> NDArray[np.int64]:
    """Turn counts of nearer rows, among which is the query itself, into ranks among the others, from 1.

    Parameters
    ----------
    nearer
        How many rows are nearer than each neighbour, (m, k).
    squares
        Squared distances of the neighbours, (m, k).

    Examples
    --------
    >>> ranks_of(np.array([[0, 1, 2]]), np.array([[0.0, 1.0, 4.0]]))
    array([[1, 1, 2]])
    """
    return nearer + 1 - (squares > 0)


def trustworthiness_of(ranks: NDArray[np.int64], n: int) -> NDArray[np.float64]:
    """Compute how far the neighbours of each point of an embedding are neighbours in the rows, too, (m,).

    Each of the k nearest in the embedding costs as much as its rank among all n rows exceeds k: 1 if none
    does, about 0.5 for a random embedding. The mean over all points is the trustworthiness.

    Venna, J., Kaski, S. (2001), Neighborhood preservation in nonlinear projection methods, ICANN 2001.

    Parameters
    ----------
    ranks
        Of the neighbours in the embedding among the rows, (m, k).
    n
        How many rows there are.

    Raises
    ------
    ValueError
        If k is not below n / 2, where the measure is not defined.

    Examples
    --------
    >>> trustworthiness_of(np.array([[1, 2], [2, 5]]), 10)
    array([1.        , 0.76923077])
    """
    k = ranks.shape[1]
    if not 1 <= k < n / 2:
        raise ValueError(f"neighbours = {k}: expected at least 1 and below half of {n:,} rows")
    return np.asarray(1 - np.maximum(ranks - k, 0).sum(axis=1) * (2 / (k * (2 * n - 3 * k - 1))))


def kept_of(ranks: NDArray[np.int64]) -> NDArray[np.float64]:
    """Compute which share of its k nearest rows each point has among its k nearest in an embedding, (m,).

    Parameters
    ----------
    ranks
        Of the k nearest in the embedding among the rows, (m, k).

    Examples
    --------
    >>> kept_of(np.array([[1, 2], [2, 5]]))
    array([1. , 0.5])
    """
    return np.asarray((ranks <= ranks.shape[1]).mean(axis=1))


def overlap_of(a: NDArray[np.integer], b: NDArray[np.integer]) -> NDArray[np.float64]:
    """Compute which share of its neighbours each row has in both of two lists, (n,).

    Parameters
    ----------
    a, b
        The neighbours of each row, (n, k).

    Examples
    --------
    >>> overlap_of(np.array([[1, 2], [0, 2]]), np.array([[2, 1], [2, 3]]))
    array([1. , 0.5])
    """
    both = np.sort(np.concatenate([a, b], axis=1), axis=1)
    return np.asarray(np.count_nonzero(both[:, 1:] == both[:, :-1], axis=1) / a.shape[1])
