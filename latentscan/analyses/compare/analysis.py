"""Stores beside one another: tables, radii, inertia, and how alike the points of the same images lie."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field, ValidationInfo, field_validator

from latentscan.analyses.cache import Run, kept_at
from latentscan.analyses.compare.measures import (
    inertia_variables,
    map_variables,
    paired_variables,
    radius_variables,
)
from latentscan.analyses.compare.shared_images import Member, same_images
from latentscan.analyses.kmeans.analysis import VERSION as KMEANS_VERSION
from latentscan.analyses.kmeans.analysis import KMeansParameters, kmeans
from latentscan.analyses.rows import require_points
from latentscan.analyses.stats import VERSION as STATS_VERSION
from latentscan.analyses.stats import StatsParameters, stats
from latentscan.analyses.tsne.analysis import VERSION as TSNE_VERSION
from latentscan.analyses.tsne.analysis import TsneParameters, tsne
from latentscan.errors import TooFewImagesError, UsageError
from latentscan.store.results import Result, Variable, load_result, require_place, result_path

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from latentscan.store.reader import LatentStore

VERSION = 1  # to be raised when the numbers or their names change, so that older results are not read


class CompareParameters(StatsParameters, KMeansParameters, TsneParameters):
    """What is compared; with the parameters of stats, k-means and t-SNE, whose seed and array are of all."""

    sample: int = Field(
        default=10_000, ge=2, description="shared images whose nearest neighbours are compared"
    )
    nearest: int = Field(
        default=10, ge=1, validate_default=True, description="how many nearest neighbours of each"
    )
    seed: int = Field(
        default=0, ge=0, lt=2**31, description="of the samples and the maps, and the first one of k-means"
    )
    kmeans: bool = Field(default=True, description="compare inertia")
    tsne: bool = Field(default=True, description="compare maps")

    @field_validator("nearest")
    @classmethod
    def _fewer_than_sampled(cls, value: int, info: ValidationInfo) -> int:
        images = info.data.get("sample", value + 1)
        if value >= images:
            raise ValueError(f"expected fewer nearest neighbours than images, got --sample {images:,}")
        return value


@dataclass(frozen=True)
class Comparison:
    """What is found of several stores.

    Parameters
    ----------
    pairs
        What is found of the stores together, and two by two.
    stats, kmeans
        What is found of each, by its name; of k-means nothing where it is left out.
    """

    pairs: Result
    stats: Mapping[str, Result]
    kmeans: Mapping[str, Result]


def compare(
    stores: Mapping[str, LatentStore], parameters: CompareParameters | None = None, run: Run | None = None
) -> Comparison:
    """Compare stores of the same images: radii, inertia, linear CKA, nearest neighbours, aligned t-SNE.

    Of stores of different images, what needs no pairs of images is compared, and the rest is named; so are
    inertia and maps where there are too few images for them. What is found of the stores together is kept
    in the first one.

    Parameters
    ----------
    stores
        Two or more, by the names that they are to have in the result.

    Returns
    -------
    `pairs` has for every two stores, `first` and `second` (pair): `earth_movers_distance` of the radii;
    `difference`, in what the images differ (text, empty if they are the same); how many images are good in
    both, `shared`; `cka` and `cka_chance`, `overlap` and `overlap_chance` of the nearest neighbours, and
    the `disparity` of the aligned maps, NaN where images differ. Besides, `images` that are good and
    `components` (store); `radius_share` (store, bin) with `radius_edge` (edge); `inertia_share` (store, k,
    seed), of the inertia of one cluster; `embedding` (map, point, axis), aligned to the first map, with the
    rows `image` (point) and the places `store_of_map` (map) of their stores; and in the attribute `notes`
    what to know when reading all this.

    Raises
    ------
    UsageError
        If there are fewer than two stores, or too few images for what is asked.
    StoreError
        If a store is incomplete or damaged.
    """
    parameters, run = parameters or CompareParameters(), run or Run()
    _require_several(stores)
    members = []
    for name, store in stores.items():
        require_points(store, parameters.array)
        members.append(Member(name, store, store.readable_digests(allow_partial=run.allow_partial)))
    home = run.results or members[0].store.location
    identity = {"stores": list(stores), **parameters.model_dump(mode="json")}
    record = np.concatenate([member.digests.ravel() for member in members])
    versions = (VERSION, STATS_VERSION, KMEANS_VERSION, TSNE_VERSION)
    path = result_path("compare", versions, identity, record)
    known = None if run.force else load_result(home, path)
    require_place(home)
    counted = StatsParameters(**parameters.model_dump(include=set(StatsParameters.model_fields)))
    statistics = {member.name: stats(member.store, counted, run, member.digests) for member in members}
    clusters: dict[str, Result] = {}
    left_out = []
    if parameters.kmeans and (known is None or "inertia_share" in known):
        own = KMeansParameters(**parameters.model_dump(include=set(KMeansParameters.model_fields)))
        try:
            clusters = {member.name: kmeans(member.store, own, run, member.digests) for member in members}
        except TooFewImagesError as error:
            left_out.append(f"inertia is left out. {error}")
    if known is None:
        known = kept_at(home, path, run, partial(_compared, members, clusters, left_out, parameters, run))
    return Comparison(known, statistics, clusters)


def _require_several(stores: Mapping[str, LatentStore]) -> None:
    if len(stores) < 2:
        raise UsageError(f"compare needs two stores or more, got {len(stores)}")
    for (name, store), (other, same) in combinations(stores.items(), 2):
        if Path(store.location).resolve() == Path(same.location).resolve():
            raise UsageError(f"{name} and {other} are the same store, {store.location}; name each once")


def _compared(
    members: Sequence[Member],
    clusters: Mapping[str, Result],
    left_out: Sequence[str],
    parameters: CompareParameters,
    run: Run,
) -> Result:
    groups, differences = same_images(members, run)
    names = [member.name for member in members]
    variables = {
        "store": Variable(("store",), np.array(names)),
        **_pair_variables(names, groups, differences),
        "components": Variable(("store",), np.array([m.store.schema.components for m in members])),
        **radius_variables(members, parameters.array, run),
        **paired_variables(
            members, groups, parameters.array, parameters.sample, parameters.nearest, parameters.seed, run
        ),
    }
    if clusters:
        variables |= inertia_variables(list(clusters.values()))
    if parameters.tsne:
        own = TsneParameters(**parameters.model_dump(include=set(TsneParameters.model_fields)))
        paired = [place for group in groups if len(group) > 1 for place in group]
        try:
            maps = {place: tsne(members[place].store, own, run, members[place].digests) for place in paired}
            variables |= map_variables(len(members), maps, groups)
        except TooFewImagesError as error:
            left_out = [*left_out, f"maps are left out. {error}"]
    attributes = {
        **parameters.model_dump(include={"array", "sample", "nearest"}),
        "notes": [*_notes(variables), *_assumed(members), *left_out],
        "coordinates": "first second",  # so that xarray reads them as such
    }
    return Result(variables, attributes)


def _pair_variables(
    names: Sequence[str], groups: Sequence[Sequence[int]], differences: Mapping[tuple[int, int], str]
) -> dict[str, Variable]:
    """Name every two stores, and say in what their images differ."""
    first = {place: group[0] for group in groups for place in group}
    pairs = list(combinations(range(len(names)), 2))
    texts = [differences.get((min(first[a], first[b]), max(first[a], first[b])), "") for a, b in pairs]
    named = {"first": [names[a] for a, _ in pairs], "second": [names[b] for _, b in pairs]}
    return {
        name: Variable(("pair",), np.array(values)) for name, values in {**named, "difference": texts}.items()
    }


def _assumed(members: Sequence[Member]) -> list[str]:
    """Say of which stores nobody can know which images they are of."""
    names = [member.name for member in members if member.without_paths]
    if not names:
        return []
    return [
        f"{', '.join(names)}: made elsewhere, without paths; their images are taken to be in the same order"
    ]


def _notes(variables: Mapping[str, Variable]) -> list[str]:
    """Say what a reader of the figures has to know."""
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
