"""A table of one row an image: what is known of it, and what was found of it, read a block at a time."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from latentscan.analyses.analysis import Request
from latentscan.analyses.cached_models import best_centres, cached_map, newest_result
from latentscan.analyses.origins import StoreAndOrigins
from latentscan.analyses.outliers import OUTLIERS
from latentscan.analyses.outliers.analysis import RECONSTRUCTION
from latentscan.analyses.outliers.parameters import OutliersParameters
from latentscan.analyses.pca import PCA, PcaParameters
from latentscan.analyses.projection import Projection
from latentscan.images.source import Status
from latentscan.kernels.nearest import nearest
from latentscan.scan.rows import require_points
from latentscan.store.schema import ATTRIBUTE_ARRAYS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from latentscan.analyses.cache import Cache
    from latentscan.analyses.inputs import OneStore
    from latentscan.scan.rows import PointsChoice
    from latentscan.scan.snapshot import Snapshot

SPLITS = np.array(["train", "valid", "test", ""], object)
STATUS = np.array([status.name.lower().replace("_", " ") for status in Status], object)
FIGURES = ("radius", "mahalanobis", "neighbour_distance", "density", "score")
NO_GROUP = -1


@dataclass
class BlockReader:
    """Arrays of one block of a store, each read once, when it is asked for."""

    snapshot: Snapshot
    block: int
    _held: dict[str, NDArray[Any]] = field(default_factory=dict)

    @property
    def rows(self) -> range:
        """The images of the block."""
        return self.snapshot.schema.rows(self.block)

    def array(self, name: str) -> NDArray[Any]:
        """Return an array of the block."""
        if name not in self._held:
            self._held |= self.snapshot.read_block(self.block, (name,))
        return self._held[name]


@dataclass(frozen=True, eq=False)
class Column:
    """A column of the table.

    Parameters
    ----------
    name
        Its name.
    read
        Returns its values for the images of a block, (image,).
    part_of
        What it is an axis of: the map, the principal axes; empty where of nothing.
    """

    name: str
    read: Callable[[BlockReader], NDArray[Any]]
    part_of: Literal["", "map", "axes"] = ""


@dataclass(frozen=True, eq=False)
class PointTable:
    """The table of a store.

    Parameters
    ----------
    snapshot
        The store.
    columns
        Its columns.
    kept
        Which images are rows of it, (image,); all if None.
    """

    snapshot: Snapshot
    columns: tuple[Column, ...]
    kept: NDArray[np.bool_] | None = None

    @property
    def rows(self) -> int:
        """How many rows it has."""
        ranges = map(self.snapshot.schema.rows, self.snapshot.blocks)
        if self.kept is None:
            return sum(map(len, ranges))
        return sum(int(np.count_nonzero(self.kept[rows.start : rows.stop])) for rows in ranges)

    def blocks(self, columns: tuple[Column, ...] | None = None) -> Iterator[dict[str, NDArray[Any]]]:
        """Yield some columns, or all, by name, a block of the store after another."""
        for block in self.snapshot.blocks:
            reader = BlockReader(self.snapshot, block)
            kept = slice(None) if self.kept is None else self.kept[reader.rows.start : reader.rows.stop]
            yield {column.name: column.read(reader)[kept] for column in columns or self.columns}


@dataclass(frozen=True)
class TableParameters:
    """What is in the table.

    Parameters
    ----------
    array
        The points that figures are of.
    map
        The key of a map; None for the one of the most images.
    k
        The number of clusters whose labels are a column; none if None.
    axes
        How many principal axes points are projected on.
    figures
        Whether radius, distances and density are columns.
    mapped
        Whether images that are not on the map are left out.
    """

    array: PointsChoice = "auto"
    map: str | None = None
    k: int | None = None
    axes: int = 2
    figures: bool = True
    mapped: bool = False


def point_table(inputs: OneStore, parameters: TableParameters, cache: Cache) -> PointTable:
    """Return the table of a store; figures and principal axes are computed where they are not cached.

    Raises
    ------
    UsageError
        If what is asked for does not fit, or no such map or k-means is cached.
    """
    snapshot, location = inputs.snapshot, cache.policy.results or inputs.home
    require_points(snapshot.store, parameters.array)
    columns = _known(snapshot)
    kept = None
    found = cached_map(location, snapshot, parameters.map)
    if found is not None:
        places = np.full((snapshot.schema.images, 2), np.nan, np.float32)
        places[found["image"]] = found["embedding"]
        columns += [Column(name, _of_image(places[:, axis]), "map") for axis, name in enumerate("xy")]
        kept = np.isfinite(places[:, 0]) if parameters.mapped else None
    if parameters.k is not None:
        columns.append(_cluster(*best_centres(location, snapshot, parameters.k, parameters.array)))
    if parameters.figures:
        columns += _figures(inputs, parameters, cache)
    if parameters.axes:
        request = Request(PCA, PcaParameters(array=parameters.array))
        axes = min(parameters.axes, snapshot.schema.components)
        projection = Projection(snapshot.store, cache.result(request, inputs), axes)
        points = PcaParameters(array=parameters.array).points_of(snapshot.schema)
        columns += [Column(f"pc{axis + 1}", _along(projection, points, axis), "axes") for axis in range(axes)]
    return PointTable(snapshot, tuple(_with_own_names(columns)), kept)


def _known(snapshot: Snapshot) -> list[Column]:
    """Return what is known of images before anything is computed."""
    schema = snapshot.schema
    columns = [
        Column("row", lambda block: np.array(block.rows, np.int64)),
        Column("path", lambda block: block.array("path")),
        Column("status", lambda block: STATUS[block.array("status")]),
    ]
    if schema.split:
        columns.append(Column("split", lambda block: SPLITS[block.array("split")]))
    for kind, labels in schema.labelled.items():
        columns += [Column(label, _attribute(ATTRIBUTE_ARRAYS[kind], at)) for at, label in enumerate(labels)]
    return columns


def _attribute(array: str, at: int) -> Callable[[BlockReader], NDArray[Any]]:
    return lambda block: block.array(array)[:, at]


def _of_image(values: NDArray[Any]) -> Callable[[BlockReader], NDArray[Any]]:
    return lambda block: values[block.rows.start : block.rows.stop]


def _along(projection: Projection, points: str, axis: int) -> Callable[[BlockReader], NDArray[Any]]:
    def read(block: BlockReader) -> NDArray[Any]:
        moved = block.array(points) - projection.mean
        return np.asarray(moved @ projection.axes[axis], np.float32)

    return read


def _cluster(array: str, centres: NDArray[np.float64]) -> Column:
    def read(block: BlockReader) -> NDArray[Any]:
        labels = np.full(len(block.rows), NO_GROUP, np.int32)
        good = block.array("status") == 0
        if good.any():
            labels[good] = nearest(centres, block.array(array)[good], 1)[0][:, 0]
        return labels

    return Column("cluster", read)


def _figures(inputs: OneStore, parameters: TableParameters, cache: Cache) -> list[Column]:
    request = Request(OUTLIERS, OutliersParameters(array=parameters.array))
    found = cache.result(request, StoreAndOrigins.unnamed(inputs.snapshot))
    location, content = cache.policy.results or inputs.home, inputs.snapshot.content
    made_again = newest_result(location, OUTLIERS.name, content, RECONSTRUCTION)
    excess = [] if made_again is None else [Column(RECONSTRUCTION, _of_image(made_again[RECONSTRUCTION]))]
    groups = np.full(inputs.snapshot.schema.images, NO_GROUP, np.int64)
    groups[found["duplicate_image"]] = found["duplicate_group"]
    return [
        *(Column(name, _of_image(found[name])) for name in FIGURES),
        *excess,
        Column("duplicate_group", _of_image(groups)),
    ]


def _with_own_names(columns: list[Column]) -> Iterator[Column]:
    """Yield columns; one whose name another has already gets a number behind it."""
    taken: set[str] = set()
    own = {column.name for column in columns}
    for column in columns:
        name, number = column.name, 2
        while name in taken or (name != column.name and name in own):
            name, number = f"{column.name}_{number}", number + 1
        taken.add(name)
        yield replace(column, name=name)
