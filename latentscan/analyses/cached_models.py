"""The cached results that others choose from: the best k-means of a k, and the map of a store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from latentscan.analyses.inventory import cached_results, select_results
from latentscan.errors import UsageError, command
from latentscan.store.results import Results

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    from latentscan.analyses.inventory import CachedResult
    from latentscan.scan.rows import PointsChoice
    from latentscan.store.results import Result


def best_centres(location: str, store: str, k: int, array: PointsChoice) -> tuple[str, NDArray[np.float64]]:
    """Return the points and the centres (k, component) of the cached model of a k with the least inertia.

    Parameters
    ----------
    location
        Where results are cached.
    store
        The store, for a message.
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
    for cached, result in _loaded(location, "kmeans"):
        if k not in cached.parameters.get("k", ()) or array not in ("auto", result.attributes["array"]):
            continue
        inertia = result["inertia"][result["k"].tolist().index(k)]
        own = (result["centre_k"] == k) & (result["centre_seed"] == result["seed"][inertia.argmin()])
        if best is None or inertia.min() < best[0]:
            best = float(inertia.min()), result.attributes["array"], result["centres"][own]
    if best is None:
        remedy = command("kmeans", store=store, k=k)
        raise UsageError(f"no k-means of {k} clusters is cached; compute it first: {remedy}")
    return best[1:]


def cached_map(location: str, key: str | None) -> Result | None:
    """Return a cached map: that of a key, or the one of the most images, the newest of several.

    Raises
    ------
    UsageError
        If no map has the key.
    """
    if key is not None:
        (chosen,) = select_results(cached_results(location), [key])
        found = Results(location).load(chosen.path) if chosen.name == "tsne" else None
        if found is None:
            raise UsageError(f"{chosen.name}/{chosen.key} is no map that can be read; name one of tsne")
        return found
    maps = [(result["image"].size, cached.created, result) for cached, result in _loaded(location, "tsne")]
    dated = [one for one in maps if one[1] is not None]
    return max(dated, key=lambda one: one[:2])[2] if dated else None


def _loaded(location: str, name: str) -> Iterator[tuple[CachedResult, Result]]:
    """Yield the results of an analysis that would be read today."""
    for cached in cached_results(location):
        if cached.name == name and not cached.why_stale:
            result = Results(location).load(cached.path)
            if result is not None:
                yield cached, result
