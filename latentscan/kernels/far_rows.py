"""The rows of a cloud that lie far out: the farthest ones, and how many there are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from latentscan.kernels.tiles import tile_rows, tiles

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST = 64  # rows that are known by number
FAR = 10.0  # times the median distance from the middle: beyond it a row is far out


@dataclass(frozen=True)
class FarRows:
    """The farthest of the rows beyond a distance, the farthest first, and how many lie beyond it.

    Parameters
    ----------
    images
        Their numbers, (n,), 64 at most.
    squares
        Their squared distances, (n,).
    count
        How many rows lie beyond the distance.
    largest
        The largest squared distance of any row.
    """

    images: NDArray[np.int64]
    squares: NDArray[np.float64]
    count: int
    largest: float

    def merge(self, other: FarRows) -> FarRows:
        """Return the far rows of both ranges, `other` being the later one."""
        images = np.concatenate([self.images, other.images])
        squares = np.concatenate([self.squares, other.squares])
        order = np.argsort(-squares, kind="stable")[:MOST]
        return FarRows(
            images[order], squares[order], self.count + other.count, max(self.largest, other.largest)
        )


def far_rows(
    x: NDArray[np.float32], images: NDArray[np.int64], middle: NDArray[np.float32], limit: float
) -> FarRows:
    """Find the rows whose squared distance from the middle is beyond a limit, in float64.

    Parameters
    ----------
    x
        Rows, (n, component).
    images
        The number of each row's image, (n,).
    middle
        From where distances are measured, (component,).
    limit
        Of the squared distance.

    Examples
    --------
    >>> x = np.array([[0.0], [7.0], [1.0], [-9.0]], np.float32)
    >>> far_rows(x, np.arange(70, 74), np.zeros(1, np.float32), 25.0)
    FarRows(images=array([73, 71]), squares=array([81., 49.]), count=2, largest=81.0)
    """
    squares = np.empty(len(x))
    for tile in tiles(len(x), tile_rows(x.shape[1])):
        moved = x[tile].astype(np.float64) - middle
        np.einsum("ij,ij->i", moved, moved, out=squares[tile])
    beyond = np.flatnonzero(squares > limit)
    order = beyond[np.argsort(-squares[beyond], kind="stable")[:MOST]]
    return FarRows(images[order], squares[order], len(beyond), float(squares.max(initial=0.0)))
