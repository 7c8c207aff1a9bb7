"""Nearest rows and ranks of distances, exact in float64 wherever a cloud lies and however far a row is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

CENTRE_ROWS = 1001  # that the median of a cloud is taken of, at most
PRODUCT_ROWS = 2048  # turned to float64 and multiplied at once
TILE_DISTANCES = 1 << 22  # held at once: 32 MB


def robust_centre(rows: NDArray[np.floating]) -> Floats:
    """Return about the median of each component, (components,), which no row far out can move.

    Parameters
    ----------
    rows
        (n, components); about a thousand of them are looked at.

    Examples
    --------
    >>> robust_centre(np.array([[1.0], [2.0], [1e12]]))
    array([2.])
    """
    if not len(rows):
        return np.zeros(rows.shape[1])
    return np.asarray(np.median(rows[:: -(-len(rows) // CENTRE_ROWS)].astype(np.float64), axis=0))


def squares_between(
    rows: NDArray[np.floating], query: NDArray[np.floating], numbers: NDArray[np.integer]
) -> Floats:
    """Compute the squared distances of some rows from one, component by component, in float64.

    Parameters
    ----------
    rows
        (n, components).
    query
        (components,).
    numbers
        Which rows, (m,).

    Examples
    --------
    >>> squares_between(np.array([[1e8, 0.0], [1e8, 1.0]]), np.array([1e8, 3.0]), np.arange(2))
    array([9., 4.])
    """
    apart = rows[numbers].astype(np.float64) - query.astype(np.float64)
    return np.asarray(np.vecdot(apart, apart))


def nearest(
    rows: NDArray[np.floating], queries: NDArray[np.floating], k: int
) -> tuple[NDArray[np.int64], Floats]:
    """Find the k rows nearest to each query: their numbers and squared distances, each (m, k).

    Distances from a matrix product are rounded; the rows that this leaves in doubt are measured component
    by component. The nearest come first, the one with the lower number where two are equally near.

    Parameters
    ----------
    rows
        (n, components), at least k.
    queries
        (m, components).
    k
        How many of each.

    Examples
    --------
    >>> rows = np.array([[0.0], [1.0], [5.0], [1e12]])
    >>> nearest(rows, np.array([[0.9], [1e12]]), 2)[0]
    array([[1, 0],
           [3, 2]])
    """
    numbers, squares = np.empty((len(queries), k), np.int64), np.empty((len(queries), k))
    for query, rounded, doubt in _rounded_squares(rows, queries):
        last = np.partition(rounded, k - 1)[k - 1]
        candidates = np.flatnonzero(rounded <= last + 2 * doubt(last))
        exact = squares_between(rows, queries[query], candidates)
        order = np.argsort(exact, kind="stable")[:k]
        numbers[query], squares[query] = candidates[order], exact[order]
    return numbers, squares


def count_nearer(
    rows: NDArray[np.floating], queries: NDArray[np.floating], thresholds: Floats
) -> NDArray[np.int64]:
    """Count the rows whose squared distance from a query is below each of its thresholds, (m, k).

    Parameters
    ----------
    rows
        (n, components).
    queries
        (m, components).
    thresholds
        Squared distances as `squares_between` returns them, (m, k).

    Examples
    --------
    >>> count_nearer(np.array([[0.0], [1.0], [5.0]]), np.array([[1.0]]), np.array([[0.0, 1.0, 17.0]]))
    array([[0, 1, 3]])
    """
    counts = np.empty(thresholds.shape, np.int64)
    for query, rounded, doubt in _rounded_squares(rows, queries):
        wanted = thresholds[query]
        rough = doubt(wanted)
        ascending = np.sort(rounded[rounded <= (wanted + rough).max(initial=0)])
        surely = np.searchsorted(ascending, wanted - rough)
        perhaps = np.searchsorted(ascending, wanted + rough, side="right") - surely
        for at in np.flatnonzero(perhaps):
            near = np.flatnonzero(np.abs(rounded - wanted[at]) <= rough[at])
            surely[at] += np.count_nonzero(squares_between(rows, queries[query], near) < wanted[at])
        counts[query] = surely
    return counts


class _Doubt:
    """How far a rounded squared distance may be from the true one, for rows about as near as a given one.

    With a row at r from the centre and a query at q, |q|² + |r|² − 2 qr is off by at most a few roundings
    of (|q| + |r|)²; a row that is nearer to the query than √s has |r| < |q| + √s.
    """

    def __init__(self, components: int, length: float) -> None:
        self._unit = (components + 16) * 2.0**-53
        self._length = length

    def __call__(self, squares: Floats) -> Floats:
        return np.asarray(self._unit * (2 * self._length + np.sqrt(np.maximum(squares, 0))) ** 2)


def _rounded_squares(
    rows: NDArray[np.floating], queries: NDArray[np.floating]
) -> Iterator[tuple[int, Floats, _Doubt]]:
    """Yield the number of every query, about its squared distance from all rows (n,), and their doubt."""
    centre = robust_centre(rows)
    height = max(1, TILE_DISTANCES // max(len(rows), 1))
    for start in range(0, len(queries), height):
        shifted = queries[start : start + height].astype(np.float64) - centre
        lengths = np.vecdot(shifted, shifted)
        rounded = np.empty((len(shifted), len(rows)))
        for first in range(0, len(rows), PRODUCT_ROWS):
            part = rows[first : first + PRODUCT_ROWS].astype(np.float64) - centre
            out = rounded[:, first : first + PRODUCT_ROWS]
            np.matmul(shifted, part.T, out=out)
            out *= -2
            out += np.vecdot(part, part)
        rounded += lengths[:, np.newaxis]
        for at, length in enumerate(np.sqrt(lengths).tolist()):
            yield start + at, rounded[at], _Doubt(rows.shape[1], length)
