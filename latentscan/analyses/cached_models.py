"""The cached results that others choose from: the best k-means of a k, and the map of a store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from latentscan.analyses.inventory import cached_results, select_results
from latentscan.errors import UsageError, command
from latentscan.store.metadata import read_root
from latentscan.store.results import Results

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    from latentscan.analyses.inventory import CachedResult
    from latentscan.scan.rows import PointsChoice
    from latentscan.scan.snapshot import Snapshot
    from latentscan.store.results import Result


def best_centres(
    location: str, snapshot: Snapshot, k: int, array: PointsChoice
) -> tuple[str, NDArray[np.float64]]:
    """Return the points and the centres (k, component) of the cached model of a k with the least inertia.

    Parameters
    ----------
    location
        Where results are cached.
    snapshot
        The store; results of others may lie at the same location.
    k
        How many clusters.
    array
        The points that it is of; any if ``"auto"``.

    Raises
    ------
    UsageError
        If none is cached.
    """
    best: tuple[float, str, NDArray[np.float64]] | None = None
    for _, result in _loaded(location, "kmeans", snapshot.content):
        if k not in result["k"] or array not in ("auto", result.attributes["array"]):
            continue
        inertia = result["inertia"][result["k"].tolist().index(k)]
        own = (result["centre_k"] == k) & (result["centre_seed"] == result["seed"][inertia.argmin()])
        if best is None or inertia.min() < best[0]:
            best = float(inertia.min()), result.attributes["array"], result["centres"][own]
    if best is None:
        remedy = command("kmeans", store=snapshot.location, k=k)
        raise UsageError(f"no k-means of {k} clusters is cached; compute it first: {remedy}")
    return best[1:]


def chosen_centres(location: str, snapshot: Snapshot, array: PointsChoice) -> tuple[str, NDArray[np.float64]]:
    """Return the points and the centres (k, component) of the newest cached k-means, of one k.

    That is the natural k, or what is nearest to a usual number; parameters are those of `best_centres`.

    Raises
    ------
    UsageError
        If none is cached.
    """
    from latentscan.analyses.kmeans.assign import centres_of, chosen_k  # a verb waits for its own analysis

    dated = [
        (cached.created, result)
        for cached, result in _loaded(location, "kmeans", snapshot.content)
        if cached.created is not None and array in ("auto", result.attributes["array"])
    ]
    if not dated:
        of = "" if array == "auto" else f" of {array}"
        given = {} if array == "auto" else {"array": array}
        remedy = command("kmeans", store=snapshot.location, **given)
        raise UsageError(f"no k-means{of} is cached; compute it first: {remedy}")
    newest = max(dated, key=lambda one: one[0])[1]
    return newest.attributes["array"], newest["centres"][centres_of(newest, chosen_k(newest))]


def cached_map(location: str, snapshot: Snapshot, key: str | None) -> Result | None:
    """Return a cached map of a store: that of a key, or the one of the most images, the newest of several.

    Raises
    ------
    UsageError
        If no map has the key, or it is of another store.
    """
    if key is not None:
        (chosen,) = select_results(cached_results(location), [key])
        found = Results(location).load(chosen.path) if chosen.name == "tsne" else None
        if found is None:
            raise UsageError(f"{chosen.name}/{chosen.key} is no map that can be read; name one of tsne")
        if found.attributes["inputs"]["contents"] != [snapshot.content]:
            raise UsageError(
                f"{chosen.name}/{chosen.key} is a map of another content than {snapshot.location} has; name "
                "one of that store"
            )
        return found
    loaded = _loaded(location, "tsne", snapshot.content)
    maps = [(result["image"].size, cached.created, result) for cached, result in loaded]
    dated = [one for one in maps if one[1] is not None]
    return max(dated, key=lambda one: one[:2])[2] if dated else None


def newest_result(location: str, name: str, content: str, variable: str | None = None) -> Result | None:
    """Return the newest cached result of an analysis of one store, whatever its parameters.

    Parameters
    ----------
    location
        Where results are cached.
    name
        The analysis.
    content
        The hash of what is written in the store.
    variable
        What it must have; a result that was computed of the store alone has less.
    """
    if read_root(location) is None:
        return None
    dated = [
        (cached.created, result)
        for cached, result in _loaded(location, name, content)
        if cached.created is not None and (variable is None or variable in result)
    ]
    return max(dated, key=lambda one: one[0])[1] if dated else None


def _loaded(location: str, name: str, content: str) -> Iterator[tuple[CachedResult, Result]]:
    """Yield the results of an analysis that would be read today, and that are of what a store has."""
    for cached in cached_results(location):
        if cached.name == name and not cached.why_stale:
            result = Results(location).load(cached.path)
            if result is not None and result.attributes["inputs"]["contents"] == [content]:
                yield cached, result
