"""Mean and covariance of all components, mergeable without loss of digits, and the radii of a cloud."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np

from latentscan.kernels.histogram import RelativeHistogram, relative_histogram
from latentscan.kernels.intervals import GROUPS
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
    radii
        Their radii, in narrow bins.
    """

    covariance: Covariance
    lengths: Moments
    radii: RelativeHistogram

    def merge(self, other: CloudPartial) -> CloudPartial:
        """Return the partial of both sets of rows."""
        return CloudPartial(
            self.covariance.merge(other.covariance),
            self.lengths.merge(other.lengths),
            self.radii.merge(other.radii),
        )


@dataclass(frozen=True)
class GroupedCloud:
    """The shape of a cloud in several groups of its rows, so that one group after another can be left out.

    Parameters
    ----------
    groups
        The shape of the rows of each group that has some, by its number.
    """

    groups: dict[int, CloudPartial]

    def merge(self, other: GroupedCloud) -> GroupedCloud:
        """Return the partial of both sets of rows."""
        groups = dict(self.groups)
        for number, cloud in other.groups.items():
            groups[number] = groups[number].merge(cloud) if number in groups else cloud
        return GroupedCloud(groups)

    @property
    def parts(self) -> list[CloudPartial]:
        """The shapes of the groups, in their order."""
        return [self.groups[number] for number in sorted(self.groups)]

    @property
    def whole(self) -> CloudPartial:
        """The shape of all rows."""
        return reduce(CloudPartial.merge, self.parts)


def grouped_cloud(x: NDArray[np.float32], images: NDArray[np.int64], run: int) -> GroupedCloud:
    """Compute the shape of the good rows of a block, in `GROUPS` groups.

    Parameters
    ----------
    x
        The good rows, (n, components).
    images
        The number of each row's image, ascending, (n,).
    run
        So many images that follow one another are of the same group: those that resemble their neighbours
        are then left out together.

    Examples
    --------
    >>> found = grouped_cloud(np.ones((4, 2), np.float32), np.array([0, 1, 5, 9]), run=4)
    >>> {number: cloud.covariance.count for number, cloud in found.groups.items()}
    {0: 2, 1: 1, 2: 1}
    """
    of_row = images // run % GROUPS
    numbers = np.unique(of_row).tolist()
    if len(numbers) == 1:
        return GroupedCloud({numbers[0]: cloud_partial(x)})
    return GroupedCloud({number: cloud_partial(x[of_row == number]) for number in numbers})


def without(whole: Covariance, group: Covariance) -> Covariance:
    """Return the covariance of the rows that are not of a group, to the digits that a standard error needs.

    Examples
    --------
    >>> a, b = (covariance(np.array(x, np.float32)) for x in ([[0, 1], [2, 3]], [[5, 5], [9, 1], [2, 2]]))
    >>> np.allclose(without(a.merge(b), b).matrix, a.matrix)
    True
    """
    count = whole.count - group.count
    d = (group.shift - whole.shift) + (group.rest - whole.rest)
    rest = whole.rest - d * (group.count / count)
    apart = (group.shift - whole.shift) + (group.rest - rest)
    scatter = whole.scatter - group.scatter - np.outer(apart, apart) * (count * group.count / whole.count)
    return Covariance(count, whole.shift, rest, scatter)


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
    with np.errstate(over="ignore", invalid="ignore"):  # powers of squares that nothing asks for
        return CloudPartial(covariance(x), moments(lengths), relative_histogram(lengths[:, 0].copy()))


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
