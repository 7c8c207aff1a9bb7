"""The distribution of positive numbers in bounded memory, which a number far out does not coarsen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_BINS = 1 << 17  # 2 MB
FINEST = 24  # of the 52 bits of a fraction that are left out at first: bins are 4e-9 of a value wide


@dataclass(frozen=True)
class Sketch:
    """Counts in bins whose width is a power of two times their values: as narrow as `MOST_BINS` permit.

    A bin is named by the first bits of its numbers, which ascend as they do. How many bits that takes
    depends on the set of numbers alone, and not on the order in which its parts were merged; a number far
    out takes a bin of its own. With 100,000 different numbers within a factor of two, bins are 1e-5 of
    a value wide. `histogram.RelativeHistogram` is a sixteenth of the size for such numbers, but its bins are
    1/8192 wide, too wide for the distance of distributions that hardly differ.

    Parameters
    ----------
    dropped
        How many of a number's last bits its bin leaves out.
    keys
        The first bits of the bins that are not empty, ascending, (bins,).
    counts
        How many numbers are in each, (bins,).
    """

    dropped: int
    keys: NDArray[np.int64]
    counts: NDArray[np.int64]

    @classmethod
    def empty(cls) -> Sketch:
        """Return the sketch of no numbers: the identity of `merge`."""
        return cls(FINEST, np.empty(0, np.int64), np.empty(0, np.int64))

    def merge(self, other: Sketch) -> Sketch:
        """Return the sketch of both sets of numbers."""
        dropped = max(self.dropped, other.dropped)
        keys = np.concatenate([one.keys >> (dropped - one.dropped) for one in (self, other)])
        return _fitting(dropped, keys, np.concatenate([self.counts, other.counts]))

    @property
    def values(self) -> NDArray[np.float64]:
        """The middles of the bins, (bins,)."""
        low = (self.keys << self.dropped).view(np.float64)
        return low + (((self.keys + 1) << self.dropped).view(np.float64) - low) / 2

    def quantiles(self, shares: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the values below which these shares (m,) of the numbers lie."""
        below = np.cumsum(self.counts)
        at = np.searchsorted(below, np.asarray(shares) * below[-1])
        return np.asarray(self.values[np.minimum(at, len(below) - 1)])


def sketch(values: NDArray[np.float64]) -> Sketch:
    """Count numbers.

    Parameters
    ----------
    values
        Finite, not negative, (n,).

    Examples
    --------
    >>> found = sketch(np.array([1.0, 2.0, 2.0, 1e12]))
    >>> np.round(found.values), found.counts
    (array([1.e+00, 2.e+00, 1.e+12]), array([1, 2, 1]))
    """
    keys = np.abs(values).astype(np.float64).view(np.int64) >> FINEST
    return _fitting(FINEST, keys, np.ones(len(keys), np.int64))


def _fitting(dropped: int, keys: NDArray[np.int64], counts: NDArray[np.int64]) -> Sketch:
    order = np.argsort(keys, kind="stable")
    keys, counts = keys[order], counts[order]
    while True:
        first = np.flatnonzero(np.diff(keys, prepend=-1))
        keys, counts = keys[first], np.add.reduceat(counts, first) if len(first) else counts
        if len(keys) <= MOST_BINS:
            return Sketch(dropped, keys, counts)
        dropped, keys = dropped + 1, keys >> 1
