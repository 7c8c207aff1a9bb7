"""Rows of a sample that repeat another one, which say nothing of the shape of a cloud."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from latentscan.analyses.neighbours.graph import NeighbourGraph
from latentscan.analyses.outliers.chance import NearPairs
from latentscan.analyses.outliers.parameters import MOST_DUPLICATE
from latentscan.kernels.nearest import nearest

if TYPE_CHECKING:
    from numpy.typing import NDArray


def without_repeats(rows: NDArray[np.float32], k: int) -> NDArray[np.intp]:
    """Return which rows repeat no earlier one, ascending.

    A row repeats one that it is equal to, or nearer to than chance has any pair (see `NearPairs`): of two
    rows that are nearly the same, the ratio of the distances to the two nearest is large, as in a cloud of
    few dimensions, whatever the dimensions of the cloud.

    Parameters
    ----------
    rows
        Of the sample, (n, component).
    k
        How many nearest neighbours tell what distance is usual.
    """
    first = np.sort(np.unique(rows, axis=0, return_index=True)[1])
    if len(first) <= k:
        return first
    numbers, squares = nearest(rows[first], rows[first], k + 1)  # of different rows: the first is the own
    distances = np.sqrt(squares[:, 1:])
    graph = NeighbourGraph(numbers[:, 1:].astype(np.int32), distances.astype(np.float32), 1.0, "exact")
    most = MOST_DUPLICATE * float(np.median(distances[:, -1]))
    near = NearPairs.of(graph, len(first), most).distance(most)
    earlier = numbers[:, 1:] < np.arange(len(first))[:, np.newaxis]
    different: NDArray[np.intp] = first[~np.any(earlier & (distances <= near), axis=1)]
    return different
