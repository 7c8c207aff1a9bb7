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

ROWS = 1024  # of one product: 2 MiB with 256 components


@dataclass(frozen=True)
class Covariance:
    """The covariance of some rows.

    The mean is stored in two parts: the difference of the means of two sets of rows, on which their merged
    scatter depends, then has as many digits as the rows themselves, wherever the origin is.

    Parameters
    ----------
    count
        Number of rows.
    shift
        A point near them, (components,).
    rest
        Their mean less the shift, (components,).
    scatter
        Sums of products of deviations from the mean, (components, components).
    """

    count: int
    shift: NDArray[np.float64]
    rest: NDArray[np.float64]
    scatter: NDArray[np.float64]

    @classmethod
    def empty(cls, components: int) -> Covariance:
        """Return the covariance of no rows: the identity of `merge`."""
        return cls(0, np.zeros(components), np.zeros(components), np.zeros((components, components)))

    def merge(self, other: Covariance) -> Covariance:
        """Return the covariance of both sets of rows together.

        Chan, T. F., Golub, G. H., LeVeque, R. J. (1982), Updating formulae and a pairwise algorithm for
        computing sample variances, equation 2.1, for pairs of components.
        """
        if not self.count or not other.count:
            return self if self.count else other
        count = self.count + other.count
        d = (other.shift - self.shift) + (other.rest - self.rest)
        scatter = self.scatter + other.scatter
        scatter += np.outer(d, d) * (self.count * other.count / count)
        return Covariance(count, self.shift, self.rest + d * (other.count / count), scatter)

    @property
    def mean(self) -> NDArray[np.float64]:
        """The mean, (components,)."""
        return self.shift + self.rest

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

    Deviations from the block's mean are multiplied in float64, which takes twice as long as float32, whose
    sums alone lose all that lies below 1e-7 of the largest variance. As the mean is rounded to the type of
    the rows before it is subtracted, no deviation of a float32 number is rounded; what is lost lies below
    1e-15 of the largest variance.

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
    height = min(ROWS, rows)
    ones, exact = np.ones(height), np.empty((height, components))
    product = np.empty((components, components))
    total, sums, scatter = np.zeros(components), np.zeros(components), np.zeros((components, components))
    for tile in tiles(rows, height):
        part = exact[: tile.stop - tile.start]
        part[:] = x[tile]
        total += ones[: len(part)] @ part
    shift = (total / rows).astype(x.dtype).astype(np.float64)
    for tile in tiles(rows, height):
        d = np.subtract(x[tile], shift, out=exact[: tile.stop - tile.start])
        scatter += np.matmul(d.T, d, out=product)
        sums += ones[: len(d)] @ d
    rest = sums / rows
    return Covariance(rows, shift, rest, scatter - np.outer(rest, rest) * rows)
