"""Mean and central moments up to the fourth of every component, mergeable without loss of digits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from latentscan.kernels.tiles import TILE_ROWS, tile_rows, tiles

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Moments:
    """The moments of some rows, by component.

    The mean is stored in two parts: the difference of the means of two sets of rows, on which their merged
    moments depend, then has as many digits as the rows themselves, wherever the origin is.

    Parameters
    ----------
    count
        Number of rows.
    shift
        A point near them, (components,).
    rest
        Their mean less the shift, (components,).
    m2, m3, m4
        Sums of the 2nd to 4th power of the deviation from the mean, (components,).
    """

    count: int
    shift: Floats
    rest: Floats
    m2: Floats
    m3: Floats
    m4: Floats

    @classmethod
    def empty(cls, components: int) -> Moments:
        """Return the moments of no rows: the identity of `merge`."""
        zero = np.zeros(components)
        return cls(0, zero, zero, zero, zero, zero)

    def merge(self, other: Moments) -> Moments:
        """Return the moments of both sets of rows together.

        Pébay, P. (2008), Formulas for robust, one-pass parallel computation of covariances and
        arbitrary-order statistical moments, Sandia report SAND2008-6212, equations 2.1 and 3.1.
        """
        if not self.count or not other.count:
            return self if self.count else other
        a, b = float(self.count), float(other.count)
        n = a + b
        d = (other.shift - self.shift) + (other.rest - self.rest)
        m2 = self.m2 + other.m2 + d**2 * (a * b / n)
        m3 = self.m3 + other.m3 + d**3 * (a * b * (a - b) / n**2) + 3 * d * (a * other.m2 - b * self.m2) / n
        m4 = (
            self.m4
            + other.m4
            + d**4 * (a * b * (a * a - a * b + b * b) / n**3)
            + 6 * d**2 * (a * a * other.m2 + b * b * self.m2) / n**2
            + 4 * d * (a * other.m3 - b * self.m3) / n
        )
        return Moments(self.count + other.count, self.shift, self.rest + d * (b / n), m2, m3, m4)

    @property
    def mean(self) -> Floats:
        """The mean, (components,)."""
        return self.shift + self.rest

    @property
    def variance(self) -> Floats:
        """The variance of the population, m2 / count."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return self.m2 / self.count

    @property
    def skewness(self) -> Floats:
        """The skewness of the population, sqrt(n) m3 / m2^(3/2); NaN where all values are equal."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(np.sqrt(self.count) * self.m3 / self.m2**1.5)

    @property
    def kurtosis(self) -> Floats:
        """The excess kurtosis of the population, n m4 / m2² − 3; NaN where all values are equal."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return self.count * self.m4 / self.m2**2 - 3


def moments(x: NDArray[np.floating]) -> Moments:
    """Compute the moments of every column of a block.

    The powers are summed in float64 about the mean of the block's first rows, which lies so close to
    the block's own mean that moving the sums there afterwards costs no digits. The sums are matrix
    products with a row of ones, several times faster than sums along the first axis.

    Parameters
    ----------
    x
        Rows, (n, components).

    Examples
    --------
    >>> m = moments(np.array([[0.0], [1.0], [2.0], [5.0]], np.float32))
    >>> m.count, m.mean, m.variance
    (4, array([2.]), array([3.5]))
    """
    rows, components = x.shape
    if not rows:
        return Moments.empty(components)
    shift = x[:TILE_ROWS].mean(axis=0, dtype=np.float64)
    sums = np.zeros((4, components))
    height = min(tile_rows(components), rows)
    ones, d, power = np.ones(height), np.empty((height, components)), np.empty((height, components))
    for tile in tiles(rows, height):
        part = x[tile]
        one, d, power = ones[: len(part)], d[: len(part)], power[: len(part)]
        np.subtract(part, shift, out=d)
        np.multiply(d, d, out=power)
        sums[0] += one @ d
        sums[1] += one @ power
        np.multiply(d, power, out=d)
        np.multiply(power, power, out=power)
        sums[2] += one @ d
        sums[3] += one @ power
    return _about_the_mean(rows, shift, sums)


def _about_the_mean(count: int, shift: Floats, sums: Floats) -> Moments:
    """Move sums of powers of deviations from `shift` to the mean (binomial theorem)."""
    s1, s2, s3, s4 = sums
    d = s1 / count
    m2 = s2 - s1 * d
    m3 = s3 - 3 * d * s2 + 2 * d**2 * s1
    m4 = s4 - 4 * d * s3 + 6 * d**2 * s2 - 3 * d**3 * s1
    return Moments(count, shift, d, np.maximum(m2, 0), m3, np.maximum(m4, 0))
