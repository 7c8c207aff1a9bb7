"""The distances of every two stores, on one sample of their images."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from latentscan.analyses.neighbours.graph import graph_of
from latentscan.kernels.ranks import estimate, overlap_of
from latentscan.kernels.run_distances import (
    Maps,
    Shape,
    cka_distance,
    map_distance,
    radius_distance,
    spectrum_distance,
)
from latentscan.progress import labelled
from latentscan.scan.rows import gather_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from latentscan.analyses.compare.shared_images import Member
    from latentscan.execution.context import Execution

MEASURES = ("cka", "map", "neighbours", "spectrum", "radius")


@dataclass(frozen=True)
class Distances:
    """How far every two stores are apart.

    Parameters
    ----------
    values, errors
        The distances and their standard errors over the images, (measure, store, store), symmetric, 0 on the
        diagonal; measures are in the order of `MEASURES`.
    recall
        The share of the nearest neighbours that the search found, (store,).
    """

    values: NDArray[np.float64]
    errors: NDArray[np.float64]
    recall: NDArray[np.float64]


def distances_of(
    members: Sequence[Member], images: NDArray[np.int64], nearest: int, seed: int, execution: Execution
) -> Distances:
    """Compute the distances of every two stores; the sampled rows of all of them are held in memory.

    Parameters
    ----------
    members
        The stores.
    images
        Rows that are compared, (n,).
    nearest
        How many nearest neighbours of each.
    seed
        Of the search of neighbours.
    execution
        Where tasks run.
    """
    rows, neighbours, recall = [], [], []
    for member in members:
        named = replace(execution, progress=labelled(execution.progress, member.name))
        rows.append(gather_rows(member.snapshot, member.array, images, named))
        graph = graph_of(rows[-1], nearest, seed, named)
        neighbours.append(graph.indices)
        recall.append(graph.recall)
    shapes = [Shape.of(one) for one in rows]
    misfits = _misfits(rows)
    count = len(members)
    values, errors = np.zeros((2, len(MEASURES), count, count))
    for a, b in combinations(range(count), 2):
        shared = estimate(overlap_of(neighbours[a], neighbours[b]))
        found = (
            cka_distance(rows[a], rows[b], (shapes[a], shapes[b])),
            map_distance(misfits[a][b], misfits[b][a]),
            (1 - shared.value, shared.error),
            spectrum_distance(shapes[a], shapes[b]),
            radius_distance(shapes[a], shapes[b]),
        )
        values[:, a, b], errors[:, a, b] = zip(*found, strict=True)
    values, errors = (one + one.swapaxes(1, 2) for one in (values, errors))
    return Distances(values, errors, np.array(recall))


def _misfits(rows: Sequence[NDArray[np.float32]]) -> list[list[tuple[float, NDArray[np.float64]]]]:
    """Return how badly the rows of each store are linear in those of each, by source, then by target."""
    found = []
    for source in rows:
        maps = Maps.of(source)
        found.append([maps.misfit(target) for target in rows])
    return found
