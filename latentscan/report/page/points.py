"""The images that a page shows one by one: their paths, where they lie on maps, and their figures."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from latentscan.analyses.kmeans.assign import chosen_k, labels_of
from latentscan.analyses.registry import ANALYSES
from latentscan.report.image_columns import Column, cluster_column, known_columns, read_at
from latentscan.scan.rows import choose_points, gather_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from latentscan.execution.context import Execution
    from latentscan.report.page.collect import Collection, Shown
    from latentscan.scan.snapshot import Snapshot
    from latentscan.store.results import Result

    Rows = NDArray[np.int64]

MOST_POINTS = 150_000  # on a map, one by one; of more, a sample lies on a picture of their density
IN_FRONT = 100_000  # that sample
BINS = 256  # of a picture of density, along each axis
_MAP, _CLUSTERS = "tsne", "kmeans"
_NOT_FOUND = -1


@dataclass(frozen=True)
class Map:
    """Where images lie on a map, (n, 2) float32, NaN for those that do not; and how densely, if too many do.

    Parameters
    ----------
    store
        The name of the store that it is of.
    extent
        The ends of the map: left, right, low, high.
    density
        Images in a cell, (cell, cell), the lowest row first; None where each is shown.
    points
        How many images are on the map.
    """

    name: str
    store: str
    places: NDArray[np.float32]
    extent: tuple[float, float, float, float]
    density: NDArray[np.int64] | None
    points: int


@dataclass(frozen=True)
class Points:
    """The images of a page, one after another.

    Parameters
    ----------
    rows
        Their rows in their stores, (n,).
    stores
        For each image the place of its store among those that have other images, (n,).
    paths
        (n,), texts.
    columns
        What is known of them.
    maps
        Where they lie.
    first
        Images by importance, as places in `rows`: those that results name, then a random order.
    places
        For each store the place of a row among the images, as the rows ascending and their places.
    """

    rows: Rows
    paths: NDArray[Any]
    columns: tuple[Column, ...]
    maps: tuple[Map, ...]
    first: Rows
    places: Mapping[str, tuple[Rows, Rows]]

    def __len__(self) -> int:
        return len(self.rows)

    def find(self, store: str, rows: Iterable[int]) -> Rows:
        """Return the places of rows of a store; −1 for one that is not on the page."""
        return _find(*self.places[store], np.asarray(list(rows), np.int64))


@dataclass
class _Group:
    """Stores of the same images."""

    stores: dict[str, Snapshot]
    rows: Rows
    paths: NDArray[Any]
    start: int = 0


def gather_points(
    snapshots: Mapping[str, Snapshot],
    found: Collection,
    execution: Execution,
    named: Mapping[str, Sequence[int]] | None = None,
) -> Points:
    """Return the images on the maps and those that results name, with what is known of them.

    Parameters
    ----------
    snapshots
        The stores, by name.
    found
        The results.
    named
        Rows that results name, by store, the most important first.
    execution
        Where rows are read.
    """
    maps = {one.name: one for one in found.shown if one.analysis == _MAP}
    on_maps = {name: _in_front(one.result) for name, one in maps.items()}
    wanted = {store: np.asarray((named or {}).get(store, ()), np.int64) for store in snapshots}
    groups: list[_Group] = []
    for store, snapshot in snapshots.items():
        own = [on_maps[name] for name, one in maps.items() if one.stores == (store,)]
        _join(groups, store, snapshot, np.unique(np.concatenate([wanted[store], *own])))
    for group, end in zip(groups, np.cumsum([len(group.rows) for group in groups]), strict=True):
        group.start = int(end) - len(group.rows)
    places = {
        store: (group.rows, group.start + np.arange(len(group.rows)))
        for group in groups
        for store in group.stores
    }
    count = sum(len(group.rows) for group in groups)
    placed = tuple(_map(one, *places[one.stores[0]], count) for one in maps.values())
    order = [_find(*places[store], rows) for store, rows in wanted.items()]
    order += [_find(*places[one.stores[0]], on_maps[name]) for name, one in maps.items()]
    return Points(
        np.concatenate([group.rows for group in groups]),
        np.concatenate([group.paths for group in groups]),
        tuple(_columns(groups, found, count, execution)) if count else (),
        placed,
        _without_repeats(np.concatenate(order)),
        places,
    )


def _in_front(result: Result) -> Rows:
    """Return the images of a map that are shown one by one, in their order."""
    images: Rows = result["image"].astype(np.int64)
    if len(images) <= MOST_POINTS:
        return images
    if "in_sample" in result:
        sampled = result["in_sample"].astype(bool)
        images = np.concatenate([images[sampled], images[~sampled]])
    return images[:IN_FRONT]


def _without_repeats(values: Rows) -> Rows:
    _, first = np.unique(values, return_index=True)
    return values[np.sort(first)]


def _join(groups: list[_Group], store: str, snapshot: Snapshot, rows: Rows) -> None:
    """Add a store to the group of those with the same images, or to one of its own."""
    paths = read_at(snapshot, "path", rows)
    for group in groups:
        other = next(iter(group.stores.values()))
        _, ours, theirs = np.intersect1d(group.rows, rows, return_indices=True)
        few = rows[:100] if not len(ours) else rows[:0]
        same = (group.paths[ours] == paths[theirs]).all() and (
            read_at(other, "path", few) == paths[: len(few)]
        ).all()
        if other.schema.images == snapshot.schema.images and same:
            group.stores[store] = snapshot
            group.rows, first = np.unique(np.concatenate([group.rows, rows]), return_index=True)
            group.paths = np.concatenate([group.paths, paths])[first]
            return
    groups.append(_Group({store: snapshot}, rows, paths))


def _find(rows: Rows, places: Rows, wanted: Rows) -> Rows:
    if not len(rows):
        return np.full(len(wanted), _NOT_FOUND)
    at = np.minimum(np.searchsorted(rows, wanted), len(rows) - 1)
    return np.where(rows[at] == wanted, places[at], _NOT_FOUND)


def _map(one: Shown, rows: Rows, places: Rows, count: int) -> Map:
    embedding = np.asarray(one.result["embedding"], np.float32)
    at = _find(rows, places, one.result["image"].astype(np.int64))
    values = np.full((count, 2), np.nan, np.float32)
    values[at[at >= 0]] = embedding[at >= 0]
    middle = (embedding.min(axis=0) + embedding.max(axis=0)) / 2
    reach = float(np.ptp(embedding, axis=0).max()) * 0.52 or 1.0
    extent = tuple(float(middle[axis] + sign * reach) for axis in (0, 1) for sign in (-1, 1))
    density = None
    if len(embedding) > MOST_POINTS:
        density, *_ = np.histogram2d(embedding[:, 1], embedding[:, 0], BINS, range=(extent[2:], extent[:2]))
        density = density.astype(np.int64)
    return Map(one.name, one.stores[0], values, extent, density, len(embedding))  # type: ignore[arg-type]


def _columns(groups: list[_Group], found: Collection, count: int, execution: Execution) -> Iterator[Column]:
    """Yield the figures of results, clusters, the partition, and the attributes."""
    groups = [group for group in groups if len(group.rows)]
    for group in groups:
        for store, snapshot in group.stores.items():
            for column in _figures(found, store, snapshot, group.rows, execution):
                yield _spread(column, group, count)
    titles: dict[str, list[Column]] = {}
    for group in groups:
        for column in known_columns(next(iter(group.stores.values())), group.rows):
            titles.setdefault(column.title, []).append(_spread(column, group, count))
    for columns in titles.values():
        yield _joined(columns)


def _spread(column: Column, group: _Group, count: int) -> Column:
    """Return a column of all images, without values for those of other groups."""
    if len(group.rows) == count:
        return column
    missing = np.nan if column.values.dtype.kind == "f" else -1
    values = np.full(count, missing, column.values.dtype)
    values[group.start : group.start + len(group.rows)] = column.values
    return replace(column, values=values)


def _joined(columns: list[Column]) -> Column:
    """Return one column of those that several groups have by one name, if their texts are the same."""
    first = columns[0]
    values = first.values
    for other in columns[1:]:
        if other.names == first.names and other.values.dtype.kind == values.dtype.kind:
            is_missing = np.isnan(values) if values.dtype.kind == "f" else values < 0
            values = np.where(is_missing, other.values, values)
    return replace(first, values=values)


def _figures(
    found: Collection, store: str, snapshot: Snapshot, rows: Rows, execution: Execution
) -> Iterator[Column]:
    own = [one for one in found.shown if one.stores == (store,)]
    known: dict[str, Column] = {}
    for column in _all_figures(own, snapshot, rows, execution):
        if column.title in known or not len(column.values):
            continue
        if any(_repeats(column, other) for other in known.values()):  # as the radius of a map
            continue
        known[column.title] = column
        yield replace(column, group=store)


def _repeats(column: Column, other: Column) -> bool:
    """Check whether a figure has the values of another, wherever it has any."""
    held = np.isfinite(column.values)
    same_kind = not column.names and not other.names and column.values.dtype == other.values.dtype
    return same_kind and bool(held.any() and np.allclose(column.values[held], other.values[held], rtol=1e-5))


def _all_figures(own: list[Shown], snapshot: Snapshot, rows: Rows, execution: Execution) -> Iterator[Column]:
    images = snapshot.schema.images
    for one in own:
        for name, variable in one.result.variables.items():
            title = str(variable.attributes.get("long_name", name.replace("_", " ")))
            if (
                variable.dims == ("image",)
                and len(variable.values) == images
                and variable.values.dtype.kind in "fiu"
            ):
                yield Column(title, "", variable.values[rows].astype(np.float32))
            elif variable.dims == ("label_k", "image"):
                for k, labels in zip(one.result["label_k"].tolist(), variable.values, strict=True):
                    yield cluster_column(k, labels[rows])
        if one.analysis == _CLUSTERS:
            array = one.result.attributes.get("array", choose_points(snapshot.schema, "auto"))
            k = chosen_k(one.result)
            yield cluster_column(k, labels_of(one.result, gather_rows(snapshot, array, rows, execution), k))
        if one.analysis == _MAP:
            values = np.full(len(rows), np.nan, np.float32)
            at = _find(rows, np.arange(len(rows)), one.result["image"].astype(np.int64))
            values[at[at >= 0]] = one.result["radius"][at >= 0]
            yield Column(str(ANALYSES["tsne"].labels["radius"][0]), "", values)
