"""Figures of a few images among all others, not among a sample."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from latentscan.kernels.far_out import Nearest, local_density
from latentscan.kernels.nearest import nearest
from latentscan.kernels.reduction import LatentBlock, Reduction
from latentscan.scan.reduce import reduce_store
from latentscan.scan.rows import gather_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from latentscan.execution.context import Execution
    from latentscan.scan.rows import Points
    from latentscan.scan.snapshot import Snapshot


NO_IMAGE = -2


@dataclass(frozen=True)
class Exact:
    """The nearest neighbours of some images among all, and how dense the cloud is around these.

    Parameters
    ----------
    images
        The k nearest of each image, (image, k).
    distances
        Their distances, (image, k).
    density
        The local density, (image,).
    """

    images: NDArray[np.int64]
    distances: NDArray[np.float64]
    density: NDArray[np.float64]


def exact_figures(
    snapshot: Snapshot, array: Points, images: NDArray[np.int64], k: int, execution: Execution
) -> Exact:
    """Find the k nearest neighbours of some images (n,) among all, and of these neighbours, in two passes."""
    found = nearest_among_all(snapshot, array, images, k, execution)
    around, places = np.unique(found.images, return_inverse=True)
    theirs = nearest_among_all(snapshot, array, around, k, execution)
    distances = np.sqrt(found.squares)
    last = np.sqrt(theirs.squares[:, -1])
    density = local_density(distances[:, -1], last[places.reshape(found.images.shape)])
    return Exact(found.images, distances, density)


def nearest_among_all(
    snapshot: Snapshot, array: Points, images: NDArray[np.int64], k: int, execution: Execution
) -> Nearest:
    """Find the k images nearest to each of some images (n,), in one pass over the store.

    Parameters
    ----------
    snapshot
        The store.
    array
        Its points.
    images
        Good ones, (n,).
    k
        How many; fewer than there are good images.
    execution
        Where tasks run.
    """
    queries = gather_rows(snapshot, array, images, execution)
    return nearest_to(snapshot, array, queries, k, execution, images=images)


def nearest_to(
    snapshot: Snapshot,
    array: Points,
    queries: NDArray[np.float32],
    k: int,
    execution: Execution,
    images: NDArray[np.int64] | None = None,
) -> Nearest:
    """Find the k images nearest to each of some points (n, component), in one pass over the store.

    Parameters
    ----------
    snapshot
        The store.
    array
        Its points.
    queries
        The points, (n, component).
    k
        How many; at most as many as there are good images, or fewer than those where `images` is given.
    execution
        Where tasks run.
    images
        The image that each point is of, (n,), which is not near to itself; None where they are of none.
    """
    own = np.full(len(queries), NO_IMAGE) if images is None else images
    most = k if images is None else k + 1

    def chunk(block: LatentBlock) -> Nearest:
        rows = block.latents[array]
        count = min(most, len(rows))
        numbers, squares = np.full((len(queries), most), -1), np.full((len(queries), most), np.inf)
        if count:
            near, apart = nearest(rows, queries, count)
            numbers[:, :count], squares[:, :count] = block.images[near], apart
        squares[numbers == own[:, np.newaxis]] = np.inf  # of the image itself
        order = np.argsort(squares, axis=1, kind="stable")[:, :k]
        return Nearest(np.take_along_axis(numbers, order, axis=1), np.take_along_axis(squares, order, axis=1))

    reduction: Reduction[Nearest, Nearest] = Reduction((array,), chunk, Nearest.merge)
    return reduce_store(snapshot, reduction, execution, label="nearest images")
