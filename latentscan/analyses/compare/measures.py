"""The figures of a comparison: of each store on a common scale, and of two stores of the same images."""

from __future__ import annotations

from functools import reduce
from itertools import combinations, pairwise
from typing import TYPE_CHECKING

import numpy as np

from latentscan.analyses.compare.shared_images import shared_rows
from latentscan.analyses.neighbours.graph import graph_of
from latentscan.kernels.adaptive import AdaptiveHistogram, adaptive_histogram
from latentscan.kernels.alignment import linear_cka
from latentscan.kernels.procrustes import procrustes
from latentscan.kernels.ranks import neighbour_overlap
from latentscan.kernels.reduction import LatentBlock, Reduction
from latentscan.kernels.statistics import radii
from latentscan.kernels.transport import cumulative, wasserstein_distance
from latentscan.scan.reduce import reduce_store
from latentscan.scan.rows import gather_rows
from latentscan.store.results import Variable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from latentscan.analyses.compare.shared_images import Member
    from latentscan.execution.context import Execution
    from latentscan.store.results import Result

MOST_BINS = 200  # of the curves of radii
TAIL = 5e-4  # of the radii at either end, which the curves leave out
PAIR = ("pair",)
FIGURES = ("cka", "cka_chance", "overlap", "overlap_chance")


def radius_variables(members: Sequence[Member], execution: Execution) -> dict[str, Variable]:
    """Count the radii of every store in the same bins, and measure how far they are from one another's.

    Parameters
    ----------
    members
        The stores.
    execution
        Where tasks run.

    Returns
    -------
    `images` (store), `radius_edge` (edge), `radius_share` (store, bin), `earth_movers_distance` (pair).
    """
    histograms = [_radius_histogram(member, execution) for member in members]
    images = np.array([histogram.counts.sum() for histogram in histograms])
    curves = [(h.edges[0], cumulative(h.counts[0])) for h in histograms]
    ends = np.array([np.interp([TAIL, 1 - TAIL], shares, edges) for edges, shares in curves])
    width = np.diff(ends, axis=1)[:, 0] / (2 * np.cbrt(images))  # Rice's rule
    low, high = ends[:, 0].min(), ends[:, 1].max()
    common = np.linspace(low, high, 1 + min(MOST_BINS, int(np.ceil((high - low) / width.min()))))
    distances = [wasserstein_distance(*ours, *theirs) for ours, theirs in combinations(curves, 2)]
    return {
        "images": Variable(("store",), images),
        "radius_edge": Variable(("edge",), common),
        "radius_share": Variable(
            ("store", "bin"), np.array([np.diff(np.interp(common, *curve)) for curve in curves])
        ),
        "earth_movers_distance": Variable(PAIR, np.array(distances)),
    }


def _radius_histogram(member: Member, execution: Execution) -> AdaptiveHistogram:
    def chunk(block: LatentBlock) -> AdaptiveHistogram:
        return adaptive_histogram(radii(block.latents[member.array])[:, np.newaxis])

    reduction: Reduction[AdaptiveHistogram, AdaptiveHistogram] = Reduction(
        (member.array,), chunk, AdaptiveHistogram.merge
    )
    return reduce_store(member.snapshot, reduction, execution, label="radii")


def inertia_variables(clusters: Sequence[Result]) -> dict[str, Variable]:
    """Put the inertia of every store on the scale of its inertia with one cluster."""
    with np.errstate(invalid="ignore"):  # points that are all equal
        shares = np.array([found["inertia"] / found["total"] for found in clusters])
    return {
        "inertia_share": Variable(("store", "k", "seed"), shares),
        "k": Variable(("k",), clusters[0]["k"]),
    }


def paired_variables(
    members: Sequence[Member],
    groups: Sequence[Sequence[int]],
    sample: int,
    nearest: int,
    seed: int,
    execution: Execution,
) -> dict[str, Variable]:
    """Compare the points of the same images in every two stores of a group: linear CKA, nearest neighbours.

    Where they share no more good images than nearest neighbours are asked for, their overlap is NaN.

    Parameters
    ----------
    members
        The stores.
    groups
        Positions of stores of the same images.
    sample, seed
        How many shared images are sampled for the nearest neighbours, and the seed.
    nearest
        How many nearest neighbours of each.
    execution
        Where tasks run.

    Returns
    -------
    `shared`, `cka`, `cka_chance`, `overlap` and `overlap_chance`, (pair,) each.
    """
    pairs = {pair: number for number, pair in enumerate(combinations(range(len(members)), 2))}
    shared, figures = np.zeros(len(pairs), np.int64), np.full((len(FIGURES), len(pairs)), np.nan)
    for group in groups:
        if len(group) == 1:
            continue
        own = [members[at] for at in group]
        both = shared_rows(own, sample, seed, execution)
        enough = len(both.images) > nearest
        ends = np.cumsum([0, *(member.snapshot.schema.components for member in own)]).tolist()
        columns = [slice(*span) for span in pairwise(ends)]
        neighbours = [_nearest(member, both.images, nearest, seed, execution) for member in own if enough]
        for a, b in combinations(range(len(own)), 2):
            pair = pairs[group[a], group[b]]
            shared[pair] = both.covariance.count
            figures[:2, pair] = linear_cka(both.covariance, columns[a], columns[b])
            if enough:
                overlap = neighbour_overlap(neighbours[a], neighbours[b])
                figures[2:, pair] = overlap, nearest / (len(both.images) - 1)
    found = {name: Variable(PAIR, values) for name, values in zip(FIGURES, figures, strict=True)}
    return {"shared": Variable(PAIR, shared), **found}


def _nearest(
    member: Member, images: NDArray[np.int64], nearest: int, seed: int, execution: Execution
) -> NDArray[np.int32]:
    rows = gather_rows(member.snapshot, member.array, images, execution)
    return graph_of(rows, nearest, seed, execution).indices


def embedding_variables(
    members: int, embeddings: Mapping[int, Result], groups: Sequence[Sequence[int]]
) -> dict[str, Variable]:
    """Align the embeddings of the stores of each group, and measure how much of their shapes differs.

    Parameters
    ----------
    members
        How many stores there are.
    embeddings
        Results of `tsne` by the position of their store.
    groups
        Positions of stores of the same images.

    Returns
    -------
    `disparity` of every two stores, and of the first group of several stores the `embedding` (map, point,
    axis) aligned to its first one, with the rows `image` (point) that are in all of its embeddings,
    ascending, and the position of each store, `store_of_map` (map).
    """
    pairs = {pair: number for number, pair in enumerate(combinations(range(members), 2))}
    disparity = np.full(len(pairs), np.nan)
    variables = {"disparity": Variable(PAIR, disparity)}
    for group in groups:
        if len(group) == 1:
            continue
        images = reduce(np.intersect1d, [embeddings[at]["image"] for at in group])
        points = [_points_of(embeddings[at], images) for at in group]
        for a, b in combinations(range(len(group)), 2):
            disparity[pairs[group[a], group[b]]] = procrustes(points[a], points[b]).disparity
        if "embedding" not in variables:
            aligned = [points[0], *(procrustes(points[0], m).apply(m) for m in points[1:])]
            variables |= {
                "embedding": Variable(("map", "point", "axis"), np.array(aligned)),
                "image": Variable(("point",), images),
                "store_of_map": Variable(("map",), np.array(group)),
            }
    return variables


def _points_of(found: Result, images: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the points of some images, (n, 2)."""
    order = np.argsort(found["image"])
    at = order[np.searchsorted(found["image"], images, sorter=order)]
    return found["embedding"][at].astype(np.float64)
