"""Stores beside one another: tables, radii, inertia, and how alike the points of the same images lie."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from latentscan.analyses.analysis import Analysis, Request
from latentscan.analyses.compare.cost import compare_cost
from latentscan.analyses.compare.measures import (
    embedding_variables,
    inertia_variables,
    paired_variables,
    radius_variables,
)
from latentscan.analyses.compare.parameters import CompareParameters
from latentscan.analyses.compare.shared_images import Member, same_images
from latentscan.analyses.functions import call
from latentscan.analyses.inputs import SeveralStores
from latentscan.analyses.kmeans.analysis import KMEANS
from latentscan.analyses.kmeans.parameters import KMeansParameters
from latentscan.analyses.stats import STATS, StatsParameters
from latentscan.analyses.tsne.analysis import TSNE
from latentscan.analyses.tsne.parameters import TsneParameters
from latentscan.errors import TooFewImagesError, spelled
from latentscan.store.results import Result, Variable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Unpack

    from xarray import Dataset

    from latentscan.analyses.analysis import Task
    from latentscan.analyses.functions import Options
    from latentscan.scan.rows import PointsChoice
    from latentscan.store.reader import LatentStore

    CompareTask = Task[CompareParameters, SeveralStores]


def compare_stores(task: CompareTask) -> Result:
    """Compare stores, with what is found of each of them.

    Of stores of different images, what needs no pairs of images is compared, and the rest is named; so are
    inertia and embeddings where there are too few images for them.
    """
    parameters, inputs = task.parameters, task.inputs
    each = inputs.of_each_store()
    for one in each:
        task.result_of(_stats(parameters), one)
    notes: list[str] = []
    clusters: list[Result] = []
    if parameters.kmeans:
        try:
            clusters = [task.result_of(_kmeans(parameters), one) for one in each]
        except TooFewImagesError as error:
            notes.append(f"inertia is left out: {spelled(error.problem, 'python')}")
    members = [
        Member(name, snapshot, parameters.points_of(snapshot.schema))
        for name, snapshot in inputs.snapshots.items()
    ]
    groups, differences = same_images(members, task.execution)
    names = [member.name for member in members]
    variables = {
        "store": Variable(("store",), np.array(names)),
        "array": Variable(("store",), np.array([member.array for member in members])),
        **_pair_variables(names, groups, differences),
        "components": Variable(("store",), np.array([m.snapshot.schema.components for m in members])),
        **radius_variables(members, task.execution),
        **paired_variables(
            members,
            groups,
            parameters.sample,
            parameters.nearest,
            parameters.seed,
            task.execution,
        ),
    }
    if clusters:
        variables |= inertia_variables(clusters, parameters.k)
    if parameters.tsne:
        paired = [at for group in groups if len(group) > 1 for at in group]
        try:
            embeddings = {at: task.result_of(_tsne(parameters), each[at]) for at in paired}
            variables |= embedding_variables(len(members), embeddings, groups)
        except TooFewImagesError as error:
            notes.append(f"maps are left out: {spelled(error.problem, 'python')}")
    attributes = {
        **parameters.model_dump(include={"array", "sample", "nearest"}),
        "notes": [*_points_note(members), *_notes(variables), *_assumed(members), *notes],
        "coordinates": "first second",  # so that xarray reads them as such
    }
    return Result(variables, attributes)


def _requires(parameters: CompareParameters) -> list[Request]:
    return [
        _stats(parameters),
        *([_kmeans(parameters)] if parameters.kmeans else []),
        *([_tsne(parameters)] if parameters.tsne else []),
    ]


def _stats(parameters: CompareParameters) -> Request:
    return Request(STATS, parameters.of(StatsParameters))


def _kmeans(parameters: CompareParameters) -> Request:
    return Request(KMEANS, parameters.of(KMeansParameters))


def _tsne(parameters: CompareParameters) -> Request:
    return Request(TSNE, parameters.of(TsneParameters))


LABELS = {  # what each variable is, and its unit
    "store": ("store", ""),
    "array": ("array of the points of a store", ""),
    "first": ("first store of a pair", ""),
    "second": ("second store of a pair", ""),
    "difference": ("in what the images of a pair differ", ""),
    "components": ("components", "1"),
    "images": ("images that are good", "1"),
    "shared": ("images that are good in both", "1"),
    "radius_edge": ("edges of the bins of radii", "1"),
    "radius_share": ("share of the images by radius", "1"),
    "wasserstein_distance": ("Wasserstein-1 distance of the radii", "1"),
    "wasserstein_error": ("standard error of the Wasserstein-1 distance", "1"),
    "wasserstein_floor": ("Wasserstein-1 distance of two samples of one distribution", "1"),
    "cka": ("linear CKA", "1"),
    "cka_error": ("standard error of linear CKA, by the jackknife", "1"),
    "cka_chance": ("linear CKA by chance", "1"),
    "sampled": ("images whose nearest neighbours are compared", "1"),
    "search_recall": ("share of the nearest neighbours that the search found", "1"),
    "overlap": ("share of the nearest neighbours that are the same", "1"),
    "overlap_error": ("standard error of the share, over the images", "1"),
    "overlap_chance": ("share that is the same by chance", "1"),
    "k": ("number of clusters", "1"),
    "inertia_share": ("inertia as a share of that of one cluster", "1"),
    "disparity": ("Procrustes disparity of the embeddings", "1"),
    "disparity_error": ("standard error of the Procrustes disparity, by the jackknife", "1"),
    "disparity_floor": ("Procrustes disparity of two embeddings of one store", "1"),
    "embedding": ("coordinates of an embedding, aligned to the first", "1"),
    "image": ("row of the point's image", "1"),
    "store_of_map": ("position of the store of an embedding", "1"),
}

COMPARE = Analysis(
    name="compare",
    version=3,
    parameters=CompareParameters,
    inputs=SeveralStores,
    requires=_requires,
    compute=compare_stores,
    cost=compare_cost,
    shows=("stats", "kmeans"),
    labels=LABELS,
)


def compare(
    stores: Mapping[str, LatentStore | str] | Sequence[str],
    *,
    upper: float | None = None,
    width: float | None = None,
    threshold: float = 0.05,
    interval: tuple[float, float] = (-3.0, 5.0),
    ranges: Sequence[tuple[float, float]] = (),
    k: str | int | Iterable[int] = "2:80:2",
    seeds: int = 3,
    seed: int = 0,
    batch_rows: int = 4096,
    passes: int = 0,
    array: PointsChoice = "auto",
    reference: bool = True,
    points: int = 20_000,
    perplexity: float = 30.0,
    early_exaggeration: float = 12.0,
    iterations: int = 1000,
    noise_floor: bool = False,
    sample: int = 10_000,
    nearest: int = 10,
    kmeans: bool = True,
    tsne: bool = True,
    **options: Unpack[Options],
) -> Dataset:
    """Compare stores of the same images: radii, inertia, linear CKA, nearest neighbours, aligned t-SNE.

    Parameters
    ----------
    stores
        Two or more: opened stores by the names that they are to have in the result, or paths.
    upper, width, threshold, interval, ranges
        As of `stats`.
    k, seeds, batch_rows, passes, reference
        As of `kmeans`.
    points, perplexity, early_exaggeration, iterations, noise_floor
        As of `tsne`.
    seed
        Seed of the samples and embeddings, and the first one of k-means.
    array
        The points: ``"mu"``, ``"z"``, or ``"auto"``: mu where the store has one, else z.
    sample
        Shared images whose nearest neighbours are compared.
    nearest
        How many nearest neighbours of each.
    kmeans, tsne
        Whether inertia and embeddings are compared.
    **options
        See `Options`; the result is cached in the first store by default.

    Returns
    -------
    For every two stores, `first` and `second` (pair): `wasserstein_distance` of the radii; `difference`, in
    what the images differ (text, empty if they are the same); how many images are good in both, `shared`;
    `cka`, `overlap` of the nearest neighbours (of `sampled` images), and the `disparity` of the aligned
    embeddings, NaN where images differ. Each has a standard error, `wasserstein_error` and so on, and what
    it is where there is nothing to find: `wasserstein_floor`, `cka_chance`, `overlap_chance`, and with
    `noise_floor` `disparity_floor` (store). Besides, `images` that are good, `array` and `components`
    (store); `radius_share` (store, bin) with `radius_edge` (edge); `inertia_share` (store, k, seed), of the
    inertia of one cluster; `embedding` (map, point, axis), aligned to the first one, with the rows `image`
    (point) and the positions `store_of_map` (map) of their stores; and in the attribute `notes` what to know
    when reading all this.

    Raises
    ------
    UsageError
        If there are fewer than two stores, or two are the same.
    ParameterError
        If a parameter does not fit.
    StoreError
        If a store is incomplete or damaged.
    """
    given = {
        "upper": upper,
        "width": width,
        "threshold": threshold,
        "interval": interval,
        "ranges": ranges,
        "k": k,
        "seeds": seeds,
        "seed": seed,
        "batch_rows": batch_rows,
        "passes": passes,
        "array": array,
        "reference": reference,
        "points": points,
        "perplexity": perplexity,
        "early_exaggeration": early_exaggeration,
        "iterations": iterations,
        "noise_floor": noise_floor,
        "sample": sample,
        "nearest": nearest,
        "kmeans": kmeans,
        "tsne": tsne,
    }
    return call(COMPARE, {"stores": stores}, given, options)


def _pair_variables(
    names: Sequence[str], groups: Sequence[Sequence[int]], differences: Mapping[tuple[int, int], str]
) -> dict[str, Variable]:
    """Return the names of every two stores, and in what their images differ."""
    first = {at: group[0] for group in groups for at in group}
    pairs = list(combinations(range(len(names)), 2))
    texts = [differences.get((min(first[a], first[b]), max(first[a], first[b])), "") for a, b in pairs]
    named = {"first": [names[a] for a, _ in pairs], "second": [names[b] for _, b in pairs]}
    return {
        name: Variable(("pair",), np.array(values)) for name, values in {**named, "difference": texts}.items()
    }


def _points_note(members: Sequence[Member]) -> list[str]:
    """Return a note on which array of each store was looked at, where that is not the same of all."""
    of = {array: [m.name for m in members if m.array == array] for array in ("mu", "z")}
    if not all(of.values()):
        return []
    return ["points: " + "; ".join(f"{array} of {', '.join(names)}" for array, names in of.items())]


def _assumed(members: Sequence[Member]) -> list[str]:
    """Return a note on stores without paths, whose images are not known."""
    names = [member.name for member in members if member.without_paths]
    if not names:
        return []
    return [
        f"{', '.join(names)}: made elsewhere, without paths; their images are taken to be in the same order"
    ]


def _notes(variables: Mapping[str, Variable]) -> list[str]:
    """Return what a reader of the figures has to know."""
    names, components, images, difference, shared = (
        variables[name].values.tolist() for name in ("store", "components", "images", "difference", "shared")
    )
    notes = [
        f"different images: {text}; CKA, nearest neighbours and maps need the same images"
        for text in dict.fromkeys(filter(None, difference))
    ]
    if len(set(components)) > 1:
        each = ", ".join(f"{name} {count:,}" for name, count in zip(names, components, strict=True))
        notes.append(
            f"components: {each}; radii and inertia of different numbers of components are not on one scale"
        )
    for pair, (a, b) in enumerate(combinations(range(len(names)), 2)):
        if not difference[pair] and shared[pair] < max(images[a], images[b]):
            notes.append(
                f"{names[a]}, {names[b]}: CKA, nearest neighbours and maps are of the {shared[pair]:,} "
                "images that are good in all stores of the same images"
            )
        if not difference[pair] and np.isnan(variables["overlap"].values[pair]):
            notes.append(
                f"{names[a]}, {names[b]}: too few of their images are good for so many nearest neighbours"
            )
    return notes
