"""The figures of a comparison: of each store on a common scale, and of two stores of the same images."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce
from itertools import combinations, pairwise
from typing import TYPE_CHECKING

import numpy as np

from latentscan.analyses.compare.shared_images import cka_errors, shared_rows
from latentscan.analyses.neighbours.graph import graph_of
from latentscan.analyses.tsne.quality import map_disparity
from latentscan.kernels.alignment import linear_cka
from latentscan.kernels.procrustes import procrustes
from latentscan.kernels.ranks import estimate, overlap_of
from latentscan.kernels.reduction import LatentBlock, Reduction
from latentscan.kernels.sketch import Sketch, sketch
from latentscan.kernels.statistics import radii
from latentscan.kernels.transport import distance_of_samples
from latentscan.progress import labelled
from latentscan.scan.reduce import reduce_store
from latentscan.scan.rows import gather_rows
from latentscan.store.results import Variable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from latentscan.analyses.compare.shared_images import Member
    from latentscan.analyses.neighbours.graph import NeighbourGraph
    from latentscan.execution.context import Execution
    from latentscan.store.results import Result

MOST_BINS = 200  # of the curves of radii
TAIL = 5e-4  # of the radii at either end, which the curves leave out
NARROWEST = 1e-6  # range of the curves, of the largest radius
PAIR = ("pair",)
FIGURES = ("cka", "cka_error", "cka_chance", "overlap", "overlap_error", "overlap_chance")
DISTANCES = ("wasserstein_distance", "wasserstein_error", "wasserstein_floor")


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
    `images` (store), `radius_edge` (edge), `radius_share` (store, bin), and the `wasserstein_distance` of the
    radii with its standard error, `wasserstein_error`, and `wasserstein_floor`, what two samples of one
    distribution differ by (pair).
    """
    sketches = [_radius_sketch(member, execution) for member in members]
    images = np.array([int(one.counts.sum()) for one in sketches])
    ends = np.array([one.quantiles(np.array([TAIL, 1 - TAIL])) for one in sketches])
    low, high = ends[:, 0].min(), ends[:, 1].max()
    span = max(high - low, high * NARROWEST)
    span = span if span > np.finfo(np.float64).tiny else 1.0  # all radii are 0
    width = np.maximum(np.diff(ends, axis=1)[:, 0] / (2 * np.cbrt(images)), span / MOST_BINS)  # Rice's rule
    common = np.linspace(low, low + span, 1 + min(MOST_BINS, int(np.ceil(span / width.min()))))
    shares = [np.histogram(one.values, common, weights=one.counts)[0] / one.counts.sum() for one in sketches]
    distances = [
        distance_of_samples(a.values, a.counts, b.values, b.counts) for a, b in combinations(sketches, 2)
    ]
    return {
        "images": Variable(("store",), images),
        "radius_edge": Variable(("edge",), common),
        "radius_share": Variable(("store", "bin"), np.array(shares)),
        **{
            name: Variable(PAIR, np.array(values))
            for name, values in zip(DISTANCES, zip(*distances, strict=True), strict=True)
        },
    }


def _radius_sketch(member: Member, execution: Execution) -> Sketch:
    def chunk(block: LatentBlock) -> Sketch:
        return sketch(radii(block.latents[member.array]))

    reduction: Reduction[Sketch, Sketch] = Reduction((member.array,), chunk, Sketch.merge)
    return reduce_store(member.snapshot, reduction, _named(execution, member), label="radii")


def _named(execution: Execution, member: Member) -> Execution:
    """Return the same execution, whose progress names a store."""
    return replace(execution, progress=labelled(execution.progress, member.name))


def inertia_variables(clusters: Sequence[Result], k: Sequence[int]) -> dict[str, Variable]:
    """Put the inertia of every store with some k on the scale of its inertia with one cluster."""
    of_k = [found["inertia"][np.isin(found["k"], k)] for found in clusters]
    with np.errstate(invalid="ignore"):  # points that are all equal
        shares = np.array([each / found["total"] for each, found in zip(of_k, clusters, strict=True)])
    return {
        "inertia_share": Variable(("store", "k", "seed"), shares),
        "k": Variable(("k",), np.array(k)),
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
    `shared`, `cka`, `cka_error` and `cka_chance`, `overlap`, `overlap_error` and `overlap_chance`, and
    `sampled`, of how many images the overlap is (pair); `search_recall` of the neighbours (store).
    """
    pairs = {pair: number for number, pair in enumerate(combinations(range(len(members)), 2))}
    shared, sampled = np.zeros((2, len(pairs)), np.int64)
    figures, recall = np.full((len(FIGURES), len(pairs)), np.nan), np.full(len(members), np.nan)
    for group in groups:
        if len(group) == 1:
            continue
        own = [members[at] for at in group]
        both = shared_rows(own, sample, seed, execution)
        enough = len(both.images) > nearest
        ends = np.cumsum([0, *(member.snapshot.schema.components for member in own)]).tolist()
        columns = [slice(*span) for span in pairwise(ends)]
        errors = cka_errors(own, both.covariance, columns, execution)
        neighbours = [_nearest(member, both.images, nearest, seed, execution) for member in own if enough]
        recall[group[: len(neighbours)]] = [graph.recall for graph in neighbours]
        for number, (a, b) in enumerate(combinations(range(len(own)), 2)):
            pair = pairs[group[a], group[b]]
            shared[pair] = both.covariance.count
            cka, chance = linear_cka(both.covariance, columns[a], columns[b])
            figures[:3, pair] = cka, np.nan if np.isnan(cka) else errors[number], chance
            if enough:
                sampled[pair] = len(both.images)
                overlap = overlap_of(neighbours[a].indices, neighbours[b].indices)
                figures[3:, pair] = *estimate(overlap), nearest / (len(both.images) - 1)
    found = {name: Variable(PAIR, values) for name, values in zip(FIGURES, figures, strict=True)}
    return {
        "shared": Variable(PAIR, shared),
        "sampled": Variable(PAIR, sampled),
        "search_recall": Variable(("store",), recall),
        **found,
    }


def _nearest(
    member: Member, images: NDArray[np.int64], nearest: int, seed: int, execution: Execution
) -> NeighbourGraph:
    named = _named(execution, member)
    rows = gather_rows(member.snapshot, member.array, images, named)
    return graph_of(rows, nearest, seed, named)


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
    `disparity` of every two stores with its jackknife error, `disparity_error` (pair); `disparity_floor`,
    that of two maps of one store, where it was asked for (store); and of the first group of several stores
    the `embedding` (map, point, axis) aligned to its first one, with the rows `image` (point) that are in
    all of its embeddings, ascending, and the position of each store, `store_of_map` (map).
    """
    pairs = {pair: number for number, pair in enumerate(combinations(range(members), 2))}
    disparity, error = np.full((2, len(pairs)), np.nan)
    variables = {"disparity": Variable(PAIR, disparity), "disparity_error": Variable(PAIR, error)}
    floors = {at: found.attributes.get("noise_floor") for at, found in embeddings.items()}
    if any(floors.values()):
        each = [floor["disparity"] if (floor := floors.get(at)) else np.nan for at in range(members)]
        variables["disparity_floor"] = Variable(("store",), np.array(each))
    for group in groups:
        if len(group) == 1:
            continue
        images = reduce(np.intersect1d, [embeddings[at]["image"] for at in group])
        points = [_points_of(embeddings[at], images) for at in group]
        for a, b in combinations(range(len(group)), 2):
            pair = pairs[group[a], group[b]]
            disparity[pair], error[pair] = map_disparity(points[a], points[b])
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
