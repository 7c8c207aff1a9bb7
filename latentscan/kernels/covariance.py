"""Mean and covariance of all components, mergeable without loss of digits, and the radii of a cloud."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from latentscan.kernels.adaptive import AdaptiveHistogram, adaptive_histogram
from latentscan.kernels.moments import Moments, moments
from latentscan.kernels.tiles import TILE_ROWS, tiles

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROWS = 1024  # of one float32 product: 1 MiB with 256 components
LEAST_SQUARES = 1e-28  # smaller sums of squares, and infinite ones, are not for float32
EVERY = 8  # of so many rows one is enough to find about where the block lies


@dataclass(frozen=True)
class Covariance:
    """The covariance of some rows.

    Parameters
    ----------
    count
        Number of rows.
    mean
        (components,).
    scatter
        Sums of products of deviations from the mean, (components, components).
    """

    count: int
    mean: NDArray[np.float64]
    scatter: NDArray[np.float64]

    @classmethod
    def empty(cls, components: int) -> Covariance:
        """Return the covariance of no rows: the identity of `merge`."""
        return cls(0, np.zeros(components), np.zeros((components, components)))

    def merge(self, other: Covariance) -> Covariance:
        """Return the covariance of both sets of rows together.

        Chan, T. F., Golub, G. H., LeVeque, R. J. (1982), Updating formulae and a pairwise algorithm for
        computing sample variances, equation 2.1, for pairs of components.
        """
        if not self.count or not other.count:
            return self if self.count else other
        count = self.count + other.count
        d = other.mean - self.mean
        scatter = self.scatter + other.scatter
        scatter += np.outer(d, d) * (self.count * other.count / count)
        return Covariance(count, self.mean + d * (other.count / count), scatter)

    @property
    def matrix(self) -> NDArray[np.float64]:
        """The covariance of the population, scatter / count."""
        return self.scatter / max(self.count, 1)


@dataclass(frozen=True)
class CloudPartial:
    """The shape of a cloud of points.

    Parameters
    ----------
    covariance
        Of the good rows.
    lengths
        Moments of their radii and of their squared radii, (2,).
    histogram
        Of their radii, one column.
    """

    covariance: Covariance
    lengths: Moments
    histogram: AdaptiveHistogram

    def merge(self, other: CloudPartial) -> CloudPartial:
        """Return the partial of both sets of rows."""
        return CloudPartial(
            self.covariance.merge(other.covariance),
            self.lengths.merge(other.lengths),
            self.histogram.merge(other.histogram),
        )


def cloud_partial(x: NDArray[np.float32]) -> CloudPartial:
    """Compute the shape of the good rows of a block.

    Parameters
    ----------
    x
        The good rows, (n, components).

    Examples
    --------
    >>> partial = cloud_partial(np.array([[3.0, 4.0], [0.0, 1.0]], np.float32))
    >>> partial.covariance.mean, partial.lengths.mean
    (array([1.5, 2.5]), array([ 3., 13.]))
    """
    squares = squared_radii(x)
    lengths = np.stack([np.sqrt(squares), squares], axis=1)
    return CloudPartial(covariance(x), moments(lengths), adaptive_histogram(lengths[:, :1]))


def squared_radii(x: NDArray[np.float32]) -> NDArray[np.float64]:
    """Compute the square of the radius of every row, (n,).

    Parameters
    ----------
    x
        Rows, (n, components).

    Examples
    --------
    >>> squared_radii(np.array([[3.0, 4.0]], np.float32))
    array([25.])
    """
    squares = np.empty(len(x))
    exact = np.empty((min(TILE_ROWS, len(x)), x.shape[1]))
    for tile in tiles(len(x)):
        part = exact[: tile.stop - tile.start]
        part[:] = x[tile]
        np.vecdot(part, part, out=squares[tile])
    return squares


def covariance(x: NDArray[np.floating]) -> Covariance:
    """Compute the covariance of the columns of a block.

    Deviations from about the block's mean are multiplied in float32, twice as fast as in float64, and the
    products of a few rows are summed in float64, so that a cloud far from the origin loses no digits.

    Parameters
    ----------
    x
        Rows, (n, components).

    Examples
    --------
    >>> c = covariance(np.array([[0.0, 1.0], [2.0, 5.0]], np.float32))
    >>> c.mean, c.matrix
    (array([1., 3.]), array([[1., 2.],
           [2., 4.]]))
    """
    rows, components = x.shape
    if not rows:
        return Covariance.empty(components)
    some = x[::EVERY]
    deviations = np.empty((min(ROWS, rows), components), x.dtype)
    ones = np.ones(max(len(some), len(deviations)), x.dtype)
    product = np.empty((components, components), x.dtype)
    sums, scatter = np.zeros(components), np.zeros((components, components))
    with np.errstate(over="ignore", invalid="ignore"):
        shift = ones[: len(some)] @ some / x.dtype.type(len(some))
        for start in range(0, rows, ROWS):
            part = x[start : start + ROWS]
            d = np.subtract(part, shift, out=deviations[: len(part)])
            scatter += np.matmul(d.T, d, out=product)
            sums += ones[: len(part)] @ d
    if x.dtype == np.float32 and not LEAST_SQUARES < scatter.trace() < np.inf:
        return covariance(x.astype(np.float64))
    rest = sums / rows
    return Covariance(rows, shift + rest, scatter - np.outer(rest, rest) * rows)
