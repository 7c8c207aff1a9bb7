"""How far out each row of a cloud lies: its radius, its Mahalanobis distance, and its distance to others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from latentscan.kernels.tiles import tile_rows, tiles

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

TAIL_SHARE = 0.02  # of the values, that a tail is fitted to
LEAST_TAIL = 10  # values that it is fitted to, at least
SURE = 2.0  # standard errors of the length of a tail, by which it is taken to be longer


@dataclass(frozen=True)
class Whitening:
    """The frame of a cloud, in which it is as wide along every axis.

    Parameters
    ----------
    mean
        Of the cloud, (component,).
    factors
        Principal axes, each divided by the standard deviation along it, (component, axis).
    """

    mean: Floats
    factors: Floats

    @classmethod
    def of(cls, mean: Floats, axes: Floats, eigenvalues: Floats, floor: float) -> Whitening:
        """Return the frame of a cloud; axes along which it has no width to speak of are left out.

        Parameters
        ----------
        mean
            (component,).
        axes
            (axis, component).
        eigenvalues
            Variances along them, (axis,).
        floor
            What is not above it is rounding.
        """
        held = eigenvalues > floor
        return cls(mean, axes[held].T / np.sqrt(eigenvalues[held]))

    @property
    def axes(self) -> int:
        """How many axes it has."""
        return int(self.factors.shape[1])

    def distances(self, x: NDArray[np.floating]) -> Floats:
        """Return the Mahalanobis distance of rows (n, component), (n,).

        Examples
        --------
        >>> frame = Whitening.of(np.zeros(2), np.eye(2), np.array([4.0, 1.0]), 0.0)
        >>> frame.distances(np.array([[2.0, 0.0], [0.0, 3.0]]))
        array([1., 3.])
        """
        found = np.empty(len(x))
        for tile in tiles(len(x), tile_rows(x.shape[1])):
            white = (x[tile].astype(np.float64) - self.mean) @ self.factors
            found[tile] = np.sqrt(np.vecdot(white, white))
        return found


@dataclass(frozen=True)
class Figures:
    """Figures of the images of a range of blocks, each (image,) float32.

    Parameters
    ----------
    images
        Their numbers, (image,).
    radius
        The L2 norm.
    mahalanobis
        The distance from the mean in the frame of the cloud.
    neighbour_distance
        The distance to the k-th nearest of a sample of the images.
    density
        The mean of that distance of the k nearest, as a share of the own one.
    """

    images: NDArray[np.int64]
    radius: NDArray[np.float32]
    mahalanobis: NDArray[np.float32]
    neighbour_distance: NDArray[np.float32]
    density: NDArray[np.float32]

    def merge(self, other: Figures) -> Figures:
        """Return the figures of both ranges, `other` being the later one."""
        return Figures(
            np.concatenate([self.images, other.images]),
            np.concatenate([self.radius, other.radius]),
            np.concatenate([self.mahalanobis, other.mahalanobis]),
            np.concatenate([self.neighbour_distance, other.neighbour_distance]),
            np.concatenate([self.density, other.density]),
        )


def local_density(distances: NDArray[np.floating], of_neighbours: NDArray[np.floating]) -> Floats:
    """Return how dense the cloud is around rows, as a share of what it is around their neighbours, (n,).

    It is 1 within a cloud, however dense that is, and small for a row far from what its neighbours are near
    to. Schubert, E., Zimek, A., Kriegel, H.-P. (2014), Local outlier detection reconsidered, simplified LOF,
    of which this is the inverse.

    Parameters
    ----------
    distances
        To the k-th nearest neighbour of each row, (n,); 1 is returned where it is 0.
    of_neighbours
        The same of each of its k neighbours, (n, k).

    Examples
    --------
    >>> local_density(np.array([1.0, 10.0, 0.0]), np.array([[1.0, 1.0], [1.0, 2.0], [0.0, 0.0]]))
    array([1.  , 0.15, 1.  ])
    """
    own = distances.astype(np.float64)
    theirs = of_neighbours.mean(axis=1, dtype=np.float64)
    return np.asarray(np.divide(theirs, own, out=np.ones(len(own)), where=own > 0))


def largest_expected(values: Floats, count: int, chance: float) -> float:
    """Return what the largest of some values like given ones exceeds with a probability of `chance`.

    The largest given values are taken to have an exponential tail, which falls off more slowly than what
    it stands for: Pickands, J. (1975), Statistical inference using extreme order statistics. Its length is
    taken to be two standard errors longer than it was found.

    Parameters
    ----------
    values
        (n,).
    count
        How many values the largest is of.
    chance
        Between 0 and 1.

    Examples
    --------
    >>> values = -np.log1p(-(np.arange(10_000) + 0.5) / 10_000)  # exponential
    >>> round(largest_expected(values, 10_000, 0.5), 1), round(float(values.max()), 1)
    (10.4, 9.9)
    """
    tail = min(max(LEAST_TAIL, int(TAIL_SHARE * len(values))), len(values))
    beyond = np.sort(values)[len(values) - tail :]
    length = float((beyond - beyond[0]).mean()) * (1 + SURE / np.sqrt(tail))
    level = -np.expm1(np.log1p(-chance) / count)  # of one value
    return float(beyond[0] + length * max(np.log(tail / len(values) / level), 0.0))


@dataclass(frozen=True)
class Nearest:
    """The nearest rows of a range of blocks to some queries, the nearest first.

    Parameters
    ----------
    images
        Their numbers, (query, k); −1 where there are fewer.
    squares
        Their squared distances, (query, k); infinite there.
    """

    images: NDArray[np.int64]
    squares: Floats

    def merge(self, other: Nearest) -> Nearest:
        """Return the nearest of both ranges, `other` being the later one."""
        images = np.concatenate([self.images, other.images], axis=1)
        squares = np.concatenate([self.squares, other.squares], axis=1)
        order = np.argsort(squares, axis=1, kind="stable")[:, : self.squares.shape[1]]
        return Nearest(np.take_along_axis(images, order, axis=1), np.take_along_axis(squares, order, axis=1))
