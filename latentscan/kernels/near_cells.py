"""Rows that may lie very near to one another, found in one pass: those that share a cell of a fine grid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from latentscan.kernels.sampling import mixed
from latentscan.kernels.tiles import tile_rows, tiles

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Words = NDArray[np.uint64]

MOST = 1 << 23  # cells of rows that are held: 128 MiB
WIDTH = 32  # of a cell, in times of the distance that is near
_ODD = np.uint64(0x9E3779B97F4A7C15)
_FAR = 2.0**62
MOST_ROUNDS = 256


@dataclass(frozen=True)
class Cells:
    """The cells that rows touch, each with the image of the row; of very many, a random share.

    Where there are more than `MOST`, those are followed whose hash ends in `level` zeros, which is one of
    2**level: Gibbons, P. B. (2001), Distinct sampling for highly-accurate answers to distinct values
    queries. Rows that share a cell are followed together.

    Parameters
    ----------
    level
        One of 2**level cells is followed.
    hashes
        Of the cells, (touched,).
    images
        Of the rows that touch them, (touched,).
    """

    level: int
    hashes: Words
    images: NDArray[np.int64]

    def merge(self, other: Cells, most: int = MOST) -> Cells:
        """Return the cells of both ranges of rows, `other` being the later one."""
        level = max(self.level, other.level)
        hashes = np.concatenate([self.hashes, other.hashes])
        images = np.concatenate([self.images, other.images])
        return Cells(0, hashes, images).thinned(level, most)

    def thinned(self, level: int, most: int) -> Cells:
        """Return those cells that are followed at a level, or at a higher one if more than `most` are."""
        hashes, images = self.hashes, self.images
        while True:
            followed = hashes & np.uint64((1 << level) - 1) == 0
            hashes, images = hashes[followed], images[followed]
            if len(hashes) <= most:
                return Cells(level, hashes, images)
            level += 1

    def shared(self) -> Cells:
        """Return the cells that two rows or more touch, in the order of their hashes and images."""
        order = np.lexsort((self.images, self.hashes))
        hashes, images = self.hashes[order], self.images[order]
        held = np.zeros(len(hashes), bool)
        same = np.flatnonzero(hashes[1:] == hashes[:-1])
        held[same] = held[same + 1] = True
        return Cells(self.level, hashes[held], images[held])


def touched_cells(x: Floats, images: NDArray[np.int64], near: float) -> Cells:
    """Find the cells of a grid that the surroundings of rows touch.

    Of two rows no farther apart than `near`, each touches the cell that the other one lies in.

    Parameters
    ----------
    x
        Coordinates of rows along some axes at right angles, (n, axis).
    images
        The number of each row's image, (n,).
    near
        A distance above 0; cells are 32 times as wide.

    Examples
    --------
    >>> x = np.array([[0.0, 0.0], [0.01, 0.0], [5.0, 5.0]])
    >>> cells = touched_cells(x, np.array([70, 71, 72]), near=0.02).shared()
    >>> sorted(set(cells.images.tolist()))
    [70, 71]
    """
    places = x / (WIDTH * near)
    lowest = np.clip(np.floor(places), -_FAR, _FAR)
    within = places - lowest
    rows, cells = np.arange(len(x)), lowest.astype(np.int64)
    for axis in range(x.shape[1]):
        at = within[rows, axis]
        below, above = at < 1 / WIDTH, at > 1 - 1 / WIDTH
        moved = [cells, cells[below], cells[above]]
        moved[1][:, axis] -= 1
        moved[2][:, axis] += 1
        cells = np.concatenate(moved)
        rows = np.concatenate([rows, rows[below], rows[above]])
    hashes = np.zeros(len(rows), np.uint64)
    for axis in range(x.shape[1]):
        hashes = mixed((hashes + np.uint64(1)) * _ODD ^ cells[:, axis].astype(np.uint64))
    return Cells(0, hashes, images[rows])


def links(
    x: NDArray[np.float32], cells: NDArray[np.integer], near: float, most: int = MOST_ROUNDS
) -> tuple[NDArray[np.int64], int]:
    """Find which entries of cells lie near to one another.

    One entry of each cell after another is compared with all of its cell, until each is near to one that was.

    Parameters
    ----------
    x
        The row of every entry, (entry, component).
    cells
        The cell of every entry, ascending, (entry,).
    near
        The distance.
    most
        How many entries of a cell are compared with all of it.

    Returns
    -------
    Pairs of entries, (link, 2), and how many entries were not compared.

    Examples
    --------
    >>> x = np.array([[0.0], [0.1], [9.0], [0.1], [5.0]], np.float32)
    >>> links(x, np.array([0, 0, 0, 1, 1]), near=0.2)
    (array([[0, 1]]), 0)
    """
    starts = np.searchsorted(cells, np.unique(cells))
    lengths = np.diff(starts, append=len(cells))
    cell = np.repeat(np.arange(len(starts)), lengths)
    left, found = np.arange(len(x)), [np.empty((0, 2), np.int64)]
    for _ in range(most):
        if not len(left):
            break
        which, first = np.unique(cell[left], return_index=True)
        leaders, compared = left[first], lengths[which]
        before = np.cumsum(compared) - compared
        entries = np.arange(compared.sum()) + np.repeat(starts[which] - before, compared)
        of = np.repeat(leaders, compared)
        close = np.empty(len(entries), bool)
        for part in tiles(len(entries), tile_rows(x.shape[1])):
            apart = x[entries[part]].astype(np.float64) - x[of[part]]
            close[part] = np.vecdot(apart, apart) <= near**2
        found.append(np.stack([of, entries], axis=1)[close & (entries != of)])
        done = np.zeros(len(x), bool)
        done[entries[close]] = True
        left = left[~done[left]]
    return np.concatenate(found), len(left)
