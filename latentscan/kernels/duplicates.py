"""Rows that repeat one another to the bit, counted in one pass by a hash of each row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from latentscan.kernels.sampling import mixed
from latentscan.kernels.tiles import tile_rows, tiles

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Words = NDArray[np.uint64]

MOST = 1 << 19  # values that are held: 12 MiB
_ODD = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Repeats:
    """How often each value of a row occurs; of very many values, a random share of them is followed.

    A row is known by a hash of 64 bits: of a million different rows two have the same one with a
    probability of 3e-8. Where there are more than `MOST` values, those are followed whose hash ends in
    `level` zeros, which is one of 2**level.

    Gibbons, P. B. (2001), Distinct sampling for highly-accurate answers to distinct values queries.

    Parameters
    ----------
    level
        One of 2**level values is followed.
    hashes
        Of the values that are followed, ascending, (values,).
    counts
        Rows that have each, (values,).
    first
        The first image that has it, (values,).
    """

    level: int
    hashes: Words
    counts: NDArray[np.int64]
    first: NDArray[np.int64]

    @classmethod
    def empty(cls) -> Repeats:
        """Return what is known of no rows: the identity of `merge`."""
        return cls(0, np.zeros(0, np.uint64), np.zeros(0, np.int64), np.zeros(0, np.int64))

    def merge(self, other: Repeats, most: int = MOST) -> Repeats:
        """Return what is known of both sets of rows, those of `other` being the later ones."""
        return _counted(
            max(self.level, other.level),
            np.concatenate([self.hashes, other.hashes]),
            np.concatenate([self.counts, other.counts]),
            np.concatenate([self.first, other.first]),
            most,
        )

    @property
    def rows(self) -> int:
        """Rows that are followed."""
        return int(self.counts.sum())

    @property
    def repeated(self) -> int:
        """Rows among them that repeat an earlier one."""
        return int(self.counts.sum()) - len(self.counts)

    def largest(self, groups: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the sizes and the first images of the largest groups of equal rows, the largest first."""
        order = np.lexsort((self.first, -self.counts))[:groups]
        order = order[self.counts[order] > 1]
        return self.counts[order], self.first[order]


def repeats(x: NDArray[np.float32], images: NDArray[np.int64], most: int = MOST) -> Repeats:
    """Count the values of the rows of a block.

    Parameters
    ----------
    x
        Rows, (n, components).
    images
        The number of each row's image, ascending, (n,).
    most
        How many values are followed at most.

    Examples
    --------
    >>> found = repeats(np.array([[1, 2], [3, 4], [1, 2]], np.float32), np.array([70, 71, 72]))
    >>> found.repeated, found.largest(5)
    (1, (array([2]), array([70])))
    """
    return _counted(0, row_hashes(x), np.ones(len(x), np.int64), images, most)


def row_hashes(x: NDArray[np.float32]) -> Words:
    """Hash the bits of every row, (n,).

    Pairs of numbers are mixed, multiplied with random odd numbers and summed modulo 2**64: Carter, J. L.,
    Wegman, M. N. (1979), Universal classes of hash functions; Lemire, D., Kaser, O. (2014), Strongly
    universal string hashing is fast.

    Examples
    --------
    >>> a, b, c = row_hashes(np.array([[1, 2, 3], [1, 2, 3], [3, 2, 1]], np.float32))
    >>> bool(a == b), bool(a == c)
    (True, False)
    """
    rows, components = x.shape
    pairs = (components + 1) // 2
    factors = mixed(np.arange(1, pairs + 1, dtype=np.uint64) * _ODD) | np.uint64(1)
    hashes = np.empty(rows, np.uint64)
    for tile in tiles(rows, tile_rows(components)):
        part = np.zeros((tile.stop - tile.start, 2 * pairs), np.float32)
        part[:, :components] = x[tile]
        words = part.view(np.uint64)
        words *= _ODD
        words ^= words >> np.uint64(32)
        words *= factors
        hashes[tile] = words.sum(axis=1, dtype=np.uint64)
    return mixed(hashes)


def _counted(
    level: int, hashes: Words, counts: NDArray[np.int64], first: NDArray[np.int64], most: int
) -> Repeats:
    """Join equal hashes, of which the first comes first, and leave out values until few enough are left."""
    followed = hashes & np.uint64((1 << level) - 1) == 0
    if not followed.all():
        hashes, counts, first = hashes[followed], counts[followed], first[followed]
    hashes, earliest, where = np.unique(hashes, return_index=True, return_inverse=True)
    counts = np.bincount(where, counts, minlength=len(hashes)).astype(np.int64)
    first = first[earliest]
    while len(hashes) > most:
        level += 1
        followed = hashes & np.uint64((1 << level) - 1) == 0
        hashes, counts, first = hashes[followed], counts[followed], first[followed]
    return Repeats(level, hashes, counts, first)
