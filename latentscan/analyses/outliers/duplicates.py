"""Groups of images that are nearly the same: those that share a cell of the grid, compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from latentscan.kernels.near_cells import links
from latentscan.scan.rows import gather_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from latentscan.execution.context import Execution
    from latentscan.kernels.near_cells import Cells
    from latentscan.scan.rows import Points
    from latentscan.scan.snapshot import Snapshot

MOST_VALUES = 1 << 25  # of rows that are compared: 128 MiB


@dataclass(frozen=True)
class Duplicates:
    """Groups of near-duplicates, the largest first; their images ascend.

    Parameters
    ----------
    images
        Of one group after another, (duplicate,).
    groups
        The number of each one's group, (duplicate,).
    distances
        Of each from the first of its group, (duplicate,).
    share
        Of the images, that was searched.
    not_compared
        Images that lie among so many others that they were not compared with all.
    """

    images: NDArray[np.int64]
    groups: NDArray[np.int64]
    distances: NDArray[np.float64]
    share: float
    not_compared: int


def find_duplicates(
    snapshot: Snapshot, array: Points, cells: Cells, near: float, execution: Execution
) -> Duplicates:
    """Compare the images that share a cell, and group those that are no farther apart than `near`.

    Parameters
    ----------
    snapshot
        The store.
    array
        Its points.
    cells
        The cells that images touch.
    near
        The distance.
    execution
        Where tasks run.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    shared = cells.shared().thinned(cells.level, max(2, MOST_VALUES // snapshot.schema.components))
    images, entries = np.unique(shared.images, return_inverse=True)
    if not len(images):
        nothing = np.empty(0, np.int64)
        return Duplicates(nothing, nothing, np.empty(0), 0.5**shared.level, 0)
    rows = gather_rows(snapshot, array, images, execution)
    cell = np.unique(shared.hashes, return_inverse=True)[1]
    found, not_compared = links(rows[entries], cell, near)
    first, second = entries[found].T
    graph = coo_array((np.ones(len(found), np.int8), (first, second)), shape=(len(images),) * 2)
    _, group = connected_components(graph, directed=False)
    sizes = np.bincount(group)[group]
    held = np.flatnonzero(sizes > 1)
    _, firsts = np.unique(group, return_index=True)  # of each group; images ascend
    order = held[np.lexsort((images[held], firsts[group[held]], -sizes[held]))]
    leaders = firsts[group[order]]
    numbers = np.cumsum(order == leaders) - 1
    apart = rows[order].astype(np.float64) - rows[leaders]
    return Duplicates(images[order], numbers, np.linalg.norm(apart, axis=1), 0.5**shared.level, not_compared)
