"""How well maps hold what they are made of, each figure with its standard error over points or images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from latentscan.kernels.alignment import jackknife_error_of_squares
from latentscan.kernels.nearest import count_nearer, squares_between
from latentscan.kernels.procrustes import disparity_without_each, procrustes
from latentscan.kernels.ranks import (
    estimate,
    kept_of,
    nearest_on_map,
    neighbour_ranks,
    overlap_of,
    ranks_of,
    trustworthiness_of,
)
from latentscan.kernels.reduction import LatentBlock, Reduction
from latentscan.scan.reduce import reduce_store
from latentscan.scan.rows import gather_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from latentscan.execution.context import Execution
    from latentscan.scan.snapshot import Snapshot
    from latentscan.store.results import Result

NEIGHBOURS = 15  # of each point, whose ranks are looked at
QUERIES = 1000  # points of a map whose neighbours are looked at
QUERIES_AMONG_ALL = 500  # of the sample, and as many of the transformed


def neighbours_of(points: int) -> int:
    """Return how many neighbours of each point are looked at: 15, fewer where there are few points.

    Examples
    --------
    >>> neighbours_of(20_000), neighbours_of(10)
    (15, 3)
    """
    return min(NEIGHBOURS, (points - 1) // 3)


def map_quality(rows: NDArray[np.float32], embedding: NDArray[np.floating]) -> dict[str, Any]:
    """Measure what an embedding (n, 2) of rows (n, components), in a random order, keeps of neighbours."""
    queries = np.arange(min(QUERIES, len(embedding)))
    near = nearest_on_map(embedding, queries, neighbours_of(len(embedding)))
    return _figures(neighbour_ranks(rows, near, queries), len(rows))


def quality_among_all(snapshot: Snapshot, found: Result, execution: Execution) -> dict[str, Any]:
    """Measure what a map of all images keeps of neighbours, of images of the sample and of the others.

    The ranks are those among all images of the map, counted in one pass over the store.

    Parameters
    ----------
    snapshot
        The store.
    found
        A result of `transform`.
    execution
        Where tasks run.
    """
    array, rng = found.attributes["array"], np.random.default_rng(found.attributes["seed"])
    images, groups = found["image"], {}
    for name, of in (("sample", found["in_sample"]), ("transformed", ~found["in_sample"])):
        points = np.flatnonzero(of)
        groups[name] = np.sort(rng.permutation(points)[:QUERIES_AMONG_ALL])
    queries = np.concatenate(list(groups.values()))
    near = nearest_on_map(found["embedding"], queries, neighbours_of(len(images)))
    needed, places = np.unique(np.concatenate([queries[:, np.newaxis], near], axis=1), return_inverse=True)
    rows = gather_rows(snapshot, array, images[needed], execution)
    places = places.reshape(len(queries), -1)
    own = rows[places[:, 0]]
    squares = np.array([squares_between(rows, row, at[1:]) for row, at in zip(own, places, strict=True)])

    def chunk(block: LatentBlock) -> NDArray[np.int64]:
        return count_nearer(block.latents[array], own, squares)

    reduction: Reduction[NDArray[np.int64], NDArray[np.int64]] = Reduction((array,), chunk, np.add)
    ranks = ranks_of(reduce_store(snapshot, reduction, execution, label="quality of the map"), squares)
    parts = np.split(ranks, [len(groups["sample"])])
    return {
        name: _figures(part, len(images)) if len(part) else None
        for name, part in zip(groups, parts, strict=True)
    }


def noise_floor(first: Result, second: Result) -> dict[str, Any]:
    """Measure how much two maps of the same points, in the same order, have in common."""
    maps = [one["embedding"].astype(np.float64) for one in (first, second)]
    points = len(maps[0])
    queries = np.arange(min(QUERIES, points))
    near = neighbours_of(points)
    common = estimate(overlap_of(*(nearest_on_map(one, queries, near) for one in maps)))
    disparity = map_disparity(*maps)
    return {
        "start_seed": second.attributes["start_seed"],
        "neighbours": near,
        "queries": len(queries),
        "neighbours_in_common": common.value,
        "neighbours_in_common_error": common.error,
        "disparity": disparity[0],
        "disparity_error": disparity[1],
    }


def map_disparity(first: NDArray[np.float64], second: NDArray[np.float64]) -> tuple[float, float]:
    """Return the Procrustes disparity of two maps (n, 2) of the same images, and its jackknife error."""
    without = disparity_without_each(first, second)
    squares = float(((without - without.mean()) ** 2).sum())
    return procrustes(first, second).disparity, jackknife_error_of_squares(len(without), squares)


def _figures(ranks: NDArray[np.int64], points: int) -> dict[str, Any]:
    """Return the figures of ranks (m, k) among so many points."""
    trust, kept = estimate(trustworthiness_of(ranks, points)), estimate(kept_of(ranks))
    return {
        "trustworthiness": trust.value,
        "trustworthiness_error": trust.error,
        "neighbours_kept": kept.value,
        "neighbours_kept_error": kept.error,
        "neighbours": ranks.shape[1],
        "queries": len(ranks),
    }
