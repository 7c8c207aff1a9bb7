"""k-means of few rows in memory: Lloyd's iterations, and fewer clusters from more by Ward's merging."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Clusters:
    """Centres (cluster, component), and how many rows are nearest to each, (cluster,)."""

    centres: NDArray[np.float32]
    sizes: NDArray[np.int64]


def lloyd(x: NDArray[np.float32], centres: NDArray[np.float32], iterations: int) -> Clusters:
    """Move centres to the means of the rows that are nearest to them, some times.

    A centre without rows stays where it is. Lloyd, S. P. (1982), Least squares quantization in PCM.

    Parameters
    ----------
    x
        Rows about the origin, (n, component).
    centres
        Where to begin, (cluster, component).
    iterations
        How often the centres are moved, at least once.

    Examples
    --------
    >>> x = np.array([[0.0], [2.0], [10.0]], np.float32)
    >>> lloyd(x, np.array([[1.5], [4.0]], np.float32), 2)
    Clusters(centres=array([[ 1.],
           [10.]], dtype=float32), sizes=array([2, 1]))
    """
    rows, count = np.arange(len(x)), len(centres)
    for _ in range(iterations):
        nearest = _products(x, centres).argmin(axis=1)
        sizes = np.bincount(nearest, minlength=count)
        is_member = np.zeros((len(x), count), np.float32)
        is_member[rows, nearest] = 1.0
        sums = is_member.T @ x
        means = sums / np.maximum(sizes, 1).astype(np.float32)[:, np.newaxis]
        centres = np.where(sizes[:, np.newaxis] > 0, means, centres)
    return Clusters(centres, sizes)


def inertia(x: NDArray[np.float32], centres: NDArray[np.float32]) -> float:
    """Return the sum over rows of the squared distance to the nearest centre, never below 0.

    Examples
    --------
    >>> inertia(np.array([[0.0], [2.0], [10.0]], np.float32), np.array([[1.0], [10.0]], np.float32))
    2.0
    """
    squares = np.einsum("ij,ij->i", x, x)
    return float(np.maximum(_products(x, centres).min(axis=1) + squares, 0.0).sum(dtype=np.float64))


def merged(clusters: Clusters, count: int) -> NDArray[np.float32]:
    """Merge two clusters after another, those that add least inertia, and return the centres that are left.

    Clusters without rows are left out first. Ward, J. H. (1963), Hierarchical grouping to optimize an
    objective function; its costs follow one another by the formula of Lance, G. N., Williams, W. T. (1967).

    Parameters
    ----------
    clusters
        The clusters.
    count
        How many are left.

    Examples
    --------
    >>> clusters = Clusters(np.array([[0.0], [1.0], [10.0]], np.float32), np.array([3, 1, 4]))
    >>> merged(clusters, 2).ravel()
    array([ 0.25, 10.  ], dtype=float32)
    """
    held = clusters.sizes > 0
    centres, sizes = clusters.centres[held].astype(np.float64), clusters.sizes[held].astype(np.float64)
    squares = np.einsum("ij,ij->i", centres, centres)
    costs = np.maximum(squares[:, np.newaxis] + squares - 2 * centres @ centres.T, 0.0)
    costs *= sizes[:, np.newaxis] * sizes / (sizes[:, np.newaxis] + sizes)
    np.fill_diagonal(costs, np.inf)
    left = np.ones(len(sizes), bool)
    for _ in range(len(sizes) - count):
        one, other = divmod(int(costs.argmin()), len(sizes))
        both = sizes[one] + sizes[other]
        between = costs[one, other]
        left[other] = False
        new = np.full(len(sizes), np.inf)
        new[left] = (
            (sizes[one] + sizes[left]) * costs[one, left]
            + (sizes[other] + sizes[left]) * costs[other, left]
            - sizes[left] * between
        ) / (both + sizes[left])
        new[one] = np.inf
        costs[one] = costs[:, one] = new
        costs[other] = costs[:, other] = np.inf
        centres[one] = (sizes[one] * centres[one] + sizes[other] * centres[other]) / both
        sizes[one] = both
    return centres[left].astype(np.float32)


def _products(x: NDArray[np.float32], centres: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return squared distances less the rows' own squared lengths, (n, cluster)."""
    products: NDArray[np.float32] = x @ (-2 * centres.T)
    products += np.einsum("ij,ij->i", centres, centres)
    return products
