"""The Wasserstein-1 distance (earth mover's distance) between distributions on a line."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

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


class Distance(NamedTuple):
    """A Wasserstein-1 distance between two samples.

    Parameters
    ----------
    value
        The distance.
    error
        Its standard error, with the rows of both samples independent.
    floor
        What two samples of these sizes from one distribution, that of both together, differ by on average.
    """

    value: float
    error: float
    floor: float


def distance_of_samples(
    values_a: NDArray[np.float64],
    counts_a: NDArray[np.integer],
    values_b: NDArray[np.float64],
    counts_b: NDArray[np.integer],
) -> Distance:
    """Compute the Wasserstein-1 distance of two samples, ∫ |A(x) − B(x)| dx, with what it is uncertain by.

    The standard error is that of the delta method: to move a row from x to y changes the distance by
    ∫ sign(A − B) dt from y to x, over the size of its sample. The floor is the mean of ∫ |A − B| dx where A
    and B are samples of n and m rows from one distribution H: √(2/π) ∫ √(H (1 − H) (1/n + 1/m)) dx.

    del Barrio, E., Giné, E., Matrán, C. (1999), Central limit theorems for the Wasserstein distance between
    the empirical and the true distributions.

    Parameters
    ----------
    values_a, values_b
        Ascending, (n,).
    counts_a, counts_b
        How many rows have each, (n,).

    Examples
    --------
    >>> values, ones = np.array([0.0, 1.0, 5.0]), np.ones(3, np.int64)
    >>> distance_of_samples(values, ones, values + 2.5, ones).value
    2.5
    """
    x = np.union1d(values_a, values_b)
    each = [_spread_over(x, *one) for one in ((values_a, counts_a), (values_b, counts_b))]
    sizes = [int(counts.sum()) for counts in each]
    a, b = (np.cumsum(counts)[:-1] / size for counts, size in zip(each, sizes, strict=True))
    steps, difference = np.diff(x), a - b
    moved = np.concatenate([[0.0], np.cumsum(np.sign(difference) * steps)])
    variance = sum(_variance(moved, counts) / size for counts, size in zip(each, sizes, strict=True))
    pooled = np.cumsum(each[0] + each[1])[:-1] / sum(sizes)
    typical = np.sqrt(pooled * (1 - pooled) * sum(1 / size for size in sizes) * 2 / np.pi)
    return Distance(
        float(np.sum(np.abs(difference) * steps)), float(np.sqrt(variance)), float(np.sum(typical * steps))
    )


def _spread_over(
    x: NDArray[np.float64], values: NDArray[np.float64], counts: NDArray[np.integer]
) -> NDArray[np.int64]:
    found = np.zeros(len(x), np.int64)
    found[np.searchsorted(x, values)] = counts
    return found


def _variance(values: NDArray[np.float64], counts: NDArray[np.int64]) -> float:
    mean = np.average(values, weights=counts)
    return float(np.average((values - mean) ** 2, weights=counts))
