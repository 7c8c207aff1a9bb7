"""Extremes of every component, with the image where each lies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Maxima:
    """The largest value of every component, and the first image that has it.

    Parameters
    ----------
    values
        (components,); −∞ for no rows.
    images
        (components,); −1 for no rows.
    """

    values: NDArray[np.floating]
    images: NDArray[np.int64]

    @classmethod
    def empty(cls, components: int) -> Maxima:
        """Return the maxima of no rows: the identity of `merge`."""
        return cls(np.full(components, -np.inf, np.float32), np.full(components, -1))

    def merge(self, other: Maxima) -> Maxima:
        """Return the maxima of both sets of rows, where those of `other` come later."""
        later = other.values > self.values
        return Maxima(np.where(later, other.values, self.values), np.where(later, other.images, self.images))


def maxima(x: NDArray[np.floating], images: NDArray[np.int64]) -> Maxima:
    """Find the largest value of every column of a block, and the first image that has it.

    Parameters
    ----------
    x
        Rows, (n, components).
    images
        The number of each row's image, ascending, (n,).

    Examples
    --------
    >>> m = maxima(np.array([[1.0, 9.0], [5.0, 2.0]], np.float32), np.array([70, 71]))
    >>> m.values, m.images
    (array([5., 9.], dtype=float32), array([71, 70]))
    """
    if not len(x):
        return Maxima.empty(x.shape[1])
    values = x.max(axis=0)
    return Maxima(values, _first_images(x == values, images))


def negated_minima(x: NDArray[np.floating], images: NDArray[np.int64]) -> Maxima:
    """Find the smallest value of every column, as the maxima of −x.

    Parameters
    ----------
    x
        Rows, (n, components).
    images
        The number of each row's image, ascending, (n,).

    Examples
    --------
    >>> negated_minima(np.array([[1.0, 9.0], [5.0, 2.0]], np.float32), np.array([70, 71])).values
    array([-1., -2.], dtype=float32)
    """
    if not len(x):
        return Maxima.empty(x.shape[1])
    values = x.min(axis=0)
    return Maxima(-values, _first_images(x == values, images))


def _first_images(hits: NDArray[np.bool_], images: NDArray[np.int64]) -> NDArray[np.int64]:
    """Find the first image that hits in every column; searching the flat array is the fastest way."""
    rows, columns = np.divmod(np.flatnonzero(hits), hits.shape[1])
    first = np.full(hits.shape[1], -1)
    first[columns[::-1]] = rows[::-1]  # of several, the first row is assigned last
    return np.where(first < 0, -1, images[first])
