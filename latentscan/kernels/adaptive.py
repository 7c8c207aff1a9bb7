"""Histograms that find their own bins in one pass and lose nothing when they are merged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from latentscan.kernels.tiles import tile_rows, tiles

if TYPE_CHECKING:
    from numpy.typing import NDArray

BINS = 512
FINEST = 20  # bins are at most this many powers of two finer than the largest value


@dataclass(frozen=True)
class AdaptiveHistogram:
    """Counts in `BINS` bins for each column, which are as narrow as all its values permit.

    Bins are a power of two wide and begin at multiples of their width, so that two of them make one of
    the next width. The bins of a set of values depend on its extremes alone, and not on the order in which
    its parts were merged.

    Parameters
    ----------
    lowest, highest
        The extremes of the values of each column, (columns,).
    exponents
        The binary logarithms of the widths of the bins, (columns,).
    counts
        (columns, BINS), from the bin that holds `lowest`; of the narrowest integer type that holds them,
        since many histograms wait to be merged.
    """

    lowest: NDArray[np.float64]
    highest: NDArray[np.float64]
    exponents: NDArray[np.int64]
    counts: NDArray[np.unsignedinteger]

    @classmethod
    def empty(cls, columns: int) -> AdaptiveHistogram:
        """Return the histogram of no values: the identity of `merge`."""
        infinite = np.full(columns, np.inf)
        return cls(infinite, -infinite, np.zeros(columns, np.int64), np.zeros((columns, BINS), np.uint8))

    def merge(self, other: AdaptiveHistogram) -> AdaptiveHistogram:
        """Return the histogram of both sets of values."""
        if not (self.counts.any() and other.counts.any()):
            return self if self.counts.any() else other
        lowest = np.minimum(self.lowest, other.lowest)
        highest = np.maximum(self.highest, other.highest)
        exponents = _exponents(lowest, highest)
        firsts = _bin_of(lowest, exponents)
        counts = self._counts_in(exponents, firsts) + other._counts_in(exponents, firsts)
        return AdaptiveHistogram(lowest, highest, exponents, _narrowest(counts))

    @property
    def edges(self) -> NDArray[np.float64]:
        """The edges of the bins, (columns, BINS + 1)."""
        firsts = _bin_of(self.lowest, self.exponents)
        return np.ldexp(firsts[:, None] + np.arange(BINS + 1.0), self.exponents[:, None])

    def _counts_in(self, exponents: NDArray[np.int64], firsts: NDArray[np.int64]) -> NDArray[np.int64]:
        """Count in wider bins."""
        bins = _bin_of(self.lowest, self.exponents)[:, None] + np.arange(BINS)
        places = (bins >> (exponents - self.exponents)[:, None]) - firsts[:, None]
        held = np.flatnonzero(self.counts)
        places += np.arange(len(places))[:, None] * BINS
        # in float64, whose whole numbers are exact as far as there are images
        counts = np.bincount(places.ravel()[held], self.counts.ravel()[held], self.counts.size)
        return counts.astype(np.int64).reshape(self.counts.shape)


def adaptive_histogram(x: NDArray[np.floating]) -> AdaptiveHistogram:
    """Count the values of every column of a block.

    Parameters
    ----------
    x
        Finite values, (n, columns).

    Examples
    --------
    >>> h = adaptive_histogram(np.array([[0.0], [1.0], [510.0]]))
    >>> h.exponents, h.counts[0, :3], h.edges[0, :3]
    (array([0]), array([1, 1, 0], dtype=uint8), array([0., 1., 2.]))
    """
    if not len(x):
        return AdaptiveHistogram.empty(x.shape[1])
    lowest, highest = x.min(axis=0).astype(np.float64), x.max(axis=0).astype(np.float64)
    exponents = _exponents(lowest, highest)
    columns = x.shape[1]
    # scaling by a power of two, and taking a whole number from one that is not much larger, is exact; but
    # in float32 the scale itself may overflow, and a tiny negative value scaled down become the 0 above it
    narrow = bool(np.all((exponents >= -126) & (exponents <= 0)))
    dtype = x.dtype if narrow else np.dtype(np.float64)
    scale = np.ldexp(1.0, -exponents).astype(dtype)
    firsts = _bin_of(lowest, exponents).astype(dtype)
    offsets = np.arange(columns) * BINS
    counts = np.zeros(columns * BINS, np.int64)
    for tile in tiles(len(x), tile_rows(columns)):
        scaled = x[tile] * scale
        np.floor(scaled, out=scaled)
        scaled -= firsts
        places = scaled.astype(np.intp)
        places += offsets
        counts += np.bincount(places.ravel(), minlength=len(counts))
    return AdaptiveHistogram(lowest, highest, exponents, _narrowest(counts.reshape(columns, BINS)))


def _exponents(lowest: NDArray[np.float64], highest: NDArray[np.float64]) -> NDArray[np.int64]:
    """Find the smallest width of bins, 2**exponent, of which `BINS` hold all from lowest to highest."""
    size = np.frexp(np.maximum(np.abs(lowest), np.abs(highest)))[1] - FINEST
    span = np.where(highest > lowest, np.frexp((highest - lowest) / BINS)[1], size)
    exponents = np.maximum(span, size).astype(np.int64)
    # where the extremes lie between multiples of the width, one bin more is touched
    touched = _bin_of(highest, exponents) - _bin_of(lowest, exponents) + 1
    return np.asarray(np.where(touched > BINS, exponents + 1, exponents))


def _bin_of(values: NDArray[np.float64], exponents: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.asarray(np.floor(np.ldexp(values, -exponents)), np.int64)


def _narrowest(counts: NDArray[np.int64]) -> NDArray[np.unsignedinteger]:
    return counts.astype(np.min_scalar_type(counts.max(initial=0)))
