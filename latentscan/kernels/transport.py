"""The Wasserstein-1 distance (earth mover's distance) between distributions on a line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def cumulative(counts: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return the share of values below each edge of a histogram, (bins + 1,).

    Parameters
    ----------
    counts
        Of each bin, (bins,).

    Examples
    --------
    >>> cumulative(np.array([1, 3]))
    array([0.  , 0.25, 1.  ])
    """
    return np.asarray(np.concatenate([[0.0], np.cumsum(counts)]) / counts.sum())


def wasserstein_distance(
    edges_a: NDArray[np.float64],
    shares_a: NDArray[np.float64],
    edges_b: NDArray[np.float64],
    shares_b: NDArray[np.float64],
) -> float:
    """Compute the Wasserstein-1 distance of two distributions, in the unit of the edges.

    Each is given by its share below each of some edges, and is uniform between two edges. The distance is
    ∫ |A(x) − B(x)| dx over the cumulative shares.

    Vallender, S. S. (1974), Calculation of the Wasserstein distance between probability distributions on
    the line.

    Parameters
    ----------
    edges_a, edges_b
        Ascending, (n,).
    shares_a, shares_b
        Ascending from 0 to 1, (n,).

    Examples
    --------
    >>> edges = np.array([0.0, 1.0])
    >>> wasserstein_distance(edges, np.array([0.0, 1.0]), edges + 2.5, np.array([0.0, 1.0]))
    2.5
    """
    x = np.union1d(edges_a, edges_b)
    difference = np.interp(x, edges_a, shares_a) - np.interp(x, edges_b, shares_b)
    left, right = difference[:-1], difference[1:]
    size = np.abs(left) + np.abs(right)
    # where the difference changes its sign between two edges, its area is two triangles
    crossing = np.divide(left**2 + right**2, size, out=np.zeros_like(size), where=size > 0)
    return float(np.sum(np.diff(x) * np.where(left * right < 0, crossing, size)) / 2)
