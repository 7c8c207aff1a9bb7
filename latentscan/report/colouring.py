"""What the points of a picture are coloured by: a figure, an attribute, the partition, or a cluster."""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np

from latentscan.analyses.cached_models import best_centres, chosen_centres
from latentscan.errors import ParameterError
from latentscan.kernels.nearest import nearest
from latentscan.report.image_columns import (
    MOST_CATEGORIES,
    SPLITS,
    Column,
    attribute_column,
    cluster_column,
    read_at,
)
from latentscan.report.views import View
from latentscan.scan.snapshot import Snapshot
from latentscan.store.metadata import read_root
from latentscan.store.reader import open_store
from latentscan.store.schema import ATTRIBUTE_ARRAYS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from latentscan.scan.rows import PointsChoice
    from latentscan.store.results import Result

RADIUS = "radius"
FEW_VALUES = 10  # different whole numbers, up to which they are names and not amounts
_CLUSTER = re.compile(r"cluster(?::([1-9][0-9]{0,8}))?")


class ColouredView(View, Protocol):
    """Views whose figure has a point for each image."""

    def coloured(self, results: Mapping[str, Result], colours: Mapping[str, Column], /) -> Figure:
        """Plot results, by name, with their images coloured by a column each."""


@dataclass(frozen=True)
class Colouring:
    """What images of a store are coloured by.

    Parameters
    ----------
    name
        ``radius``, ``split``, ``cluster`` (of the newest cached k-means, of the k that it suggests),
        ``cluster:K``, or an attribute.
    snapshot
        The store; None where there are results alone.
    location
        Where results are cached.
    """

    name: str
    snapshot: Snapshot | None
    location: str

    @classmethod
    def at(cls, name: str, location: str) -> Colouring:
        """Return it for a store, or a location of results alone."""
        root = read_root(location) or {}
        if "schema" not in root.get("attributes", {}):
            return cls(name, None, location)
        return cls(name, Snapshot.of(open_store(location), allow_partial=True), location)

    def require_known(self, array: PointsChoice = "auto") -> None:
        """Check, before any work, that images can be coloured so.

        Parameters
        ----------
        array
            The points that clusters are of.

        Raises
        ------
        ParameterError
            If nothing has that name.
        UsageError
            If no such k-means is cached.
        """
        if self.name == RADIUS and not self._is_attribute:
            return
        snapshot = self._store
        if self._is_attribute or (self.name == "split" and snapshot.schema.split):
            return
        if not _CLUSTER.fullmatch(self.name):
            raise self._unknown(snapshot)
        self._centres(snapshot, array)

    def of(self, result: Result) -> Column:
        """Return what the images of a result are coloured by, in their order.

        Parameters
        ----------
        result
            It has the rows of images as `image`, their radii, and the array of its points.

        Raises
        ------
        ParameterError
            If nothing has that name.
        UsageError
            If no such k-means is cached.
        """
        array = result.attributes.get("array", "auto")
        self.require_known(array)
        if self.name == RADIUS and not self._is_attribute:
            return radii_of(result)
        ascending, places = np.unique(result["image"].astype(np.int64), return_inverse=True)
        column = self._of_rows(self._store, ascending, array)
        return Column(column.title, column.group, column.values[places.ravel()], column.names)

    @property
    def _store(self) -> Snapshot:
        if self.snapshot is None:
            raise ParameterError(
                f"{self.location} is a result without its store; expected {RADIUS}, or the store too",
                field="colour",
                value=self.name,
            )
        return self.snapshot

    @property
    def _is_attribute(self) -> bool:
        known = {} if self.snapshot is None else self.snapshot.schema.labelled
        return any(self.name in labels for labels in known.values())

    def _of_rows(self, snapshot: Snapshot, rows: NDArray[np.int64], array: PointsChoice) -> Column:
        """Return the column at rows, ascending."""
        if self._is_attribute:
            return self._attribute(snapshot, rows)
        if self.name == "split":
            return Column(self.name, "", read_at(snapshot, "split", rows).astype(np.int8), SPLITS)
        points, centres = self._centres(snapshot, array)
        length = snapshot.schema.chunk_rows
        _, starts = np.unique(rows // length, return_index=True)
        parts = [  # a block at a time
            nearest(centres, read_at(snapshot, points, part), 1)[0][:, 0]
            for part in np.split(rows, starts[1:])
        ]
        return cluster_column(len(centres), np.concatenate(parts))

    def _attribute(self, snapshot: Snapshot, rows: NDArray[np.int64]) -> Column:
        kind, at = snapshot.schema.place_of(self.name)
        values = read_at(snapshot, ATTRIBUTE_ARRAYS[kind], rows)[:, at]
        column = attribute_column(snapshot, kind, self.name, values)
        if column is None:
            raise ParameterError(
                f"has more than {MOST_CATEGORIES:,} different texts; expected fewer",
                field="colour",
                value=self.name,
            )
        return _named(column) if kind == "integer" else column

    def _centres(self, snapshot: Snapshot, array: PointsChoice) -> tuple[str, NDArray[np.float64]]:
        found = _CLUSTER.fullmatch(self.name)
        given = found[1] if found else None
        if not given:
            return chosen_centres(self.location, snapshot, array)
        return best_centres(self.location, snapshot, int(given), array)

    def _unknown(self, snapshot: Snapshot) -> ParameterError:
        labels = [label for own in snapshot.schema.labelled.values() for label in own]
        own = [RADIUS, *(["split"] if snapshot.schema.split else []), "cluster", "cluster:K"]
        near = get_close_matches(self.name, [*own, *labels], 3, 0.5)
        attributes = f", or an attribute: {', '.join(near or labels)}" if labels else ""
        return ParameterError(f"expected {', '.join(own)}{attributes}", field="colour", value=self.name)


def radii_of(result: Result) -> Column:
    """Return the radii of the images of a result, which are its colours where no others are asked for."""
    return Column("radius (L2 norm of a row)", "", result["radius"])


def as_coloured(view: View) -> ColouredView | None:
    """Return views whose figure has a point for each image; None for others."""
    return cast("ColouredView", view) if hasattr(view, "coloured") else None


def _named(column: Column) -> Column:
    """Return whole numbers as names where they are few, as the digits of a data set are."""
    known: NDArray[Any] = np.isfinite(column.values)
    texts, codes = np.unique(column.values[known], return_inverse=True)
    if len(texts) > FEW_VALUES:
        return column
    values = np.full(len(known), -1, np.int8)
    values[known] = codes.ravel()
    return Column(column.title, column.group, values, tuple(f"{text:.0f}" for text in texts.tolist()))
