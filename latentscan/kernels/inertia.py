"""Inertia and cluster sizes of many k-means models at once, with one matrix product a tile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from latentscan.kernels.tiles import TILE_ROWS, tiles

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from latentscan.kernels.frame import Frame

NEAR = 0.01  # of a row's squared length: a squared distance below it has lost digits in the product


@dataclass(frozen=True)
class Models:
    """The centres of several models side by side, prepared for matrix products with rows.

    Parameters
    ----------
    frame
        In which rows and centres are about the origin and about 1: else a product in float32 would lose the
        digits that matter, or underflow.
    centres
        The centres of all models in the frame, one model after another, (centre, component).
    product
        The factor of a row in the frame with a 1 at its end, (component + 1, centre): −2 c, and |c|² below,
        so that the product is the squared distance less the row's own squared length.
    starts
        The first centre of each model, and the number of all centres, (model + 1,).
    """

    frame: Frame
    centres: NDArray[np.float32]
    product: NDArray[np.float32]
    starts: NDArray[np.int64]

    @classmethod
    def of(cls, centres: NDArray[np.floating], counts: Sequence[int], frame: Frame) -> Models:
        """Prepare the centres of several models.

        Parameters
        ----------
        centres
            Of one model after another, (centre, component).
        counts
            The number of centres of each model.
        frame
            Where the rows lie.
        """
        exact = frame.exact_inside(centres)
        squares = np.einsum("ij,ij->i", exact, exact)
        product = np.vstack([-2 * exact.T, squares]).astype(np.float32)
        starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        return cls(frame, exact.astype(np.float32), product, starts)


@dataclass(frozen=True)
class InertiaPartial:
    """The inertia and the cluster sizes of several models on a range of blocks.

    Parameters
    ----------
    rows
        Number of rows.
    total
        The sum of the rows less the shift, (component,), and of their squared lengths at the end.
    inertia
        Sum over the rows of the squared distance to the nearest centre, (model,).
    sizes
        Number of rows nearest to each centre, (centre,).
    members
        The first of the images nearest to each centre, (centre,); −1 for none.
    images
        The numbers of the rows' images, (row,); empty where no labels are asked for.
    labels
        The cluster of each row in the models whose labels are asked for, (row, labelled model).
    """

    rows: int
    total: NDArray[np.float64]
    inertia: NDArray[np.float64]
    sizes: NDArray[np.int64]
    members: NDArray[np.int64]
    images: NDArray[np.int64]
    labels: NDArray[np.int32]

    def merge(self, other: InertiaPartial) -> InertiaPartial:
        """Return the partial of both ranges, `other` being the later one."""
        return InertiaPartial(
            self.rows + other.rows,
            self.total + other.total,
            self.inertia + other.inertia,
            self.sizes + other.sizes,
            np.where(self.members < 0, other.members, self.members),
            np.concatenate([self.images, other.images]),
            np.concatenate([self.labels, other.labels]),
        )

    @property
    def total_inertia(self) -> float:
        """Sum of the squared distances to the mean: the inertia of a single cluster."""
        *sums, squares = self.total
        return max(0.0, float(squares - np.dot(sums, sums) / self.rows)) if self.rows else 0.0


def inertia_partial(
    x: NDArray[np.float32], images: NDArray[np.int64], models: Models, labelled: Sequence[int] = ()
) -> InertiaPartial:
    """Find the nearest centre of every model for each row.

    Distances are computed in float32 in the frame. Those that are small against the row itself, for which
    the product has lost digits, are recomputed in float64 with all centres of the model. Sums are in float64
    and in the units of the rows; none is below 0.

    Parameters
    ----------
    x
        Rows, (n, components).
    images
        The number of each row's image, (n,).
    models
        The centres.
    labelled
        Numbers of the models whose labels are returned.

    Examples
    --------
    >>> from latentscan.kernels.frame import Frame
    >>> centres = np.array([[0.0], [0.0], [10.0]])
    >>> models = Models.of(centres, [1, 2], Frame(np.zeros(1, np.float32)))
    >>> found = inertia_partial(np.array([[1.0], [9.0]], np.float32), np.arange(2), models, labelled=[1])
    >>> found.inertia, found.sizes, found.labels.ravel()
    (array([82.,  2.]), array([2, 1, 1]), array([0, 1], dtype=int32))
    """
    rows, components = x.shape
    count, height = len(models.starts) - 1, min(TILE_ROWS, rows)
    shifted = np.ones((height, components + 1), np.float32)
    product = np.empty((height, models.starts[-1]), np.float32)
    nearest = np.empty((height, count), np.int64)
    total, inertia = np.zeros(components + 1), np.zeros(count)
    sizes = np.zeros(models.starts[-1], np.int64)
    members = np.full(models.starts[-1], -1)
    labels = np.empty((rows if labelled else 0, len(labelled)), np.int32)
    for tile in tiles(rows):
        length = tile.stop - tile.start
        points, near = shifted[:length, :-1], nearest[:length]
        models.frame.inside(x[tile], out=points)
        squares = np.einsum("ij,ij->i", points, points)
        np.matmul(shifted[:length], models.product, out=product[:length])
        for model, (start, stop) in enumerate(zip(models.starts, models.starts[1:], strict=False)):
            product[:length, start:stop].argmin(axis=1, out=near[:, model])
        near += models.starts[:-1]
        distances = np.take_along_axis(product[:length], near, axis=1)
        distances += squares[:, np.newaxis]
        _compute_near_ones_again(distances, near, points, squares, models)
        total[:-1] += points.sum(axis=0, dtype=np.float64)
        total[-1] += squares.sum(dtype=np.float64)
        inertia += distances.sum(axis=0, dtype=np.float64)
        sizes += np.bincount(near.ravel(), minlength=len(sizes))
        first = np.full(len(sizes), -1)
        # of several images, the first is assigned last
        first[near[::-1].ravel()] = np.repeat(images[tile][::-1], count)
        members = np.where(members < 0, first, members)
        if labelled:
            labels[tile] = (near - models.starts[:-1])[:, list(labelled)]
    exponent = models.frame.exponent
    total = np.ldexp(total, [exponent] * components + [2 * exponent])
    inertia = np.ldexp(inertia, 2 * exponent)
    return InertiaPartial(rows, total, inertia, sizes, members, images if labelled else images[:0], labels)


def _compute_near_ones_again(
    distances: NDArray[np.float32],
    nearest: NDArray[np.int64],
    points: NDArray[np.float32],
    squares: NDArray[np.float32],
    models: Models,
) -> None:
    """Replace squared distances (row, model) that are small against the rows' squared lengths (row,).

    The nearest centre (row, model) is searched for again, too: the product cannot tell apart two centres
    that lie close together.
    """
    low = distances < NEAR * squares[:, np.newaxis]
    for model in np.flatnonzero(low.any(axis=0)):
        rows = np.flatnonzero(low[:, model])
        start, stop = models.starts[model : model + 2]
        exact = points[rows].astype(np.float64)
        centres = models.centres[start:stop].astype(np.float64)
        found = np.einsum("ij,ij->i", exact, exact)[:, np.newaxis] - 2 * (exact @ centres.T)
        found += np.einsum("ij,ij->i", centres, centres)
        nearest[rows, model] = start + found.argmin(axis=1)
        distances[rows, model] = np.maximum(found.min(axis=1), 0)
