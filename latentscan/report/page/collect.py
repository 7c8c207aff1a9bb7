"""The results of several stores that a page shows: those that are cached and still hold."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import numpy as np

from latentscan.analyses.analysis import Request
from latentscan.analyses.cache import Cache, CacheMiss, CachePolicy
from latentscan.analyses.inputs import SeveralStores
from latentscan.analyses.inventory import why_stale
from latentscan.analyses.registry import ANALYSES
from latentscan.errors import as_text
from latentscan.scan.rows import choose_points
from latentscan.store.results import CREATED, Results

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from latentscan.analyses.analysis import Analysis
    from latentscan.scan.snapshot import Snapshot
    from latentscan.store.results import Result

# results of one store that are shown of an analysis of several settings; of others one, the newest of the
# points that are usual
MOST = 4


@dataclass(frozen=True)
class Shown:
    """A result on the page.

    Parameters
    ----------
    analysis
        Its analysis.
    name
        What it is called among those of its analysis.
    result
        The result.
    stores
        The names of the stores that it is of.
    """

    analysis: str
    name: str
    result: Result
    stores: tuple[str, ...]


@dataclass(frozen=True)
class Collection:
    """What is shown.

    Parameters
    ----------
    shown
        Results in the order of the analyses.
    left_out
        What is cached and not shown, a line each.
    """

    shown: tuple[Shown, ...]
    left_out: tuple[str, ...] = ()
    missing: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def of(self, analysis: str) -> dict[str, Result]:
        """Return the results of an analysis, by name."""
        return {one.name: one.result for one in self.shown if one.analysis == analysis}

    def store_of(self, analysis: str, name: str) -> str:
        """Return the store of a result of an analysis."""
        (found,) = [one for one in self.shown if (one.analysis, one.name) == (analysis, name)]
        return found.stores[0]

    def groups(self, analysis: str) -> list[dict[str, Result]]:
        """Return the results of an analysis that are presented together: those of single stores."""
        found = self.of(analysis)
        if ANALYSES[analysis].inputs is SeveralStores:
            return [{name: result} for name, result in found.items()]
        return [found] if found else []


def collect(snapshots: Mapping[str, Snapshot], results: str | None = None) -> Collection:
    """Read what is cached of stores.

    Parameters
    ----------
    snapshots
        The stores, by name.
    results
        Where results are cached; each store itself if None.
    """
    shown: list[Shown] = []
    left_out: list[str] = []
    missing: dict[str, tuple[str, ...]] = {}
    for name, analysis in ANALYSES.items():
        found = [
            one for store in snapshots for one in _of_store(analysis, store, snapshots, results, left_out)
        ]
        together = analysis.inputs is SeveralStores
        named = _named(_widest(found) if together else found)
        shown += _aligned(analysis, named)
        held = {store for one in named for store in one.stores}
        suited = (store for store, snapshot in snapshots.items() if analysis.suits(snapshot.schema))
        absent = tuple(store for store in suited if store not in held)
        if absent and not (together and len(snapshots) < 2):
            missing[name] = absent
    return Collection(tuple(shown), tuple(left_out), missing)


def _of_store(
    analysis: Analysis[Any],
    store: str,
    snapshots: Mapping[str, Snapshot],
    location: str | None,
    left_out: list[str],
) -> Iterator[Shown]:
    home = Results(location or snapshots[store].location)
    usual = choose_points(snapshots[store].schema, "auto")
    dated, arrays = [], {}
    for path in home.paths(analysis.name):
        attributes = home.attributes(path) or {}
        stores = _stores_of(attributes, store, snapshots, anywhere=location is not None)
        if stores is None:
            continue
        stale = why_stale({name: value for name, value in attributes.items() if name != CREATED})
        if stale is not None:
            left_out.append(f"{store}: {path.partition('/')[2]}, {stale}")
        else:
            dated.append((str(attributes.get(CREATED, "")), path, stores))
            arrays[path] = attributes.get("array", usual)
    dated.sort(reverse=True)
    if not analysis.is_joined:  # what others compute on the way, of z, does not hide what was asked for
        dated.sort(key=lambda one: arrays[one[1]] != usual)
    seen: set[bytes] = set()
    for _, path, stores in dated:
        name = f"{store}: {path.partition('/')[2]}"
        if len(seen) == (MOST if analysis.is_joined else 1):
            why = "older than" if arrays[path] == usual else f"of {arrays[path]}, beside"
            left_out.append(f"{name}, {why} what is shown")
            continue
        result = _load(analysis, home, path, [snapshots[name] for name in stores], location)
        if result is None:
            left_out.append(f"{name} cannot be read")
        elif (content := _content(result)) not in seen:
            seen.add(content)
            yield Shown(analysis.name, "", result, stores)


def _stores_of(
    attributes: Mapping[str, Any], store: str, snapshots: Mapping[str, Snapshot], *, anywhere: bool
) -> tuple[str, ...] | None:
    """Return the stores on the page that a result is of; None where it is of others or not of this one."""
    contents = list(attributes.get("inputs", {}).get("contents", ()))
    by_content = {snapshot.content: name for name, snapshot in reversed(list(snapshots.items()))}
    own = snapshots[store].content
    if len(contents) == 1:
        return (store,) if contents == [own] else None
    if not contents or not set(contents) <= set(by_content) or contents[0] != own:
        return None
    return None if anywhere and by_content[own] != store else tuple(by_content[one] for one in contents)


def _load(
    analysis: Analysis[Any],
    home: Results,
    path: str,
    snapshots: Sequence[Snapshot],
    location: str | None,
) -> Result | None:
    """Read a result, with those that belong to its presentation."""
    result = home.load(path)
    if result is None or not analysis.shows:
        return result
    names = result.attributes["inputs"]["names"]
    request = Request(analysis, analysis.parameters.model_validate(result.attributes["parameters"]))
    inputs = SeveralStores(dict(zip(names, snapshots, strict=True)))
    try:
        return Cache(CachePolicy(location, cached_only=True)).result(request, inputs)
    except CacheMiss:
        return None


def _content(result: Result) -> bytes:
    """Return a hash of the arrays of a result: other parameters may have come to the same."""
    digest = sha256()
    for name, variable in sorted(result.variables.items()):
        digest.update(name.encode())
        values = variable.values
        numbers = values.dtype.kind in "biuf"
        digest.update(np.ascontiguousarray(values).data if numbers else repr(values.tolist()).encode())
    return digest.digest()


def _widest(found: Sequence[Shown]) -> list[Shown]:
    """Return the results of the most stores: a pair says nothing that they do not."""
    most = max((len(one.stores) for one in found), default=0)
    return [one for one in found if len(one.stores) == most][:1]


def _named(found: Sequence[Shown]) -> list[Shown]:
    """Name results by their stores, and by the parameters in which those of one store differ."""
    by_stores: dict[tuple[str, ...], list[Shown]] = defaultdict(list)
    for one in found:
        by_stores[one.stores].append(one)
    named: list[Shown] = []
    for stores, several in by_stores.items():
        names = [" and ".join(stores) + difference for difference in _differences(several)]
        for one, name in zip(several, names, strict=True):
            number = 2 + names[: names.index(name)].count(name)
            again = f" ({number})" if any(other.name == name for other in named) else ""
            named.append(Shown(one.analysis, name + again, one.result, stores))
    return named


def _differences(several: Sequence[Shown]) -> list[str]:
    parameters = [one.result.attributes.get("parameters", {}) for one in several]
    keys = sorted({key for given in parameters for key in given})
    differing = [key for key in keys if any(given.get(key) != parameters[0].get(key) for given in parameters)]
    shorts = (", ".join(f"{key} {_short(given.get(key))}" for key in differing) for given in parameters)
    return [f", {short}" if short else "" for short in shorts]


def _short(value: Any) -> str:
    text = as_text(value)
    return text if len(text) <= 20 else f"{text[:9]}…{text[-9:]}"


def _aligned(analysis: Analysis[Any], named: Sequence[Shown]) -> list[Shown]:
    """Make results that are shown side by side comparable by eye."""
    if analysis.align is None or len(named) < 2:
        return list(named)
    found = analysis.align([one.result for one in named])
    return [
        Shown(one.analysis, one.name, result, one.stores) for one, result in zip(named, found, strict=True)
    ]
