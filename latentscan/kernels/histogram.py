"""Histograms with bins of equal width that lose no value: those outside are counted, too."""

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

    @property
    def peak(self) -> float:
        """The middle of the fullest bin; NaN where all are empty."""
        if not self.counts.any():
            return float("nan")
        return float((self.counts.argmax() + 0.5) * self.bins.width)


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
