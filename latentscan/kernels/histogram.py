"""Histograms that lose no value: with bins of equal width, or as wide as a share of the value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Bins:
    """Bins of equal width from 0; each contains its lower edge, not its upper one.

    Parameters
    ----------
    width
        Of each bin.
    upper
        The last bin reaches at least this far.
    """

    width: float
    upper: float

    @property
    def count(self) -> int:
        """Number of bins."""
        return int(np.ceil(round(self.upper / self.width, 9)))

    @property
    def edges(self) -> NDArray[np.float64]:
        """The edges of the bins, (count + 1,)."""
        return np.arange(self.count + 1, dtype=np.float64) * self.width


@dataclass(frozen=True)
class Histogram:
    """The number of values in each bin, and outside.

    Parameters
    ----------
    bins
        Their edges.
    counts
        In each bin, (bins.count,).
    underflow
        Below the first edge.
    overflow
        At or above the last edge.
    """

    bins: Bins
    counts: NDArray[np.int64]
    underflow: int
    overflow: int

    @classmethod
    def empty(cls, bins: Bins) -> Histogram:
        """Return the histogram of no values: the identity of `merge`."""
        return cls(bins, np.zeros(bins.count, np.int64), 0, 0)

    def merge(self, other: Histogram) -> Histogram:
        """Return the histogram of both sets of values."""
        return Histogram(
            self.bins,
            self.counts + other.counts,
            self.underflow + other.underflow,
            self.overflow + other.overflow,
        )


def histogram(values: NDArray[np.float64], bins: Bins) -> Histogram:
    """Count values in bins.

    Parameters
    ----------
    values
        (n,).
    bins
        Their edges.

    Examples
    --------
    >>> h = histogram(np.array([-0.1, 0.0, 0.5, 0.6, 2.0]), Bins(width=0.5, upper=2.0))
    >>> h.counts, h.underflow, h.overflow
    (array([1, 2, 0, 0]), 1, 1)
    """
    number = np.clip(np.searchsorted(bins.edges, values, side="right"), 0, bins.count + 1)
    counts = np.bincount(number, minlength=bins.count + 2)
    return Histogram(bins, counts[1:-1], int(counts[0]), int(counts[-1]))


MANTISSA = 13  # bits: a bin is 2**-13 of its lower edge wide, at most
_SHIFT = np.int64(52 - MANTISSA)


@dataclass(frozen=True)
class RelativeHistogram:
    """Counts of values from 0 in bins as narrow as 1/8192 of the value: one far out widens no other's.

    A bin holds the float64 numbers whose exponent and first `MANTISSA` bits are the same; bins that are
    empty are left out. Compare: Masson, C., Rim, J. E., Lee, H. K. (2019), DDSketch, of the same error.
    `sketch.Sketch` has finer bins, down to 1e-5 of many values, at up to sixteen times the size.

    Parameters
    ----------
    bins
        Those bits, ascending, (bins,).
    counts
        Of each, (bins,).
    """

    bins: NDArray[np.int64]
    counts: NDArray[np.int64]

    @classmethod
    def empty(cls) -> RelativeHistogram:
        """Return the histogram of no values: the identity of `merge`."""
        return cls(np.zeros(0, np.int64), np.zeros(0, np.int64))

    def merge(self, other: RelativeHistogram) -> RelativeHistogram:
        """Return the histogram of both sets of values."""
        bins, where = np.unique(np.concatenate([self.bins, other.bins]), return_inverse=True)
        counts = np.zeros(len(bins), np.int64)
        np.add.at(counts, where, np.concatenate([self.counts, other.counts]))
        return RelativeHistogram(bins, counts)

    @property
    def count(self) -> int:
        """Number of values."""
        return int(self.counts.sum())

    def quantile(self, share: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the values below which shares of all values lie, to half of a bin, NaN without values.

        Examples
        --------
        >>> relative_histogram(np.arange(1.0, 101.0)).quantile(np.array([0.5, 0.99])).round(2)
        array([50., 99.])
        """
        if not len(self.bins):
            return np.full_like(share, np.nan)
        ranks = np.ceil(share * self.count).clip(1, self.count)
        at = np.searchsorted(np.cumsum(self.counts), ranks)
        middles = (_lower_edges(self.bins[at]) + _lower_edges(self.bins[at] + 1)) / 2
        return np.where(self.bins[at] == 0, 0.0, middles)  # the first bin holds 0, and what is below 1e-311

    @property
    def curve(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The edges of the bins that hold values, ascending, and the share of values below each."""
        lower, upper = _lower_edges(self.bins), _lower_edges(self.bins + 1)
        edges = np.union1d(lower, upper)
        below = np.concatenate([[0], np.cumsum(self.counts)])
        return edges, below[np.searchsorted(upper, edges, side="right")] / max(self.count, 1)

    @property
    def ends(self) -> tuple[float, float]:
        """The edges of the first and of the last bin that hold values."""
        return float(_lower_edges(self.bins[:1])[0]), float(_lower_edges(self.bins[-1:] + 1)[0])

    def without(self, other: RelativeHistogram) -> RelativeHistogram:
        """Return the histogram of the values without those of `other`, which are a part of them."""
        counts = self.counts.copy()
        counts[np.searchsorted(self.bins, other.bins)] -= other.counts
        return RelativeHistogram(self.bins[counts > 0], counts[counts > 0])

    def counts_in(self, edges: NDArray[np.float64]) -> NDArray[np.int64]:
        """Count the values below, in and above wider bins, (edges + 1,), whose edges are also edges here."""
        below = np.concatenate([[0], np.cumsum(self.counts)])
        at = np.searchsorted(_lower_edges(self.bins), edges)
        return np.diff(np.concatenate([[0], below[at], below[-1:]]))


def relative_histogram(values: NDArray[np.float64]) -> RelativeHistogram:
    """Count values, none below 0, (n,).

    Examples
    --------
    >>> relative_histogram(np.array([1.0, 1.00001, 1e6])).counts
    array([2, 1])
    """
    bins, counts = np.unique((values + 0.0).view(np.int64) >> _SHIFT, return_counts=True)
    return RelativeHistogram(bins, counts)


def even_edges(low: float, high: float, most: int) -> NDArray[np.float64]:
    """Return edges of bins of equal width, at most about `most`, that are edges of a `RelativeHistogram`.

    The bins begin at or below `low`, from 0 on, and end above `high`. Their width is a power of two.

    Examples
    --------
    >>> even_edges(3.1, 5.0, 4)
    array([3. , 3.5, 4. , 4.5, 5. , 5.5])
    """
    if high <= 0:
        return np.array([0.0, 1.0])
    span = max((high - low) / most, high * 2.0**-MANTISSA, np.finfo(np.float64).tiny)
    width = 2.0 ** np.ceil(np.log2(span))
    first, last = np.floor(low / width), np.floor(high / width) + 1
    return np.asarray(np.arange(first, last + 1) * width)


def _lower_edges(bins: NDArray[np.int64]) -> NDArray[np.float64]:
    return (bins << _SHIFT).view(np.float64)
